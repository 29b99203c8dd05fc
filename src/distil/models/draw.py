"""Draws tokens from logits by temperature and nucleus: with one setting for generate.py, with one per row for continuous/."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

COLDEST = 1e-6
"""Temperatures below it are drawn at it: dividing by less overflows float32, and the most probable token has all mass already."""


def measured(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probabilities (B, V), entropies in nats (B,)) of logits (B, V) float32 at temperature 1."""
    import torch

    logprobs = torch.log_softmax(logits, dim=-1)
    return logprobs, -(logprobs.exp() * logprobs.clamp(min=-1e4)).sum(-1)


def tempered(logits: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Probabilities (B, V) at a temperature above 0: a number, or (B, 1)."""
    import torch

    coldest = max(temperature, COLDEST) if isinstance(temperature, float | int) else temperature.clamp(min=COLDEST)
    return torch.softmax(logits / coldest, dim=-1)


def nucleus(probabilities: torch.Tensor, top_p: float | torch.Tensor) -> torch.Tensor:
    """Probabilities (B, V) without the tail beyond `top_p` (a number, or (B, 1)) of the mass, ids in order (Holtzman 2020)."""
    import torch

    ranked, index = probabilities.sort(dim=-1, descending=True)
    outside = ranked.cumsum(-1) - ranked > top_p  # the token that crosses the mass stays in
    return torch.zeros_like(ranked).scatter(1, index, ranked.masked_fill(outside, 0.0))


def wide(device: torch.device) -> torch.dtype:
    """The type in which sums over 150,000 ids stay exact."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


def pick(probabilities: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """One id per row of (B, V): the inverse of the cumulative sum at `points` (B, 1) in [0, 1), of type `wide`.

    torch.multinomial draws a number for every id, which costs as much as a small model's own step.
    """
    import torch

    mass = probabilities.cumsum(-1, dtype=points.dtype)
    drawn = torch.searchsorted(
        mass, points * mass[:, -1:], right=True
    )  # the first id whose sum passes it: never one of mass 0
    return drawn[:, 0].clamp(max=mass.shape[1] - 1)
