"""Rules by rows against loops over single rows, written from the papers' formulas and differentiated by autograd."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from distil.errors import UserError
from distil.objectives import LossSettings, LossSum, TopKTargets
from distil.objectives.heads import OutputHead
from distil.objectives.reference import divergence_rows, teacher_log_probs
from distil.objectives.rowwise import RowRules, distillation_by_rows, teacher_entropy
from tests.objectives.builders import (
    DENSE_KINDS,
    Student,
    fused,
    gradients,
    make_labels,
    make_student,
    make_targets,
    same,
)

SETTINGS = LossSettings("reverse_kl", temperature=1.5)


def ours(student: Student, kind: str, rules: RowRules, settings: LossSettings = SETTINGS) -> LossSum:
    head = OutputHead(student.weight, student.bias, student.scale, student.cap)
    targets = make_targets(kind, temperature=settings.temperature)
    return distillation_by_rows(student.hidden, head, targets, make_labels(), settings, rules)


def naive(student: Student, kind: str, rules: RowRules, settings: LossSettings = SETTINGS) -> LossSum:
    """One row after the other, over full distributions."""
    targets, labels, t = make_targets(kind, temperature=settings.temperature), make_labels(), settings.temperature
    logits = student.logits()
    teacher = teacher_log_probs(targets, 9, t)
    total, label, distill, count = torch.zeros((), dtype=torch.float64), 0.0, 0.0, 0
    for row, wanted in enumerate(labels.tolist()):
        if wanted < 0:
            continue
        loss = -torch.log_softmax(logits[row], -1)[wanted]
        label, count, term = label + float(loss.detach()), count + 1, torch.zeros((), dtype=torch.float64)
        if wanted not in rules.masked:
            p, q = teacher[row], torch.log_softmax(logits[row] / t, -1)
            unsure = rules.forward_kl_above is not None and float(-(p.exp() * p).sum()) > rules.forward_kl_above
            if rules.top_k is not None:
                best = p.topk(rules.top_k).indices
                p, q = torch.log_softmax(p[best], -1), torch.log_softmax(q[best], -1)
            term = divergence_rows(settings.divergence, p[None], q[None], beta=settings.beta, alpha=settings.alpha)[0]
            if unsure:
                term = term + (p.exp() * (p - q)).sum()
        distill += float(term.detach()) * t**2
        total = total + settings.distill_weight * t**2 * term + settings.label_weight * loss
    return LossSum(total, torch.tensor(distill), torch.tensor(label), count)


def agree(got: LossSum, expected: LossSum, student: Student, tolerance: float = 1e-8) -> None:
    assert got.count == expected.count
    for name in ("total", "distill", "label"):
        torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=0, atol=1e-6, check_dtype=False)
    for one, other in zip(gradients(got, student), gradients(expected, student), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def middle(kind: str) -> float:
    """A threshold with rows on both sides of it."""
    entropy = teacher_entropy(make_targets(kind, temperature=1.5), 9, 1.5)
    return float(entropy[make_labels() >= 0].median()) - 1e-9


@pytest.mark.parametrize("kind", DENSE_KINDS)
@pytest.mark.parametrize("divergence", ["reverse_kl", "jsd"])
def test_forward_kl_is_added_where_the_teacher_is_unsure(kind: str, divergence: str) -> None:
    student = make_student(bias=True, cap=5.0)
    rules = RowRules(forward_kl_above=middle(kind))
    settings = LossSettings(divergence, temperature=1.5)
    agree(ours(student, kind, rules, settings), naive(student, kind, rules, settings), student)
    changed = float(ours(student, kind, rules, settings).distill)
    assert changed != pytest.approx(float(ours(student, kind, RowRules(), settings).distill))


@pytest.mark.parametrize("k", [2, 4, 9])
@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "tvd"])
def test_within_the_teachers_best_both_sides_sum_to_one(k: int, divergence: str) -> None:
    student, rules = make_student(), RowRules(top_k=k)
    settings = LossSettings(divergence, temperature=1.5)
    for kind in DENSE_KINDS:
        agree(ours(student, kind, rules, settings), naive(student, kind, rules, settings), student)


def test_masked_tokens_keep_their_label_loss_only() -> None:
    student, labels = make_student(), make_labels()
    rules = RowRules(masked=(int(labels[0]),))
    for kind in DENSE_KINDS:
        agree(ours(student, kind, rules), naive(student, kind, rules), student)
    everything = RowRules(masked=tuple(range(9)))
    assert float(ours(student, "dense", everything).distill) == 0.0


@pytest.mark.parametrize("rules", [RowRules(), RowRules(forward_kl_above=99.0), RowRules(masked=(10**6,))])
def test_rules_that_meet_no_row_change_nothing(rules: RowRules) -> None:
    student = make_student()
    expected = fused(student, make_targets("dense", temperature=1.5), make_labels(), **asdict(SETTINGS))
    same(ours(student, "dense", rules), expected, student, 0.0)


def test_all_rules_together_are_the_loop_with_all() -> None:
    student = make_student(bias=True, scale=0.7)
    rules = RowRules(middle("dense"), 4, (int(make_labels()[1]),))
    agree(ours(student, "dense", rules), naive(student, "dense", rules), student)


def test_a_server_s_top_k_is_cut_to_fewer() -> None:
    """k of the teacher's 3 best, and the same k from all of its logits."""
    student = make_student()
    head = OutputHead(student.weight)
    logits, labels = make_targets("logits"), make_labels()
    whole = distillation_by_rows(student.hidden, head, logits, labels, LossSettings("reverse_kl"), RowRules(top_k=2))
    three = make_targets("top_k")
    cut = distillation_by_rows(student.hidden, head, three, labels, LossSettings("reverse_kl"), RowRules(top_k=2))
    agree(cut, whole, student, 1e-6)  # the signal is stored in float32


def test_entropy_of_a_top_k_signal_has_the_tail_as_one_outcome() -> None:
    log_probs: Tensor = torch.tensor([[0.5, 0.25]], dtype=torch.float64).log()
    targets = TopKTargets(torch.tensor([[3, 1]]), log_probs, torch.tensor([0.25], dtype=torch.float64).log())
    # 0.5 ln 2 + 2 * 0.25 ln 4
    assert float(teacher_entropy(targets, 9, 1.0)) == pytest.approx(1.5 * 0.6931471805599453)


@pytest.mark.parametrize("rules", [RowRules(forward_kl_above=0.8), RowRules(top_k=4)])
def test_a_sampled_signal_can_not_serve_them(rules: RowRules) -> None:
    with pytest.raises(UserError, match="sampled"):
        ours(make_student(), "sampled", rules)


def test_forward_kl_on_forward_kl_is_refused() -> None:
    with pytest.raises(UserError, match="reverse_kl"):
        ours(make_student(), "dense", RowRules(forward_kl_above=0.8), LossSettings("forward_kl"))
