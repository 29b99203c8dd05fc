"""Two padded vocabularies of one tokenizer: how much of the teacher lies outside the ids that both have.

Families pad the same tokenizer to different sizes (Qwen: 151,936 and 152,064). The losses compare the common prefix of ids;
this file measures what that leaves out. It does not check whether the tokenizers are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distil.objectives.chunks import chunk_rows
from distil.objectives.reference import teacher_log_probs
from distil.objectives.targets import DenseTargets, LogitTargets, MixtureTargets


def teacher_mass_outside(
    targets: DenseTargets | LogitTargets | MixtureTargets, vocabulary: int, temperature: float = 1.0
) -> Tensor:
    """(N,) the teacher's probability of ids >= vocabulary at each position; more than 1e-4 on average deserves a warning.

    vocabulary: the student's size, or the tokenizer's own length. A mixture is measured over its teachers' common prefix.
    """
    size = targets.vocabulary
    parts = []
    with torch.no_grad():
        first = targets.teachers[0] if isinstance(targets, MixtureTargets) else targets
        device = first.logits.device if isinstance(first, LogitTargets) else first.hidden.device
        step = chunk_rows(size, 4, torch.float32, device)
        for start in range(0, targets.rows, step):
            rows = _rows(targets, slice(start, start + step))
            log_probs = teacher_log_probs(rows, size, temperature)
            parts.append(log_probs[:, vocabulary:].float().exp().sum(-1))
    return torch.cat(parts) if parts else torch.zeros(0)


def _rows(
    targets: DenseTargets | LogitTargets | MixtureTargets, rows: slice
) -> DenseTargets | LogitTargets | MixtureTargets:
    if isinstance(targets, MixtureTargets):
        parts = []
        for teacher in targets.teachers:
            part = _rows(teacher, rows)
            assert not isinstance(part, MixtureTargets)
            parts.append(part)
        return MixtureTargets(tuple(parts), targets.weights)
    if isinstance(targets, LogitTargets):
        return LogitTargets(targets.logits[rows])
    return DenseTargets(targets.hidden[rows], targets.weight, targets.bias, targets.logit_scale, targets.logit_softcap)
