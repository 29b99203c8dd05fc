"""Draws the next token of several rows at once, each with its own temperature, nucleus, random numbers and constraint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import DistilError
from distil.models.draw import measured, nucleus, pick, tempered, wide

if TYPE_CHECKING:
    import torch

    from distil.models.continuous.row import Row


class NotANumber(DistilError):
    """The model gave a row NaN or infinity instead of logits."""


class Drawn(NamedTuple):
    """The next token of each row."""

    tokens: torch.Tensor
    """(n,) on the logits' device."""
    ids: list[int]
    logprobs: list[float]
    """Of the model at temperature 1, whatever a constraint allows."""
    entropies: list[float]
    tops: dict[int, list[tuple[int, float]]]
    """Row -> its most probable tokens, where it asks for them."""
    faults: dict[int, Exception]
    """Row -> why nothing could be drawn for it."""


def draw_rows(rows: Sequence[Row], logits: torch.Tensor) -> Drawn:
    """One token per row of logits (n, V) float32. What is wrong with a row stays its own."""

    faults: dict[int, Exception] = {}
    logprobs, entropy = measured(logits)
    allowed = _constrained(rows, logits, faults)
    tokens = allowed.argmax(-1)
    sampled = [i for i, row in enumerate(rows) if row.sampling.temperature > 0 and i not in faults]
    if sampled:
        tokens[sampled] = _sampled([rows[i] for i in sampled], allowed[sampled])
    chosen = logprobs.gather(1, tokens[:, None])[:, 0].tolist()
    tops = {i: _top(logprobs[i], row.top) for i, row in enumerate(rows) if row.top}
    for i, value in enumerate(chosen):
        if not math.isfinite(value):
            faults.setdefault(i, NotANumber("The model gave NaN or infinity instead of logits."))
    return Drawn(tokens, tokens.tolist(), chosen, entropy.tolist(), tops, faults)


def _constrained(rows: Sequence[Row], logits: torch.Tensor, faults: dict[int, Exception]) -> torch.Tensor:
    """The logits with what a row's constraint does not allow at minus infinity."""
    constrained = [i for i, row in enumerate(rows) if row.constraint is not None]
    if not constrained:
        return logits
    logits = logits.clone()
    for i in constrained:
        constraint = rows[i].constraint
        assert constraint is not None
        try:
            logits[i] = constraint.mask(logits[i])
        except Exception as error:
            faults[i] = error
    return logits


def _sampled(rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
    import torch

    device = logits.device

    def column(values: list[float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.tensor(values, device=device, dtype=dtype)[:, None]

    probabilities = tempered(logits, column([row.sampling.temperature for row in rows]))
    cut = [i for i, row in enumerate(rows) if row.sampling.top_p < 1]
    if cut:
        probabilities[cut] = nucleus(probabilities[cut], column([rows[i].sampling.top_p for i in cut]))
    return pick(probabilities, column([row.point() for row in rows], wide(device)))


def _top(logprobs: torch.Tensor, count: int) -> list[tuple[int, float]]:
    values, indices = logprobs.topk(min(count, logprobs.shape[-1]))
    return list(zip(indices.tolist(), values.tolist(), strict=True))
