"""What a teacher says about N positions, in the forms that a student can learn from.

This file holds data and its checks only: which tensors, which shapes, which divergences a form can serve. It computes no loss
(`fused.py`, `reference.py`) and draws no samples (`sampling.py`). Rows are aligned already: row i of every tensor speaks about
the same position as row i of the student's hidden states (`shift.py` does that). `train/` builds targets from a live teacher,
`signals/` from a cache on disk.

    form              knows                                    divergences
    DenseTargets      hidden states and the teacher's head     all
    LogitTargets      every logit                              all
    MixtureTargets    several of the two above, weighted       all (of the mixture)
    TopKTargets       k log-probabilities and the tail mass    all, of the distribution with the tail as one outcome
    SampledTargets    unbiased weights on a few ids            forward_kl only: the one loss that is linear in p
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distil.errors import UserError
from distil.objectives.heads import OutputHead

DIVERGENCES = ("forward_kl", "reverse_kl", "jsd", "skew_kl", "skew_reverse_kl", "tvd")
IGNORED = -100  # a label that is not counted, as in torch's cross_entropy


@dataclass(frozen=True)
class LossSum:
    """Sums over the counted tokens, never means: the training loop divides once, by the tokens of the whole global batch."""

    total: Tensor
    """() distill_weight * distill + label_weight * label; the only part with a gradient."""
    distill: Tensor
    """() the divergence times T^2 (Hinton, Vinyals, Dean 2015), detached; 0 without a teacher."""
    label: Tensor
    """() cross-entropy against the labels at temperature 1, detached."""
    count: int
    """Rows whose label is not -100."""


@dataclass(frozen=True)
class DenseTargets:
    """The teacher's final hidden states and its head; logits are formed a chunk at a time and never kept."""

    hidden: Tensor
    """(N, H_t), after the final norm."""
    weight: Tensor
    """(V_t, H_t)"""
    bias: Tensor | None = None
    """(V_t,)"""
    logit_scale: float = 1.0
    """Multiplies the logits (Cohere's `logit_scale`; 1 / `logits_scaling` for Granite)."""
    logit_softcap: float | None = None
    """Gemma's `final_logit_softcapping`: cap * tanh(logits / cap), after the scale."""

    @classmethod
    def of(cls, hidden: Tensor, head: OutputHead) -> DenseTargets:
        """The hidden states (N, H_t) of a teacher with this head."""
        return cls(hidden, head.weight, head.bias, head.scale, head.softcap)

    @property
    def head(self) -> OutputHead:
        return OutputHead(self.weight, self.bias, self.logit_scale, self.logit_softcap)

    @property
    def rows(self) -> int:
        return self.hidden.shape[0]

    @property
    def vocabulary(self) -> int:
        return self.weight.shape[0]


@dataclass(frozen=True)
class LogitTargets:
    """The teacher's logits at temperature 1, final (scaled and capped already). -inf counts as probability 0."""

    logits: Tensor
    """(N, V_t)"""

    @property
    def rows(self) -> int:
        return self.logits.shape[0]

    @property
    def vocabulary(self) -> int:
        return self.logits.shape[1]


@dataclass(frozen=True)
class MixtureTargets:
    """Several teachers of one vocabulary as one: p = sum_k w_k p_k, each p_k tempered before it is mixed."""

    teachers: tuple[DenseTargets | LogitTargets, ...]
    weights: tuple[float, ...]
    """Positive; scaled to sum to 1."""

    def __post_init__(self) -> None:
        if not self.teachers or len(self.teachers) != len(self.weights) or min(self.weights) <= 0:
            raise UserError(
                f"A mixture has {len(self.teachers)} teachers and the weights {list(self.weights)}; expected one positive "
                "weight for each teacher. Give as many weights as teachers, and leave out a teacher that should not count."
            )
        if len({teacher.rows for teacher in self.teachers}) != 1:
            raise ValueError(f"teachers of a mixture disagree on rows: {[teacher.rows for teacher in self.teachers]}")

    @property
    def rows(self) -> int:
        return self.teachers[0].rows

    @property
    def vocabulary(self) -> int:
        """The common prefix of ids (see `vocabulary.py`)."""
        return min(teacher.vocabulary for teacher in self.teachers)

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(weight / sum(self.weights) for weight in self.weights)


@dataclass(frozen=True)
class SparseTargets:
    """A few ids of each row with something about each; use one of the two subclasses."""

    ids: Tensor
    """(N, K) int64, unique within a row; -1 pads, and never stands first."""

    @property
    def rows(self) -> int:
        return self.ids.shape[0]


@dataclass(frozen=True)
class TopKTargets(SparseTargets):
    """The teacher's k best ids and, as one more outcome, the mass of all others.

    Any divergence between the two distributions over these k + 1 outcomes is a lower bound of the full one (data processing),
    is never negative, and is 0 where the student agrees on the k and on their sum. Nothing is renormalized over the kept
    ids (unless `within`): that teaches the student to be over-confident. The stored numbers are rounded, so the k + 1 are
    scaled to sum to 1.
    """

    log_probs: Tensor
    """(N, K) log p_T of each id, at `temperature`; any value where the id is -1."""
    log_tail: Tensor
    """(N,) log of the mass outside the k, at `temperature`; -inf is taken as the floor e^-30."""
    temperature: float = 1.0
    """The temperature of these probabilities. They cannot be re-tempered without the normalizer: see `retempered_top_k`."""
    within: bool = False
    """Compare within the k ids only, both sides scaled to sum to 1 over them (Fu et al. 2026, 2603.25562): what the student
    gives to other ids costs nothing."""

    def __post_init__(self) -> None:
        if self.log_probs.shape != self.ids.shape or self.log_tail.shape != self.ids.shape[:1]:
            raise ValueError(
                f"TopKTargets: ids {tuple(self.ids.shape)}, log_probs {tuple(self.log_probs.shape)} and log_tail "
                f"{tuple(self.log_tail.shape)} do not match (N, K), (N, K), (N,)"
            )


@dataclass(frozen=True)
class SampledTargets(SparseTargets):
    """Weights w on a few ids with E[w] = p at every id: Random-Sampling KD (Anshumann et al., ACL 2025) and its kin.

    Serves forward_kl only, which is linear in p: the expected loss and gradient are then exactly those of the full
    distribution. For any other divergence a mean over draws is not the divergence of the mean, so those are refused.
    """

    weights: Tensor
    """(N, K); 0 where the id is -1. Rows need not sum to 1 (importance weights)."""
    entropy: Tensor | None = None
    """(N,) entropy of p_T in nats. With it `distill` is a KL and 0 for a perfect student; without it a cross-entropy."""
    temperature: float = 1.0
    """The temperature of the distribution that was sampled."""

    def __post_init__(self) -> None:
        if self.weights.shape != self.ids.shape:
            raise ValueError("SampledTargets: weights must have the shape (N, K) of ids")


Targets = DenseTargets | LogitTargets | MixtureTargets | SparseTargets


def rows_of(targets: Targets, index: Tensor | slice) -> Targets:
    """The targets of some rows: index is a slice, a mask (N,) or positions."""
    if isinstance(targets, MixtureTargets):
        return MixtureTargets(tuple(_dense_rows(teacher, index) for teacher in targets.teachers), targets.weights)
    if isinstance(targets, DenseTargets | LogitTargets):
        return _dense_rows(targets, index)
    if isinstance(targets, TopKTargets):
        return replace(
            targets,
            ids=targets.ids[index],
            log_probs=targets.log_probs[index],
            log_tail=targets.log_tail[index],
        )
    if isinstance(targets, SampledTargets):
        entropy = None if targets.entropy is None else targets.entropy[index]
        return replace(targets, ids=targets.ids[index], weights=targets.weights[index], entropy=entropy)
    raise TypeError(f"targets of type {type(targets).__name__} are not known")


def _dense_rows(targets: DenseTargets | LogitTargets, index: Tensor | slice) -> DenseTargets | LogitTargets:
    if isinstance(targets, DenseTargets):
        return replace(targets, hidden=targets.hidden[index])
    return LogitTargets(targets.logits[index])


def retempered_top_k(ids: Tensor, logits: Tensor, log_normalizer: Tensor, temperature: float) -> TopKTargets:
    """Exact top-k targets at another temperature, from logits that were stored with their normalizer at that temperature.

    ids: (N, K); logits: (N, K) up to a constant a row; log_normalizer: (N,) log sum_v exp(logit_v / T) with the same constant,
    over the whole vocabulary. A cache that keeps log Z_T for a small grid of T is exact at each T of the grid; raising the
    leftover mass of a T = 1 cache to the power 1/T is not, because (sum p)^a != sum p^a.
    """
    present = ids >= 0
    log_probs = (logits.float() / temperature - log_normalizer.float()[:, None]).masked_fill(~present, -torch.inf)
    kept = torch.logsumexp(log_probs, dim=-1).clamp(max=-1e-12)
    log_tail = torch.log(-torch.expm1(kept))  # log(1 - P) without losing a small tail to rounding
    return TopKTargets(ids=ids, log_probs=log_probs, log_tail=log_tail, temperature=temperature)


def refuse_mismatch(targets: Targets, divergence: str, temperature: float, rows: int) -> None:
    """Raises UserError where these targets cannot serve this divergence or temperature, ValueError where rows differ."""
    if targets.rows != rows:
        raise ValueError(f"targets speak about {targets.rows} rows, the student has {rows}")
    if isinstance(targets, SampledTargets) and divergence != "forward_kl":
        raise UserError(
            f"The teacher's signal is sampled and the divergence is {divergence!r}; only forward_kl is linear in the teacher's "
            "probabilities, so only forward_kl is unbiased under sampling. Set divergence: forward_kl, or use a signal "
            "that keeps the tail (top-k), logits or hidden states."
        )
    if isinstance(targets, TopKTargets | SampledTargets) and abs(targets.temperature - temperature) > 1e-6:
        raise UserError(
            f"The teacher's signal was made at temperature {targets.temperature:g} and the training asks for {temperature:g}; "
            f"they must be equal. Set temperature: {targets.temperature:g}, or build the signal again at {temperature:g}."
        )
