"""What would leave a GPU idle, seen without one: operations that wait for a result, or bring a Python number to the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from distil.objectives import DIVERGENCES
from tests.objectives.builders import ALL_KINDS, fused, gradients, make_labels, make_student, make_targets

WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "lift_fresh", "equal"}


class Waits(TorchDispatchMode):
    """Counts operations for which the host and a GPU would have to wait for each other."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.count += name in WAITING or by_mask
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("kind", [*ALL_KINDS, None])
def test_no_chunk_waits_for_the_device(kind: str | None, temperature: float) -> None:
    for divergence in ("forward_kl",) if kind in ("sampled", None) else DIVERGENCES:
        counts = []
        for chunk in (1, 8):
            student, labels = make_student(rows=8, bias=True, cap=5.0), make_labels(rows=8)
            targets = None if kind is None else make_targets(kind, rows=8, temperature=temperature)
            with Waits() as waits:
                loss = fused(
                    student, targets, labels, divergence=divergence, temperature=temperature, chunk_tokens=chunk
                )
            gradients(loss, student)
            counts.append(waits.count)
        assert counts[0] == counts[1] <= 1  # which rows count; labels are read off by tolist, which is not seen here
