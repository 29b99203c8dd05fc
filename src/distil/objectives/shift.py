"""The label shift, in the one place that does it: the logits at position t predict the token at t + 1."""

from __future__ import annotations

import torch
from torch import Tensor

from distil.objectives.targets import IGNORED


def next_token_labels(labels: Tensor, document_ids: Tensor | None = None) -> Tensor:
    """(B, T) labels of each position's own token -> (B, T) labels of the next token; the last position counts for nothing.

    labels: int64, -100 where a token is not learned. document_ids: (B, T), for packed rows: a position never predicts the
    first token of the next document.
    """
    if labels.dim() != 2:
        raise ValueError(f"labels have the shape {tuple(labels.shape)}; expected (B, T)")
    shifted = torch.full_like(labels, IGNORED)
    shifted[:, :-1] = labels[:, 1:]
    if document_ids is not None:
        shifted[:, :-1].masked_fill_(document_ids[:, 1:] != document_ids[:, :-1], IGNORED)
    return shifted


def next_token_rows(hidden: Tensor, labels: Tensor, document_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """hidden (B, T, H) and labels (B, T), both by position -> rows (B * T, H) and the label that each row predicts (B * T,).

    The rows are a view where `hidden` is contiguous; the last position of each sequence stays, with label -100, so row b * T + t
    is position t of sequence b on the teacher's side too.
    """
    if hidden.shape[:2] != labels.shape:
        shapes = f"hidden {tuple(hidden.shape)} and labels {tuple(labels.shape)}"
        raise ValueError(f"{shapes} do not match (B, T, H), (B, T)")
    return hidden.reshape(-1, hidden.shape[-1]), next_token_labels(labels, document_ids).reshape(-1)
