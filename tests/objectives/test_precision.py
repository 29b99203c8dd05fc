"""Low precision, extreme logits and -inf: what makes losses NaN elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from distil.objectives import (
    DIVERGENCES,
    DenseTargets,
    LogitTargets,
    SampledTargets,
    TopKTargets,
    fused_linear_distillation,
)
from tests.objectives.builders import (
    Student,
    fused,
    gradients,
    make_labels,
    make_student,
    make_targets,
    normal,
    plain,
    same,
)


def rounded_problem(dtype: torch.dtype) -> tuple[Student, DenseTargets, Student, DenseTargets]:
    """One problem in `dtype`, and the same numbers in float64."""
    parts = [
        normal(24, 16, seed=1, dtype=dtype),
        normal(200, 16, seed=2, scale=0.4, dtype=dtype),
        normal(24, 32, seed=3, dtype=dtype),
        normal(200, 32, seed=4, scale=0.3, dtype=dtype),
    ]
    low = Student(parts[0].clone().requires_grad_(), parts[1].clone().requires_grad_())
    exact = Student(parts[0].double().requires_grad_(), parts[1].double().requires_grad_())
    return low, DenseTargets(parts[2], parts[3]), exact, DenseTargets(parts[2].double(), parts[3].double())


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.bfloat16, 0.02), (torch.float16, 0.004), (torch.float32, 1e-5)]
)
def test_lower_precision_stays_near_float64(divergence: str, dtype: torch.dtype, tolerance: float) -> None:
    low, teacher, exact, exact_teacher = rounded_problem(dtype)
    labels = make_labels(24, 200)
    common: dict[str, Any] = {"divergence": divergence, "temperature": 2.0}
    ours = fused(low, teacher, labels, chunk_tokens=5, **common)
    truth = plain(exact, exact_teacher, labels, **common)
    assert ours.total.dtype == torch.float32
    assert ours.total.item() == pytest.approx(truth.total.item(), rel=tolerance)
    for got, expected in zip(gradients(ours, low), gradients(truth, exact), strict=True):
        assert got.dtype == dtype
        assert float((got.double() - expected).norm() / expected.norm()) < tolerance


def test_bfloat16_head_gradients_are_summed_in_float32() -> None:
    low, teacher, _, _ = rounded_problem(torch.bfloat16)
    labels = make_labels(24, 200)
    in_one = gradients(fused(low, teacher, labels, chunk_tokens=24), low)[1].float()
    in_many = gradients(fused(low, teacher, labels, chunk_tokens=1), low)[1].float()
    # One rounding of a sum, not 24: each differs from the other by about one bfloat16 step of a value.
    assert float((in_one - in_many).norm() / in_one.norm()) < 0.006


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_probabilities_that_underflow_on_both_sides_give_no_nan(divergence: str) -> None:
    student = make_student(4, 6, 6)
    student.hidden = torch.eye(6, dtype=torch.float32)[:4].mul(400.0).requires_grad_()
    student.weight = torch.eye(6, dtype=torch.float32).requires_grad_()
    teacher = torch.eye(6, dtype=torch.float32)[:4].roll(1, -1) * 300.0
    loss = fused(student, LogitTargets(teacher), make_labels(4, 6, ()), divergence=divergence)
    assert torch.isfinite(loss.total)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(loss, student))


def test_minus_infinity_in_a_teachers_logits_is_probability_zero() -> None:
    student, labels = make_student(), make_labels()
    logits = normal(5, 9, seed=2)
    logits[:, 4] = -torch.inf
    loss = fused(student, LogitTargets(logits), labels, temperature=2.0)
    expected = plain(student, LogitTargets(logits.masked_fill(logits == -torch.inf, -1e5)), labels, temperature=2.0)
    torch.testing.assert_close(loss.total, expected.total)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(loss, student))


def test_a_common_offset_of_the_logits_costs_no_digits() -> None:
    logits = normal(6, 50, seed=1, dtype=torch.float32)
    small = normal(6, 50, seed=2, scale=0.01, dtype=torch.float32)
    weight = torch.eye(50)
    labels = make_labels(6, 50, ())
    near = fused_linear_distillation(logits, weight, LogitTargets(logits + small), labels)
    far = fused_linear_distillation(logits, weight, LogitTargets(logits + small + 64.0), labels)
    assert float(far.distill) == pytest.approx(float(near.distill), rel=0.02)
    assert float(near.distill) > 0


def test_a_student_and_a_teacher_may_differ_in_dtype() -> None:
    student, labels = make_student(), make_labels()
    teacher = make_targets("dense")
    assert isinstance(teacher, DenseTargets) and teacher.bias is not None
    low = DenseTargets(
        teacher.hidden.bfloat16(),
        teacher.weight.bfloat16(),
        teacher.bias.bfloat16(),
        teacher.logit_scale,
        teacher.logit_softcap,
    )
    loss, expected = fused(student, low, labels), plain(student, teacher, labels)
    assert loss.total.dtype == torch.float64
    assert loss.total.item() == pytest.approx(expected.total.item(), rel=0.02)


def test_autocast_products_keep_float32_gradients() -> None:
    _, _, exact, exact_teacher = rounded_problem(torch.float32)
    student = Student(exact.hidden.detach().float().requires_grad_(), exact.weight.detach().float().requires_grad_())
    teacher = DenseTargets(exact_teacher.hidden.float(), exact_teacher.weight.float())
    labels = make_labels(24, 200)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = fused(student, teacher, labels, temperature=2.0)
    truth = plain(exact, exact_teacher, labels, temperature=2.0)
    assert loss.total.item() == pytest.approx(truth.total.item(), rel=0.02)
    got, expected = gradients(loss, student), gradients(truth, exact)
    assert got[1].dtype == torch.float32
    assert float((got[1].double() - expected[1]).norm() / expected[1].norm()) < 0.02


@pytest.mark.parametrize(("skewed", "unskewed"), [("skew_kl", "forward_kl"), ("skew_reverse_kl", "reverse_kl")])
@pytest.mark.parametrize("apart", [1.0, 200.0])
def test_a_skew_of_0_is_the_divergence_without_it(skewed: str, unskewed: str, apart: float) -> None:
    """However far apart: the ratio of the two has no bound then."""
    student, labels = make_student(), make_labels()
    targets = LogitTargets(normal(5, 9, seed=4, scale=apart))
    for temperature in (1.0, 2.0):
        same(
            fused(student, targets, labels, divergence=skewed, alpha=0.0, temperature=temperature),
            plain(student, targets, labels, divergence=unskewed, temperature=temperature),
            student,
        )


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0])
def test_a_top_k_of_the_whole_vocabulary_has_no_tail(divergence: str, temperature: float) -> None:
    student, labels = make_student(), make_labels()
    ids = torch.arange(9).repeat(5, 1)
    ids[1, 8] = -1  # one row has a tail of one id
    log_p = torch.log_softmax(normal(5, 9, seed=4) / temperature, -1)
    tail = torch.full((5,), -torch.inf, dtype=torch.float64)
    tail[1] = log_p[1, 8]
    targets = TopKTargets(ids, log_p, tail, temperature)
    common: dict[str, Any] = {"divergence": divergence, "temperature": temperature}
    same(fused(student, targets, labels, **common), plain(student, targets, labels, **common), student)
    whole = plain(student, LogitTargets(normal(5, 9, seed=4)), labels, **common)
    same(fused(student, targets, labels, **common), whole, student)


def test_an_id_that_was_drawn_twice_counts_twice() -> None:
    student, labels = make_student(), make_labels()
    ids = torch.tensor([[3, 3, 5, -1], [0, 1, 0, 0], [2, -1, -1, -1], [8, 8, 8, 8], [4, 5, 4, -1]])
    targets = SampledTargets(ids, normal(5, 4, seed=4).abs() * (ids >= 0))
    for chunk in (1, 5):
        same(fused(student, targets, labels, chunk_tokens=chunk), plain(student, targets, labels), student)
