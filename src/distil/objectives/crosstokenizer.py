"""Distillation across tokenizers: the loss on groups of tokens that say the same bytes.

Three methods on the groups of `spans.py`. `uld` sorts both distributions and takes the L1 distance between ranks: it needs no ids
in common (Universal Logit Distillation, Boizard et al. 2024, arXiv 2402.12030), here between positions that really correspond.
`spans` compares what can be compared exactly: where one token stands against one, a divergence over the ids that both
vocabularies spell alike with everything else as one outcome, plus the sorted L1 on that rest; where several tokens stand
against several, the probability of the whole span. This follows the idea of GOLD (Patino et al., Hugging Face 2025), with three
differences: the matched part is a distribution with a bucket for the rest, so its divergence cannot be negative; rows are taken
where they predict the token; longer groups compare one exact number, because a last token's string is not the span's.
`bytes`: at the start of each group both models have a distribution over the next byte of the text (the summed mass of all tokens
that begin with it) and a probability of the group's whole text. The divergence is over these outcomes: the text; each other first
byte; the same byte but another text; the end. It compares events and never ids: an id that both vocabularies spell alike is no
common event where only one of them has longer tokens with that beginning. Needs no common id and no sort.

Not for equal tokenizers (`fused.py` is exact and faster) and not a tokenizer. Chunks are recomputed in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from distil.errors import UserError
from distil.objectives.fused import fused_linear_distillation
from distil.objectives.heads import OutputHead
from distil.objectives.reference import divergence_rows
from distil.objectives.settings import LossSettings
from distil.objectives.spans import OUTCOMES, FirstBytes, Spans, VocabularyMatch
from distil.objectives.sparse import LOWEST_LOG_MASS
from distil.objectives.targets import IGNORED, DenseTargets, LogitTargets, LossSum

METHODS = ("spans", "uld", "bytes")
MIN_MASS = 1e-7  # differences of sums in float32 are noise below it


@dataclass(frozen=True)
class CrossTokenizer:
    """How to compare two vocabularies."""

    method: str = "spans"
    match: VocabularyMatch | None = None
    """Needed by `spans`."""
    first_bytes: FirstBytes | None = None
    """Needed by `bytes`."""
    loss: LossSettings = field(default_factory=LossSettings)
    rest_weight: float = 1.0
    """Of the sorted L1 on ids without a partner, next to a divergence of weight 1."""
    logit_scale: float = 1.0
    """Of the student; the teacher's is in its DenseTargets. As in `fused_linear_distillation`."""
    logit_softcap: float | None = None
    ranks: int = 512
    """uld and the rest of spans: so many of the largest values are compared rank by rank, the sum of all others as one value. A
    full sort takes five times as long at 4,000 ids, and the difference is at most twice the smaller of the two sums left over."""
    chunk_groups: int = 128
    """Groups whose logits exist at a time."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"Unknown cross-tokenizer method {self.method!r}; expected one of {', '.join(METHODS)}.")
        if self.method == "spans" and self.match is None:
            raise UserError(
                "The method spans needs the ids that both vocabularies spell alike and got none; expected a "
                "VocabularyMatch. Make one with matched_vocabulary, or use the method uld, which needs no ids in common."
            )
        if self.method == "bytes" and self.first_bytes is None:
            raise UserError(
                "The method bytes needs the first byte of every id of both vocabularies: a FirstBytes; got none."
            )

    def divergence_rows(self, teacher: Tensor, student: Tensor) -> Tensor:
        """The chosen divergence of each row of log-probabilities: (G, V), (G, V) -> (G,)."""
        return divergence_rows(self.loss.divergence, teacher, student, beta=self.loss.beta, alpha=self.loss.alpha)


def sorted_l1_rows(p: Tensor, q: Tensor, ranks: int | None = None) -> Tensor:
    """sum_i |p_(i) - q_(i)| of the descending values of each row, the shorter padded with 0: (G, A), (G, B) -> (G,).

    ranks: only so many are compared one by one, the sums of the others as one (a lower bound of the whole); None = all.
    """
    width = max(p.shape[1], q.shape[1])
    kept = width if ranks is None else min(width, ranks)
    tops = [_largest(side, kept) for side in (p, q)]
    rows = (tops[0] - tops[1]).abs().sum(-1)
    if kept < width:
        left = [side.sum(-1) - top.sum(-1) for side, top in zip((p, q), tops, strict=True)]
        rows = rows + (left[0] - left[1]).abs()
    return rows


def _largest(values: Tensor, count: int) -> Tensor:
    """(G, A) -> (G, count), descending, padded with 0."""
    have = min(count, values.shape[1])
    top = values.sort(-1, descending=True).values if have == values.shape[1] else values.topk(have, -1).values
    return torch.nn.functional.pad(top, (0, count - have))


def span_log_probs(log_probs: Tensor, labels: Tensor, spans: Tensor) -> Tensor:
    """log-probability of each span of labels: log_probs (T, V), labels (T,), spans (G, 2) -> (G,)."""
    taken = log_probs.gather(1, labels[:, None]).squeeze(1)
    sums = torch.cat([taken.new_zeros(1), taken.cumsum(0)])
    return sums[spans[:, 1]] - sums[spans[:, 0]]


def group_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_labels: Tensor,
    teacher_labels: Tensor,
    spans: Spans,
    how: CrossTokenizer,
) -> Tensor:
    """The distillation term of each group, (G,), with T^2. Logits (T_s, V_s), (T_t, V_t); labels are the tokens that each
    row predicts, on its own side; every row inside a span needs one."""
    temperature = how.loss.temperature
    student = torch.log_softmax(student_logits / temperature, -1)
    teacher = torch.log_softmax(teacher_logits.to(student.dtype) / temperature, -1)
    if how.method == "uld":
        rows = _uld_rows(student, teacher, student_labels, teacher_labels, spans, how.ranks)
    elif how.method == "bytes":
        rows = _byte_rows(student, teacher, student_labels, teacher_labels, spans, how)
    else:
        single = spans.single()
        rows = student.new_zeros(len(spans))
        ones, longer = single.nonzero().squeeze(1), (~single).nonzero().squeeze(1)
        if ones.numel():
            matched = _matched_rows(student[spans.student[ones, 0]], teacher[spans.teacher[ones, 0]], how)
            rows = rows.index_add(0, ones, matched)
        if longer.numel():
            q = _two_outcomes(span_log_probs(student, student_labels, spans.student[longer]))
            p = _two_outcomes(span_log_probs(teacher, teacher_labels, spans.teacher[longer]))
            rows = rows.index_add(0, longer, how.divergence_rows(p, q))
    return rows * temperature**2


def cross_tokenizer_distillation(
    student_hidden: Tensor,
    student_weight: Tensor,
    targets: DenseTargets | LogitTargets,
    student_labels: Tensor,
    teacher_labels: Tensor,
    spans: Spans,
    how: CrossTokenizer,
    student_bias: Tensor | None = None,
) -> LossSum:
    """Both loss terms for a student and a teacher with different tokenizers, as sums.

    student_hidden: (N_s, H_s), weight (V_s, H_s); targets: N_t rows of the teacher over the same text; labels: (N_s,) and
    (N_t,), the token that each row predicts, -100 = not counted; spans: groups in these rows. The label term is over all
    counted student rows, the distillation term is a sum over groups (T^2 included), and `count` is the counted student rows.
    Groups with an uncounted row on either side are left out. Works chunk by chunk, and computes a chunk's logits again in the
    backward pass.
    """
    label = fused_linear_distillation(
        student_hidden,
        student_weight,
        None,
        student_labels,
        label_weight=1.0,
        student_bias=student_bias,
        logit_scale=how.logit_scale,
        logit_softcap=how.logit_softcap,
    )
    spans = _counted_groups(spans, student_labels, teacher_labels)
    distill = torch.zeros_like(label.total)
    for start in range(0, len(spans), how.chunk_groups):
        part = Spans(spans.student[start : start + how.chunk_groups], spans.teacher[start : start + how.chunk_groups])
        student_rows, part_student = _compact(part.student)
        teacher_rows, part_teacher = _compact(part.teacher)
        distill = distill + checkpoint(
            _chunk_distill,
            (student_hidden[student_rows], student_weight, student_bias),
            _teacher_logits(targets, teacher_rows),
            (student_labels[student_rows], teacher_labels[teacher_rows]),
            Spans(part_student, part_teacher),
            how,
            use_reentrant=False,
        )
    total = how.loss.distill_weight * distill + how.loss.label_weight * label.total
    return LossSum(total, distill.detach(), label.label, label.count)


def _chunk_distill(
    student: tuple[Tensor, Tensor, Tensor | None],
    teacher_logits: Callable[[], Tensor],
    labels: tuple[Tensor, Tensor],
    spans: Spans,
    how: CrossTokenizer,
) -> Tensor:
    hidden, weight, bias = student
    logits = _wide(OutputHead(weight, bias, how.logit_scale, how.logit_softcap).logits(hidden))
    return group_losses(logits, teacher_logits(), labels[0], labels[1], spans, how).sum()


def _teacher_logits(targets: DenseTargets | LogitTargets, rows: Tensor) -> Callable[[], Tensor]:
    """The teacher's logits of these rows, formed when asked for, so that no chunk keeps them until the backward pass."""

    def form() -> Tensor:
        with torch.no_grad():
            if isinstance(targets, LogitTargets):
                return _wide(targets.logits[rows])
            return _wide(targets.head.logits(targets.hidden[rows]))

    return form


def _compact(side: Tensor) -> tuple[Tensor, Tensor]:
    """(G, 2) spans in a batch -> the rows that they cover, (R,), and the same spans counted in those rows."""
    lengths = side[:, 1] - side[:, 0]
    ends = lengths.cumsum(0)
    starts = ends - lengths
    rows = torch.arange(int(lengths.sum()), device=side.device) + (side[:, 0] - starts).repeat_interleave(lengths)
    return rows, torch.stack([starts, ends], -1)


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _counted_groups(spans: Spans, student_labels: Tensor, teacher_labels: Tensor) -> Spans:
    """The groups whose every row has a label, in the order of the student's rows."""

    def complete(labels: Tensor, side: Tensor) -> Tensor:
        missing = torch.cat([labels.new_zeros(1), (labels == IGNORED).to(labels.dtype).cumsum(0)])
        return missing[side[:, 1]] == missing[side[:, 0]]

    kept = complete(student_labels, spans.student) & complete(teacher_labels, spans.teacher)
    return Spans(spans.student[kept], spans.teacher[kept])


def _uld_rows(
    student: Tensor, teacher: Tensor, labels: Tensor, teacher_labels: Tensor, spans: Spans, ranks: int
) -> Tensor:
    """Sorted L1 between the last rows of each group, each times the probability of the group's tokens before it."""
    sides = []
    for log_probs, tokens, side in ((student, labels, spans.student), (teacher, teacher_labels, spans.teacher)):
        before = torch.stack([side[:, 0], side[:, 1] - 1], -1)
        prefix = span_log_probs(log_probs, tokens, before)
        sides.append((log_probs[side[:, 1] - 1] + prefix[:, None]).exp())
    return sorted_l1_rows(sides[1], sides[0], ranks)


def _byte_rows(
    student: Tensor, teacher: Tensor, labels: Tensor, teacher_labels: Tensor, spans: Spans, how: CrossTokenizer
) -> Tensor:
    """Divergence over the next byte at the start of each group, with the group's whole text as a separate outcome."""
    assert how.first_bytes is not None
    sides, firsts = [], []
    for log_probs, tokens, side, bytes_of in (
        (student, labels, spans.student, how.first_bytes.student),
        (teacher, teacher_labels, spans.teacher, how.first_bytes.teacher),
    ):
        rows = log_probs[side[:, 0]].exp()  # (G, V)
        masses = rows.new_zeros(rows.shape[0], OUTCOMES).index_add(1, bytes_of[: rows.shape[1]], rows)
        whole = span_log_probs(log_probs, tokens, side).exp()[:, None]
        first = bytes_of[tokens[side[:, 0]]][:, None]
        masses = torch.cat([masses.scatter_add(1, first, -whole), whole], -1)  # (G, OUTCOMES + 1)
        sides.append(masses.clamp(min=MIN_MASS).log().log_softmax(-1))
        firsts.append(first[:, 0])
    q, p = sides
    rows = how.divergence_rows(p, q)
    apart = firsts[0] != firsts[1]  # one side begins with its own blank or mark: only the whole is the same event
    if not apart.any():
        return rows
    alone = [_two_outcomes(side[:, -1]) for side in (p, q)]
    return torch.where(apart, how.divergence_rows(*alone), rows)


def _matched_rows(student: Tensor, teacher: Tensor, how: CrossTokenizer) -> Tensor:
    """Divergence over matched ids + one outcome for the rest, plus the sorted L1 of the rest: (G, V_s), (G, V_t) -> (G,)."""
    match = how.match
    assert match is not None
    rest_s, rest_t = match.rest("student"), match.rest("teacher")
    q = torch.cat([student[:, match.student_ids], _log_mass(student[:, rest_s])], -1)
    p = torch.cat([teacher[:, match.teacher_ids], _log_mass(teacher[:, rest_t])], -1)
    rows = how.divergence_rows(p.log_softmax(-1), q.log_softmax(-1))
    if how.rest_weight and (rest_s.numel() or rest_t.numel()):
        rows = rows + how.rest_weight * sorted_l1_rows(teacher[:, rest_t].exp(), student[:, rest_s].exp(), how.ranks)
    return rows


def _log_mass(log_probs: Tensor) -> Tensor:
    """(G, R) -> (G, 1) log of the sum, never below the floor (no ids, or none with mass)."""
    floor = log_probs.new_full((log_probs.shape[0], 1), LOWEST_LOG_MASS)
    return torch.cat([log_probs, floor], -1).logsumexp(-1, keepdim=True)


def _two_outcomes(log_prob: Tensor) -> Tensor:
    """(G,) log-probability of a span -> (G, 2) normalized log-probabilities of the span and of any other text."""
    log_prob = log_prob.clamp(min=LOWEST_LOG_MASS, max=-1e-6)
    return torch.stack([log_prob, torch.log(-torch.expm1(log_prob))], -1).log_softmax(-1)
