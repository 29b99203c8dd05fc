"""The fused loss against the reference, over random problems, and the invariances that peers broke."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from distil.errors import UserError
from distil.objectives import DIVERGENCES, DenseTargets, LogitTargets, MixtureTargets, fused_linear_distillation
from tests.objectives.builders import (
    ALL_KINDS,
    DENSE_KINDS,
    fused,
    gradients,
    make_labels,
    make_student,
    make_targets,
    normal,
    plain,
    same,
)


class Operations(TorchDispatchMode):
    """Records the matrix products and the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.products = 0
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.products += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)
        if isinstance(out, torch.Tensor) and not func.is_view:
            self.largest = max(self.largest, out.numel())
        return out


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(ALL_KINDS),
    divergence=st.sampled_from(DIVERGENCES),
    rows=st.integers(1, 9),
    vocabulary=st.integers(4, 17),
    chunk=st.integers(1, 10),
    temperature=st.sampled_from([0.5, 1.0, 2.0, 3.7]),
    weights=st.sampled_from([(0.7, 0.3), (1.0, 0.0), (0.0, 1.0), (2.0, 5.0)]),
    parameter=st.floats(0.05, 0.95),
    head=st.sampled_from([{}, {"bias": True}, {"cap": 5.0}, {"scale": 0.5, "cap": 2.0, "bias": True}]),
    seed=st.integers(0, 10_000),
)
def test_fused_equals_reference(
    kind: str,
    divergence: str,
    rows: int,
    vocabulary: int,
    chunk: int,
    temperature: float,
    weights: tuple[float, float],
    parameter: float,
    head: dict[str, Any],
    seed: int,
) -> None:
    divergence = "forward_kl" if kind == "sampled" else divergence
    student = make_student(rows, vocabulary, 3, seed=seed, **head)
    targets = make_targets(kind, rows, vocabulary, temperature, seed=seed + 50)
    ignored = tuple(row for row in range(rows) if (seed >> row) % 3 == 0)
    labels = make_labels(rows, vocabulary, ignored, seed=seed)
    common: dict[str, Any] = {
        "divergence": divergence,
        "beta": parameter,
        "alpha": parameter,
        "temperature": temperature,
    }
    ours = fused(
        student, targets, labels, chunk_tokens=chunk, distill_weight=weights[0], label_weight=weights[1], **common
    )
    same(ours, plain(student, targets, labels, weights=weights, **common), student, 1e-8)


@pytest.mark.parametrize(("student_size", "teacher_size"), [(9, 13), (13, 9)])
@pytest.mark.parametrize("kind", DENSE_KINDS)
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_padded_vocabularies_compare_their_common_prefix(
    student_size: int, teacher_size: int, kind: str, divergence: str
) -> None:
    student = make_student(vocabulary=student_size)
    targets, labels = make_targets(kind, vocabulary=teacher_size), make_labels()
    common: dict[str, Any] = {"divergence": divergence, "temperature": 2.0}
    same(fused(student, targets, labels, **common), plain(student, targets, labels, **common), student)


def test_padding_the_teacher_with_any_logits_changes_nothing() -> None:
    student, labels = make_student(), make_labels()
    logits = normal(5, 9, seed=4)
    padded = torch.cat([logits, normal(5, 6, seed=5, scale=9.0)], -1)
    same(fused(student, LogitTargets(padded), labels), fused(student, LogitTargets(logits), labels), student)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_student_equal_to_its_teacher_has_zero_loss(divergence: str, dtype: torch.dtype) -> None:
    hidden, weight = normal(6, 8, seed=1, dtype=dtype), normal(40, 8, seed=2, scale=2.0, dtype=dtype)
    student = make_student(6, 40, 8)
    student.hidden, student.weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    loss = fused(
        student,
        DenseTargets(hidden, weight),
        make_labels(6, 40),
        divergence=divergence,
        temperature=2.0,
        distill_weight=1.0,
        label_weight=0.0,
    )
    bound = 1e-12 if dtype == torch.float64 else 3e-5
    assert abs(float(loss.distill)) < bound
    assert all(float(gradient.abs().max()) < bound for gradient in gradients(loss, student))


def test_t_squared_keeps_the_gradient_at_high_temperatures() -> None:
    student, labels = make_student(rows=8, vocabulary=50, width=6), make_labels(8, 50)
    targets = make_targets("logits", rows=8, vocabulary=50)
    norms = []
    for temperature in (20.0, 40.0, 80.0):
        loss = fused(student, targets, labels, temperature=temperature, distill_weight=1.0, label_weight=0.0)
        norms.append(float(gradients(loss, student)[0].norm()))
    assert norms[1] / norms[0] == pytest.approx(1.0, abs=0.05)
    assert norms[2] / norms[1] == pytest.approx(1.0, abs=0.03)


def test_t_squared_is_in_the_loss_and_in_the_gradient() -> None:
    student, labels = make_student(), make_labels()
    targets = make_targets("logits")
    loss = fused(student, targets, labels, temperature=3.0, distill_weight=1.0, label_weight=0.0)
    assert loss.total.item() == pytest.approx(float(loss.distill))
    logits = student.logits()
    counted = labels != -100
    q = torch.log_softmax(logits[counted] / 3.0, -1)
    p = torch.softmax(targets.logits[counted] / 3.0, -1)  # type: ignore[union-attr]
    by_hand = 9.0 * torch.nn.functional.kl_div(q, p, reduction="sum")
    torch.testing.assert_close(loss.distill, by_hand.detach())
    torch.testing.assert_close(gradients(loss, student)[0], torch.autograd.grad(by_hand, student.hidden)[0])


def test_parts_of_a_batch_add_up_to_the_batch() -> None:
    student, targets, labels = make_student(rows=8), make_targets("dense", rows=8), make_labels(rows=8)
    whole = fused(student, targets, labels)
    assert isinstance(targets, DenseTargets)
    sums = [torch.zeros_like(leaf) for leaf in student.leaves]
    total, count = 0.0, 0
    for rows in (slice(0, 3), slice(3, 8)):
        part = fused_linear_distillation(
            student.hidden[rows], student.weight, replace(targets, hidden=targets.hidden[rows]), labels[rows]
        )
        total, count = total + part.total.item(), count + part.count
        sums = [one + two for one, two in zip(sums, gradients(part, student), strict=True)]
    assert (total, count) == (pytest.approx(whole.total.item()), whole.count)
    for got, expected in zip(sums, gradients(whole, student), strict=True):
        torch.testing.assert_close(got, expected)


def test_uncounted_rows_are_never_projected() -> None:
    student, targets = make_student(rows=6), make_targets("dense", rows=6)
    labels = make_labels(rows=6, ignored=(0, 1, 4))
    with Operations() as seen:
        loss = fused(student, targets, labels)
    assert seen.largest <= 3 * 9  # three rows of logits
    assert loss.count == 3
    assert (gradients(loss, student)[0][[0, 1, 4]] == 0).all()


@pytest.mark.parametrize("kind", [*ALL_KINDS, None])
def test_a_batch_without_a_counted_row_gives_a_connected_zero(kind: str | None) -> None:
    student = make_student(bias=True)
    loss = fused(student, None if kind is None else make_targets(kind), torch.full((5,), -100))
    assert loss.count == 0 and loss.total.item() == 0.0 and loss.total.requires_grad
    assert all(gradient is not None and (gradient == 0).all() for gradient in gradients(loss, student))


def test_a_frozen_head_costs_no_head_gradient() -> None:
    student, targets, labels = make_student(), make_targets("dense"), make_labels()
    with Operations() as both:
        expected = gradients(fused(student, targets, labels), student)[0]
    student.weight.requires_grad_(False)
    with Operations() as frozen:
        loss = fused(student, targets, labels)
    (got,) = torch.autograd.grad(loss.total, student.hidden)
    torch.testing.assert_close(got, expected)
    assert (both.products, frozen.products) == (4, 3)
    with Operations() as evaluated, torch.no_grad():
        quiet = fused(student, targets, labels)
    assert evaluated.products == 2 and not quiet.total.requires_grad
    torch.testing.assert_close(quiet.total, loss.total.detach())


def test_only_a_chunk_of_logits_ever_exists() -> None:
    student, targets, labels = (
        make_student(rows=64, vocabulary=100),
        make_targets("dense", 64, 100),
        make_labels(64, 100),
    )
    with Operations() as seen:
        gradients(fused(student, targets, labels, chunk_tokens=8), student)
    assert seen.largest <= 8 * 100


def test_a_kept_graph_may_be_run_backward_again() -> None:
    student, targets, labels = make_student(), make_targets("dense"), make_labels()
    loss = fused(student, targets, labels)
    first = torch.autograd.grad(loss.total * 2, student.leaves, retain_graph=True)
    second = torch.autograd.grad(loss.total * 3, student.leaves)
    for one, two in zip(first, second, strict=True):
        torch.testing.assert_close(one * 1.5, two)


def test_labels_alone_are_the_cross_entropy() -> None:
    student, labels = make_student(), make_labels()
    loss = fused(student, None, labels, label_weight=1.0, temperature=2.0)
    expected = torch.nn.functional.cross_entropy(student.logits(), labels, reduction="sum", ignore_index=-100)
    torch.testing.assert_close(loss.total, expected.detach())
    assert float(loss.distill) == 0.0


def test_a_mixture_of_one_teacher_twice_is_that_teacher() -> None:
    student, labels, one = make_student(), make_labels(), make_targets("logits")
    assert isinstance(one, LogitTargets)
    twice = MixtureTargets((one, one), (1.0, 4.0))
    for divergence in DIVERGENCES:
        same(
            fused(student, twice, labels, divergence=divergence),
            fused(student, one, labels, divergence=divergence),
            student,
        )


@pytest.mark.parametrize(
    "settings_", [{"divergence": "forward_kI"}, {"divergence": "jsd", "beta": 1.0}, {"temperature": 0.0}]
)
def test_a_setting_out_of_range_says_what_to_type(settings_: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected"):
        fused(make_student(), make_targets("logits"), make_labels(), **settings_)


@pytest.mark.parametrize("label", [-1, 9])
def test_a_label_outside_the_vocabulary_is_refused(label: int) -> None:
    labels = make_labels()
    labels[1] = label
    with pytest.raises(UserError, match="another tokenizer"):
        fused(make_student(), None, labels)
