"""Alignment of two tokenizations, and the losses on aligned groups."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distil.errors import UserError
from distil.objectives import (
    CrossTokenizer,
    DenseTargets,
    FirstBytes,
    LogitTargets,
    LossSettings,
    Spans,
    aligned_spans,
    cross_tokenizer_distillation,
    divergence_rows,
    joined_spans,
    matched_vocabulary,
)
from distil.objectives.crosstokenizer import group_losses, sorted_l1_rows, span_log_probs
from tests.objectives.builders import normal

WORDS = {token: number for number, token in enumerate(["a", "b", "ab", "c", "d"])}
OTHERS = {token: number for number, token in enumerate(["c", "b", "a", "bc", "e", "f"])}
BYTES = FirstBytes(*(torch.tensor([ord(token[0]) for token in words]) for words in (WORDS, OTHERS)))


def test_groups_close_at_common_byte_boundaries() -> None:
    spans = aligned_spans([1, 3, 5, 6], [1, 2, 3, 6])  # x|yy|zz|w  against  x|y|y|zzw
    assert spans.student.tolist() == [[0, 1], [1, 2], [2, 4]]
    assert spans.teacher.tolist() == [[0, 1], [1, 3], [3, 4]]
    assert spans.single().tolist() == [True, False, False]


def test_an_end_token_without_text_aligns_with_its_counterpart() -> None:
    spans = aligned_spans([2, 4, 4], [4, 4])
    assert spans.student.tolist() == [[0, 2], [2, 3]]
    assert spans.teacher.tolist() == [[0, 1], [1, 2]]


def test_a_text_that_one_side_cut_short_aligns_as_far_as_both_go() -> None:
    assert aligned_spans([1, 2, 3], [1]).teacher.tolist() == [[0, 1]]
    assert len(aligned_spans([2], [1])) == 0


def test_offsets_that_go_back_are_refused() -> None:
    with pytest.raises(ValueError, match="never do"):
        aligned_spans([2, 1], [1, 2])


cuts = st.lists(st.integers(1, 30), max_size=12, unique=True).map(lambda inner: [*sorted(inner), 31])


@settings(max_examples=100, deadline=None)
@given(cuts, cuts)
def test_groups_cover_both_texts_and_are_minimal(student: list[int], teacher: list[int]) -> None:
    spans = aligned_spans(student, teacher)
    for side, ends in ((spans.student, student), (spans.teacher, teacher)):
        assert int(side[0, 0]) == 0 and int(side[-1, 1]) == len(ends)
        assert all(int(one[1]) == int(two[0]) for one, two in pairwise(side))
    assert len(spans) == len(set(student) & set(teacher))


def test_groups_of_several_texts_keep_their_rows() -> None:
    one, two = aligned_spans([1, 2], [1, 2]), aligned_spans([3], [1, 3])
    joined = joined_spans([one, two.moved(10, 20)])
    assert joined.student.tolist() == [[0, 1], [1, 2], [10, 11]]
    assert joined.teacher.tolist() == [[0, 1], [1, 2], [20, 22]]
    assert len(joined_spans([])) == 0


def test_equal_strings_are_matched_and_the_rest_is_kept_apart() -> None:
    match = matched_vocabulary(WORDS, OTHERS, student_size=7)
    assert {(int(s), int(t)) for s, t in zip(match.student_ids, match.teacher_ids, strict=True)} == {
        (0, 2),
        (1, 1),
        (3, 0),
    }
    assert match.rest("student").tolist() == [2, 4, 5, 6]
    assert match.rest("teacher").tolist() == [3, 4, 5]
    assert match.share == 0.5
    with pytest.raises(UserError, match="share no token"):
        matched_vocabulary({"x": 0}, {"y": 0})


def test_sorted_l1_is_blind_to_order_and_to_padding() -> None:
    p, q = torch.rand(3, 6, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    expected = sum(
        (p.sort(-1, descending=True).values[:, i] - (q.sort(-1, descending=True).values[:, i] if i < 4 else 0)).abs()
        for i in range(6)
    )
    torch.testing.assert_close(sorted_l1_rows(p, q), expected)
    torch.testing.assert_close(sorted_l1_rows(p[:, torch.randperm(6)], q), expected)
    assert (sorted_l1_rows(p, p.flip(-1)) == 0).all()


def test_few_ranks_are_within_the_remaining_mass() -> None:
    p, q = (torch.softmax(4 * normal(5, 60, seed=seed), -1) for seed in (1, 2))
    whole, few = sorted_l1_rows(p, q), sorted_l1_rows(p, q, 20)
    left = [side.sort(-1, descending=True).values[:, 20:].sum(-1) for side in (p, q)]
    assert (few <= whole + 1e-12).all() and (whole - few <= 2 * torch.minimum(*left) + 1e-12).all()
    torch.testing.assert_close(sorted_l1_rows(p, q, 60), whole)


def test_bytes_is_at_most_the_divergence_of_the_texts() -> None:
    student, teacher = torch.log_softmax(normal(2, 5, seed=1), -1), torch.log_softmax(normal(2, 6, seed=2), -1)
    spans = Spans(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0, 1], [1, 2]]))
    how = CrossTokenizer("bytes", first_bytes=BYTES)
    got = group_losses(student, teacher, torch.tensor([2, 3]), torch.tensor([2, 0]), spans, how)  # ab|c against a|c
    q, p = student[0].exp(), teacher[0].exp()
    outcomes = [
        (q[2], p[2]),  # the text
        (q[0], torch.tensor(0.0, dtype=q.dtype)),  # an a, but another text
        (q[1], p[1] + p[3]),
        (q[3], p[0]),
        (q[4], torch.tensor(0.0, dtype=q.dtype)),
        (torch.tensor(0.0, dtype=q.dtype), p[4]),
        (torch.tensor(0.0, dtype=q.dtype), p[5]),
    ]
    q_row, p_row = (torch.stack([pair[side] for pair in outcomes]).clamp(min=1e-7) for side in (0, 1))
    expected = divergence_rows("forward_kl", p_row.log(), q_row.log())
    torch.testing.assert_close(got[0], expected, rtol=1e-3, atol=1e-3)
    same = FirstBytes(BYTES.student, BYTES.student)
    other = torch.log_softmax(normal(2, 5, seed=3), -1)
    one = aligned_spans([1, 2], [1, 2])
    below = group_losses(
        student, other, torch.tensor([0, 1]), torch.tensor([0, 1]), one, CrossTokenizer("bytes", first_bytes=same)
    )
    assert (below <= divergence_rows("forward_kl", other, student) + 1e-6).all()


def problem() -> tuple[Tensor, Tensor, DenseTargets, Tensor, Tensor, Spans]:
    hidden, weight = normal(7, 3, seed=1).requires_grad_(), normal(5, 3, seed=2).requires_grad_()
    targets = DenseTargets(normal(8, 4, seed=3), normal(6, 4, seed=4))
    labels, teacher_labels = torch.tensor([-100, 0, 1, 2, 3, 4, -100]), torch.tensor([-100, -100, 2, 1, 2, 1, 0, 4])
    spans = Spans(torch.tensor([[1, 2], [2, 3], [3, 4], [4, 6]]), torch.tensor([[2, 3], [3, 4], [4, 6], [6, 8]]))
    return hidden, weight, targets, labels, teacher_labels, spans


@pytest.mark.parametrize("method", ["spans", "uld", "bytes"])
@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_chunks_give_the_loss_and_gradient_of_the_whole(method: str, chunk: int) -> None:
    hidden, weight, targets, labels, teacher_labels, spans = problem()
    how = CrossTokenizer(
        method, matched_vocabulary(WORDS, OTHERS), BYTES, LossSettings(temperature=1.5), chunk_groups=chunk
    )
    loss = cross_tokenizer_distillation(hidden, weight, targets, labels, teacher_labels, spans, how)
    groups = group_losses(
        hidden @ weight.t(),
        targets.hidden @ targets.weight.t(),
        labels.clamp(min=0),
        teacher_labels.clamp(min=0),
        spans,
        how,
    )
    label = torch.nn.functional.cross_entropy(hidden @ weight.t(), labels, reduction="sum")
    whole = 0.7 * groups.sum() + 0.3 * label
    assert loss.count == 5
    torch.testing.assert_close(loss.total, whole)
    torch.testing.assert_close(loss.distill, groups.sum().detach())
    for got, expected in zip(
        torch.autograd.grad(loss.total, (hidden, weight)), torch.autograd.grad(whole, (hidden, weight)), strict=True
    ):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("method", ["spans", "uld", "bytes"])
def test_gradients_across_tokenizers_match_finite_differences(method: str) -> None:
    hidden, weight, targets, labels, teacher_labels, spans = problem()
    how = CrossTokenizer(
        method, matched_vocabulary(WORDS, OTHERS), BYTES, LossSettings(divergence="jsd", temperature=2.0)
    )

    def loss(hidden: Tensor, weight: Tensor) -> Tensor:
        return cross_tokenizer_distillation(hidden, weight, targets, labels, teacher_labels, spans, how).total

    assert torch.autograd.gradcheck(loss, (hidden, weight))


@pytest.mark.parametrize("method", ["spans", "uld", "bytes"])
def test_two_equal_models_with_one_tokenizer_have_no_loss(method: str) -> None:
    hidden, weight = normal(4, 3, seed=1), normal(5, 3, seed=2)
    labels = torch.tensor([0, 1, 2, 3])
    spans = aligned_spans([1, 2, 4, 5], [1, 2, 4, 5])
    how = CrossTokenizer(method, matched_vocabulary(WORDS, WORDS), FirstBytes(BYTES.student, BYTES.student))
    loss = cross_tokenizer_distillation(hidden, weight, DenseTargets(hidden, weight), labels, labels, spans, how)
    assert abs(float(loss.distill)) < 1e-9


def test_fully_matched_single_groups_are_the_plain_divergence() -> None:
    student, teacher = normal(3, 5, seed=1), normal(3, 5, seed=2)
    labels = torch.tensor([0, 1, 2])
    how = CrossTokenizer(
        "spans", matched_vocabulary(WORDS, WORDS), loss=LossSettings(divergence="reverse_kl", temperature=2.0)
    )
    got = group_losses(student, teacher, labels, labels, aligned_spans([1, 2, 3], [1, 2, 3]), how)
    expected = 4.0 * divergence_rows(
        "reverse_kl", torch.log_softmax(teacher / 2, -1), torch.log_softmax(student / 2, -1)
    )
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_a_long_group_compares_the_probability_of_its_span() -> None:
    student, teacher = torch.log_softmax(normal(2, 5, seed=1), -1), torch.log_softmax(normal(1, 6, seed=2), -1)
    spans = Spans(torch.tensor([[0, 2]]), torch.tensor([[0, 1]]))
    labels, teacher_labels = torch.tensor([0, 1]), torch.tensor([3])
    how = CrossTokenizer("spans", matched_vocabulary(WORDS, OTHERS))
    q = student[0, 0].exp() * student[1, 1].exp()
    p = teacher[0, 3].exp()
    expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(group_losses(student, teacher, labels, teacher_labels, spans, how)[0], expected)
    torch.testing.assert_close(span_log_probs(student, labels, spans.student)[0].exp(), q)


def test_groups_with_an_uncounted_row_are_left_out() -> None:
    hidden, weight, targets, labels, teacher_labels, spans = problem()
    how = CrossTokenizer("uld")
    first = Spans(spans.student[1:], spans.teacher[1:])
    labels[1] = -100
    with_gap = cross_tokenizer_distillation(hidden, weight, targets, labels, teacher_labels, spans, how)
    without = cross_tokenizer_distillation(hidden, weight, targets, labels, teacher_labels, first, how)
    torch.testing.assert_close(with_gap.total, without.total)
    nothing = cross_tokenizer_distillation(
        hidden, weight, LogitTargets(normal(8, 6, seed=1)), torch.full((7,), -100), teacher_labels, spans, how
    )
    assert nothing.total.item() == 0.0 and nothing.count == 0
    assert (torch.autograd.grad(nothing.total, weight)[0] == 0).all()


def test_an_unknown_method_or_a_missing_match_is_refused() -> None:
    with pytest.raises(UserError, match="spans, uld, bytes"):
        CrossTokenizer("gold")
    with pytest.raises(UserError, match="matched_vocabulary"):
        CrossTokenizer("spans")
    with pytest.raises(UserError, match="FirstBytes"):
        CrossTokenizer("bytes")
