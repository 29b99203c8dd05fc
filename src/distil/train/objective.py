"""The objective inside the student's own forward: hidden states in, sums of losses out, never the full logits.

`install_objective` replaces the forward of the causal language model inside whatever wraps it (PEFT, DDP, FSDP2, autocast), so
that the wrappers' hooks run on every pass and gradients are synchronized. Calls without a `task` reach the original forward, so
generation works between steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distil.models.head import output_head
from distil.models.unwrap import causal_model
from distil.objectives.heads import OutputHead
from distil.objectives.reference import teacher_log_probs
from distil.objectives.rowwise import RowRules, distillation_by_rows
from distil.objectives.settings import LossSettings
from distil.objectives.targets import DenseTargets, LogitTargets, MixtureTargets, SampledTargets, Targets, TopKTargets
from distil.train.batches import MicroBatch

DIAGNOSED_ROWS = 256
Sums = dict[str, Tensor]
"""Sums over the counted tokens, by name: loss (the only differentiable one), distill, label, and those of `diagnose`."""


@dataclass
class Task:
    """The loss of one micro-batch."""

    targets: Targets | None
    """One row for each counted position, in order; None = labels alone."""
    settings: LossSettings
    loss: Callable[[Tensor, OutputHead, Tensor], Sums] | None = None
    """Replaces the fused loss: a function of (counted hidden rows, head, labels), for a teacher with another tokenizer."""
    rules: RowRules = field(default_factory=RowRules)
    """What single rows get otherwise."""
    diagnose: bool = False
    """Also measure agreement of top tokens, entropy and KL on a sample of rows."""


def install_objective(model: torch.nn.Module) -> None:
    """Puts the objective into the model's forward: `model(task=..., batch=...)`. A second call changes nothing."""
    inner = causal_model(model)
    if getattr(inner.forward, "is_objective", False):
        return
    original = inner.forward

    def forward(*args: Any, task: Task | None = None, batch: MicroBatch | None = None, **kwargs: Any) -> Any:
        if task is None:
            return original(*args, **kwargs)
        assert batch is not None
        return objective(inner, task, batch)

    forward.is_objective = True  # type: ignore[attr-defined]
    inner.forward = forward


def remove_objective(model: torch.nn.Module) -> None:
    """Restores the model's own forward."""
    vars(causal_model(model)).pop("forward", None)


def objective(model: PreTrainedModel, task: Task, batch: MicroBatch) -> Sums:
    """The sums of one micro-batch."""
    rows = batch.counted_hidden(model)  # (R, H)
    _, labels = batch.counted
    head = output_head(model)
    if task.loss is not None:
        sums = task.loss(rows, head, labels)
    else:
        losses = distillation_by_rows(rows, head, task.targets, labels, task.settings, task.rules)
        sums = {"loss": losses.total, "distill": losses.distill, "label": losses.label}
    if task.diagnose:
        sums |= diagnose(rows.detach(), head, labels, task.targets)
    return sums


@torch.no_grad()
def diagnose(rows: Tensor, head: OutputHead, labels: Tensor, targets: Targets | None) -> Sums:
    """Sums over an evenly spaced sample of rows.

    agreement: rows whose top token is the teacher's (without a teacher: the label); entropy, in nats; sampled: number of rows.
    Where every logit of the teacher is known, also kl: KL(teacher || student) at temperature 1, in nats; compared: its rows.
    """
    count = rows.shape[0]
    sample = torch.linspace(0, max(count - 1, 0), min(count, DIAGNOSED_ROWS), device=rows.device).long()
    logits = head.logits(rows[sample].to(head.weight.dtype)).float()
    log_probs = torch.log_softmax(logits, -1)
    sampled = torch.tensor(float(len(sample)), device=rows.device)
    sums = {"entropy": -(log_probs.exp() * log_probs).sum(), "sampled": sampled}
    expected = labels[sample]
    if isinstance(targets, TopKTargets | SampledTargets):
        scores = (targets.log_probs if isinstance(targets, TopKTargets) else targets.weights)[sample]
        ids = targets.ids[sample]
        expected = ids.gather(-1, scores.masked_fill(ids < 0, -torch.inf).argmax(-1, keepdim=True))[:, 0]
    elif isinstance(targets, DenseTargets | LogitTargets | MixtureTargets) and len(sample):
        teacher = _teacher_log_probs(targets, sample, logits.shape[-1])
        expected = teacher.argmax(-1)
        student = torch.log_softmax(logits[:, : teacher.shape[-1]], -1)
        sums["kl"] = torch.nn.functional.kl_div(student, teacher, reduction="sum", log_target=True)
        sums["compared"] = sampled
    return sums | {"agreement": (logits.argmax(-1) == expected).sum().float()}


def _teacher_log_probs(targets: DenseTargets | LogitTargets | MixtureTargets, sample: Tensor, size: int) -> Tensor:
    """(n, V) at temperature 1 over the ids that teachers and student share."""
    sampled: DenseTargets | LogitTargets | MixtureTargets
    if isinstance(targets, MixtureTargets):
        sampled = replace(targets, teachers=tuple(_rows(teacher, sample) for teacher in targets.teachers))
    else:
        sampled = _rows(targets, sample)
    return teacher_log_probs(sampled, min(size, targets.vocabulary), 1.0).float()


def _rows(targets: DenseTargets | LogitTargets, sample: Tensor) -> DenseTargets | LogitTargets:
    if isinstance(targets, DenseTargets):
        return replace(targets, hidden=targets.hidden[sample].to(targets.weight.dtype))
    return LogitTargets(targets.logits[sample])
