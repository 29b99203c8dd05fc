"""The objective inside the student's own forward: hidden states in, loss sums out, full logits never.

`teach` replaces the forward of the causal language model that lies inside whatever wraps it (PEFT, DDP, FSDP2, autocast),
so the wrappers' hooks fire on every pass and gradients are synchronized. Calls without a `task` go to the original forward, so
generation works in between. Used by trainer.py and selfcheck.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from distil.models.head import output_head
from distil.objectives.fused import fused_linear_distillation
from distil.objectives.heads import OutputHead
from distil.objectives.reference import teacher_log_probs
from distil.objectives.shift import next_token_rows
from distil.objectives.targets import (
    IGNORED,
    DenseTargets,
    LogitTargets,
    MixtureTargets,
    SampledTargets,
    Targets,
    TopKTargets,
)
from distil.train.batches import MicroBatch

DIAGNOSED_ROWS = 256


@dataclass(frozen=True)
class Weights:
    """What is minimized; the words are those of `fused_linear_distillation`."""

    divergence: str = "forward_kl"
    beta: float = 0.5
    alpha: float = 0.1
    temperature: float = 1.0
    distill_weight: float = 0.0
    label_weight: float = 1.0


@dataclass
class Task:
    """What the student is to do with one micro-batch."""

    labels: Tensor
    """(B, T), by position."""
    documents: Tensor
    """(B, T)"""
    targets: Targets | None
    """One row for each counted position, in order; None = labels alone."""
    weights: Weights
    loss: Callable[[Tensor, OutputHead, Tensor], dict[str, Tensor]] | None = None
    """Another objective over (counted hidden rows, head, labels), such as a cross-tokenizer one."""
    diagnose: bool = False
    """Also measure agreement of top tokens and entropy on a sample of rows."""


def causal_model(model: Any) -> Any:
    """The causal language model inside PEFT, DDP, FSDP or torch.compile wrappers."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, torch.nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        else:
            return model


def hidden_rows(model: Any, batch: MicroBatch) -> Tensor:
    """Final hidden states (B, T, H) of a bare causal language model."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    hidden: Tensor = decoder(**batch.inputs()).last_hidden_state
    return hidden


def counted(labels: Tensor, documents: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) labels by position -> mask (B * T,) of the rows that predict a learned token, and those tokens (R,)."""
    _, following = next_token_rows(labels[..., None], labels, documents)
    keep = following != IGNORED
    return keep, following[keep]


def teach(model: Any) -> Any:
    """Puts the objective into the model's forward; returns the inner model. Calling it twice changes nothing."""
    inner = causal_model(model)
    if getattr(inner.forward, "is_objective", False):
        return inner
    original = inner.forward

    def forward(*args: Any, task: Task | None = None, batch: MicroBatch | None = None, **kwargs: Any) -> Any:
        if task is None:
            return original(*args, **kwargs)
        assert batch is not None
        return objective(inner, task, batch)

    forward.is_objective = True  # type: ignore[attr-defined]
    forward.original = original  # type: ignore[attr-defined]
    inner.forward = forward
    return inner


def untaught(model: Any) -> None:
    """Gives the model its own forward back."""
    inner = causal_model(model)
    inner.__dict__.pop("forward", None)


def objective(model: Any, task: Task, batch: MicroBatch) -> dict[str, Tensor]:
    """Sums over the counted tokens: loss (differentiable), distill, label, count; with `diagnose` agreement and entropy too."""
    hidden = hidden_rows(model, batch)
    keep, following = counted(task.labels, task.documents)
    rows = hidden.reshape(-1, hidden.shape[-1])[keep]  # (R, H)
    head = output_head(model)
    if task.loss is not None:
        out = task.loss(rows, head, following)
    else:
        weights = task.weights
        done = fused_linear_distillation(
            rows,
            head.weight,
            task.targets,
            following,
            divergence=weights.divergence,
            beta=weights.beta,
            alpha=weights.alpha,
            temperature=weights.temperature,
            distill_weight=weights.distill_weight,
            label_weight=weights.label_weight,
            student_bias=head.bias,
            logit_scale=head.scale,
            logit_softcap=head.softcap,
        )
        out = {"loss": done.total, "distill": done.distill, "label": done.label}
    if task.diagnose:
        out |= diagnose(rows.detach(), head, following, task.targets)
    return out


@torch.no_grad()
def diagnose(rows: Tensor, head: OutputHead, labels: Tensor, targets: Targets | None) -> dict[str, Tensor]:
    """Sums over an even sample of rows: `agreement` (the student's top token is the teacher's, or the label where there is no
    teacher), `entropy`, `sampled`; and where every teacher logit is known `kl` (KL(teacher || student) at temperature 1, in nats)
    and `compared`, its rows."""
    count = rows.shape[0]
    chosen = torch.linspace(0, max(count - 1, 0), min(count, DIAGNOSED_ROWS), device=rows.device).long()
    logits = head.logits(rows[chosen].to(head.weight.dtype)).float()
    logprobs = torch.log_softmax(logits, -1)
    top = logits.argmax(-1)
    found = {
        "entropy": -(logprobs.exp() * logprobs).sum(),
        "sampled": torch.tensor(float(len(chosen)), device=rows.device),
    }
    expected = labels[chosen]
    if isinstance(targets, TopKTargets | SampledTargets):
        best = (targets.log_probs if isinstance(targets, TopKTargets) else targets.weights)[chosen]
        ids = targets.ids[chosen]
        expected = ids.gather(-1, best.masked_fill(ids < 0, -torch.inf).argmax(-1, keepdim=True))[:, 0]
    elif targets is not None and len(chosen):
        teacher = _teacher_log_probs(targets, chosen, logits.shape[-1])
        expected = teacher.argmax(-1)
        ours = torch.log_softmax(logits[:, : teacher.shape[-1]], -1)
        found["kl"] = torch.nn.functional.kl_div(ours, teacher, reduction="sum", log_target=True)
        found["compared"] = found["sampled"]
    return found | {"agreement": (top == expected).sum().float()}


def _teacher_log_probs(targets: Any, chosen: Tensor, size: int) -> Tensor:
    """(n, V) at temperature 1 over the ids that teachers and student share."""
    if isinstance(targets, MixtureTargets):
        targets = replace(targets, teachers=tuple(_rows(teacher, chosen) for teacher in targets.teachers))
    else:
        targets = _rows(targets, chosen)
    return teacher_log_probs(targets, min(size, targets.vocabulary), 1.0).float()


def _rows(targets: DenseTargets | LogitTargets, chosen: Tensor) -> DenseTargets | LogitTargets:
    if isinstance(targets, DenseTargets):
        return replace(targets, hidden=targets.hidden[chosen].to(targets.weight.dtype))
    return LogitTargets(targets.logits[chosen])
