"""Rules that treat rows of a batch differently: each row gets the divergence that its teacher, its token or its text asks for.

Every rule is a choice of rows for `fused_linear_distillation`, whose losses and gradients are sums: rows in several calls add up
to the exact loss, without a formula of their own.

    forward_kl_above   Jin et al. 2026 (2603.07079): D + KL(p || q) where the teacher's entropy is above a threshold
    top_k              Fu et al. 2026 (2603.25562): D within the teacher's k best ids, both sides scaled to sum to 1 over them
    masked             no divergence where the token to predict is one of these (special tokens); its label counts as ever
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from distil.errors import UserError
from distil.objectives.chunks import chunk_rows
from distil.objectives.fused import fused_linear_distillation
from distil.objectives.heads import OutputHead, work_dtype
from distil.objectives.sampling import entropy_of
from distil.objectives.settings import LossSettings
from distil.objectives.targets import (
    IGNORED,
    DenseTargets,
    LogitTargets,
    LossSum,
    MixtureTargets,
    SampledTargets,
    Targets,
    TopKTargets,
    rows_of,
)

LOGIT_BUFFERS = 4
"""Copies of a chunk of the teacher's logits that reading it takes."""


@dataclass(frozen=True)
class RowRules:
    """The rules of a training; the default is none."""

    forward_kl_above: float | None = None
    """Nats; the teacher's entropy at the temperature of the divergence."""
    top_k: int | None = None
    """At least 2: within one id every divergence is 0."""
    masked: tuple[int, ...] = ()
    """Ids."""

    def refuse_mismatch(self, divergence: str) -> None:
        """Raises UserError for a threshold beside a divergence to which it adds nothing new."""
        if self.forward_kl_above is not None and divergence == "forward_kl":
            raise UserError(
                "train.forward_kl_above adds the forward KL where the teacher is unsure, and train.divergence is forward_kl "
                "already. Set train.divergence: reverse_kl (the paper's), or leave train.forward_kl_above out."
            )


def distillation_by_rows(
    hidden: Tensor, head: OutputHead, targets: Targets | None, labels: Tensor, settings: LossSettings, rules: RowRules
) -> LossSum:
    """`fused_linear_distillation` of N positions under the rules; without any it is that call.

    hidden: (N, H) of the student; labels: (N,), -100 = not counted. Raises UserError for targets that can't serve the rules.
    """
    if targets is None or rules == RowRules():
        return _fused(hidden, head, targets, labels, settings)
    plain = torch.zeros_like(labels, dtype=torch.bool)
    if rules.masked:
        plain = torch.isin(labels, torch.tensor(rules.masked, device=labels.device))
    unsure: Tensor | None = None
    if rules.forward_kl_above is not None:
        rules.refuse_mismatch(settings.divergence)
        entropy = teacher_entropy(targets, head.weight.shape[0], settings.temperature)
        unsure = (entropy > rules.forward_kl_above) & ~plain & (labels != IGNORED)
    if rules.top_k is not None:
        targets = within_top_k(targets, rules.top_k, head.weight.shape[0], settings.temperature)
    parts = []
    if bool(plain.any()):
        parts.append(_fused(hidden[plain], head, None, labels[plain], settings))
        parts.append(_fused(hidden[~plain], head, rows_of(targets, ~plain), labels[~plain], settings))
    else:
        parts.append(_fused(hidden, head, targets, labels, settings))
    if unsure is not None and bool(unsure.any()):
        added = replace(settings, divergence="forward_kl", label_weight=0.0)
        more = _fused(hidden[unsure], head, rows_of(targets, unsure), labels[unsure], added)
        parts.append(replace(more, label=torch.zeros_like(more.label), count=0))  # counted once already
    return LossSum(
        sum((part.total for part in parts[1:]), parts[0].total),
        sum((part.distill for part in parts[1:]), parts[0].distill),
        sum((part.label for part in parts[1:]), parts[0].label),
        sum(part.count for part in parts),
    )


def _fused(
    hidden: Tensor, head: OutputHead, targets: Targets | None, labels: Tensor, settings: LossSettings
) -> LossSum:
    return fused_linear_distillation(
        hidden,
        head.weight,
        targets,
        labels,
        student_bias=head.bias,
        logit_scale=head.scale,
        logit_softcap=head.softcap,
        **asdict(settings),
    )


@torch.no_grad()
def teacher_entropy(targets: Targets, student_vocabulary: int, temperature: float) -> Tensor:
    """(N,) nats: of p_T over the ids that both sides have; of a top-k signal, over its k + 1 outcomes (at most the true one)."""
    _refuse_sampled(targets, "train.forward_kl_above needs the teacher's probabilities")
    if isinstance(targets, TopKTargets):
        kept = targets.log_probs.masked_fill(targets.ids < 0, -torch.inf)
        return entropy_of(torch.log_softmax(torch.cat([kept, targets.log_tail[:, None]], -1), -1))
    assert isinstance(targets, DenseTargets | LogitTargets | MixtureTargets)
    rows = [entropy_of(rows) for rows in _log_probs(targets, student_vocabulary, temperature)]
    return torch.cat(rows) if rows else torch.zeros(0)


@torch.no_grad()
def within_top_k(targets: Targets, k: int, student_vocabulary: int, temperature: float) -> TopKTargets:
    """The k best ids of the teacher as targets that are compared within them. Ties go to either."""
    _refuse_sampled(targets, "train.teacher_top_k needs its most probable tokens")
    if isinstance(targets, TopKTargets):
        kept = targets.log_probs.masked_fill(targets.ids < 0, -torch.inf)
        best = kept.topk(min(k, kept.shape[1]), -1)
        ids = targets.ids.gather(1, best.indices)
        return replace(targets, ids=ids, log_probs=best.values, within=True)
    assert isinstance(targets, DenseTargets | LogitTargets | MixtureTargets)
    size = min(k, targets.vocabulary, student_vocabulary)
    found = [rows.topk(size, -1) for rows in _log_probs(targets, student_vocabulary, temperature)]
    ids = torch.cat([best.indices for best in found])
    log_probs = torch.cat([best.values for best in found])
    return TopKTargets(ids, log_probs, torch.full_like(log_probs[:, 0], -torch.inf), temperature, within=True)


def _refuse_sampled(targets: Targets, why: str) -> None:
    if isinstance(targets, SampledTargets):
        raise UserError(
            f"The teacher's signal is sampled, and {why}. Use train.signal: online, or a cache that keeps top-k or hidden states "
            "(distil signals build)."
        )


def _log_probs(
    targets: DenseTargets | LogitTargets | MixtureTargets, student_vocabulary: int, temperature: float
) -> Iterator[Tensor]:
    """(C, V) log p_T over the shared ids, a chunk of rows at a time; one empty chunk where there are no rows."""
    vocabulary = min(targets.vocabulary, student_vocabulary)
    first = targets.teachers[0] if isinstance(targets, MixtureTargets) else targets
    values = first.hidden if isinstance(first, DenseTargets) else first.logits
    step = chunk_rows(vocabulary, LOGIT_BUFFERS, work_dtype(values.dtype), values.device)
    for start in range(0, max(targets.rows, 1), step):
        yield _chunk(rows_of(targets, slice(start, start + step)), vocabulary, temperature)


def _chunk(targets: Targets, vocabulary: int, temperature: float) -> Tensor:
    if isinstance(targets, MixtureTargets):
        parts = [_chunk(teacher, vocabulary, temperature) for teacher in targets.teachers]
        shares = torch.tensor(targets.shares, dtype=parts[0].dtype).log().tolist()
        return torch.logsumexp(torch.stack([part + share for part, share in zip(parts, shares, strict=True)]), 0)
    if isinstance(targets, DenseTargets):
        logits = torch.empty(
            targets.rows, vocabulary, dtype=work_dtype(targets.weight.dtype), device=targets.hidden.device
        )
        head = targets.head.detached(vocabulary)
        with torch.autocast(logits.device.type, enabled=False):  # as in fused.py
            head.project(targets.hidden.detach(), temperature, logits)
            head.cap_(logits, temperature)
        return torch.log_softmax(logits, -1)
    assert isinstance(targets, LogitTargets)
    logits = targets.logits.detach()[:, :vocabulary]
    return torch.log_softmax(logits.to(work_dtype(logits.dtype)) / temperature, -1)
