"""Direct preference optimization (Rafailov et al. 2023, 2305.18290): the better answer of a pair gains on the worse one.

    loss = -log sigmoid(beta * ((log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))))

log pi(y) is the sum over the answer's tokens. The reference is a number for each answer, so no second model is needed. Logits
exist a chunk of rows at a time, and are computed again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from distil.objectives.chunks import chunk_rows
from distil.objectives.heads import OutputHead, work_dtype

LOGIT_BUFFERS = 4
"""Copies of a chunk of logits: the product, its log-softmax, and both gradients."""


def answer_log_probs(
    hidden: Tensor, head: OutputHead, labels: Tensor, lengths: Sequence[int], chunk_tokens: int | None = None
) -> Tensor:
    """(D,) log-probability of each of D answers at temperature 1, differentiable.

    hidden: (R, H) final hidden states, one row for each learned token; labels: (R,) those tokens; lengths: rows of each answer,
    in order, R together. float64 stays float64, everything else is computed in float32.
    """
    dtype = work_dtype(head.weight.dtype)
    rows = chunk_rows(head.weight.shape[0], LOGIT_BUFFERS, dtype, hidden.device, chunk_tokens)

    def chunk(states: Tensor, wanted: Tensor) -> Tensor:
        bias = None if head.bias is None else head.bias.to(dtype)
        with torch.autocast(states.device.type, enabled=False):
            logits = OutputHead(head.weight.to(dtype), bias, head.scale, head.softcap).logits(states.to(dtype))
            return torch.log_softmax(logits, -1).gather(1, wanted[:, None])[:, 0]

    parts = [
        checkpoint(chunk, states, wanted, use_reentrant=False)
        for states, wanted in zip(hidden.split(rows), labels.split(rows), strict=True)
    ]
    return torch.stack([answer.sum() for answer in torch.cat(parts).split(list(lengths))])


def preference_losses(
    better: Tensor, worse: Tensor, better_before: Tensor, worse_before: Tensor, beta: float
) -> Tensor:
    """(P,) losses of P pairs from log-probabilities (P,) under the student and, `before`, under the reference."""
    margin = (better - better_before) - (worse - worse_before)
    return -torch.nn.functional.logsigmoid(beta * margin)
