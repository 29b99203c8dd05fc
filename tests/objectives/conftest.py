"""Every test of the losses runs twice: with compiled rows where there is a C compiler, and with tensor operations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from distil.objectives.native import SWITCH, native_rows


@pytest.fixture(autouse=True, scope="module", params=["compiled", "tensors"])
def rows(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "tensors":
            patch.setenv(SWITCH, "0")
        elif native_rows(torch.float32, 1.0, None) is None:
            pytest.skip("no C compiler is at hand")
        yield
