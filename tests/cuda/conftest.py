"""What the tests that need a GPU share: the device. Without one they are skipped."""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    """CUDA, or what DISTIL_TEST_DEVICE names: with DISTIL_TEST_DEVICE=cpu the tests themselves are tried without a GPU."""
    asked = torch.device(os.environ.get("DISTIL_TEST_DEVICE", "cuda"))
    if asked.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here, or not asked for (DISTIL_TEST_DEVICE=cuda)")
    return asked
