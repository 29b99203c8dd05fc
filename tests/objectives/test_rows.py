"""Rows of extreme numbers against float64: what must come out right, and what must come out as NaN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distil.objectives import DIVERGENCES, divergence_rows
from distil.objectives.chunks import Buffers
from distil.objectives.gradients import Divergence
from distil.objectives.rows import LOWEST_LOGIT, RowKernel, row_kernel
from tests.objectives.builders import normal

PULLS = (2.8, 0.6)
ROWS, VOCABULARY, SHARED = 6, 213, 170
TEMPERATURES = [0.5, 1.0, 2.0, 3.0]


def kernel_for(temperature: float, divergence: str | None, dtype: torch.dtype = torch.float32) -> RowKernel:
    chosen = None if divergence is None else Divergence(divergence, 0.3, 0.2)
    return row_kernel(Buffers(dtype, torch.device("cpu")), temperature, chosen)


def exact(student: Tensor, teacher: Tensor, divergence: str, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """What `dense` says, by autograd in float64."""
    leaf = floored(student).requires_grad_()
    log_p = floored(teacher).log_softmax(-1)
    loss = divergence_rows(divergence, log_p, leaf[:, : teacher.shape[1]].log_softmax(-1), beta=0.3, alpha=0.2)
    normalizer = (temperature * leaf).logsumexp(-1, keepdim=True)
    (PULLS[0] * loss.sum() + PULLS[1] / temperature * normalizer.sum()).backward()
    assert leaf.grad is not None
    return loss.detach(), normalizer.detach(), leaf.grad


def floored(logits: Tensor) -> Tensor:
    """float64, with the row kernels' meaning of -inf."""
    wide = logits.double()
    return torch.where(wide == -torch.inf, wide.amax(-1, keepdim=True) + LOWEST_LOGIT, wide)


def ordinary() -> tuple[Tensor, Tensor]:
    return normal(ROWS, VOCABULARY, seed=1, scale=3.0), normal(ROWS, SHARED, seed=2, scale=3.0)


def ten_thousand_apart() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    return 700 * student, 700 * teacher


def nearly_equal() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    return student, student[:, :SHARED] + 1e-2 * teacher


def all_equal() -> tuple[Tensor, Tensor]:
    return torch.full((ROWS, VOCABULARY), 7.0), torch.full((ROWS, SHARED), -3.0)


def too_small_for_normal_numbers() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    return 1e-41 * student, 1e-41 * teacher


def one_id() -> tuple[Tensor, Tensor]:
    return normal(ROWS, 1, seed=1), normal(ROWS, 1, seed=2)


def one_id_far_above() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    student[:, 3] += 90.0
    teacher[:, 5] += 120.0
    return student, teacher


def the_largest_beyond_the_shared_ids() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    student[:, SHARED + 2] = torch.tensor([60.0, 95.0, 110.0, 300.0, 2000.0, 50000.0])
    return student, teacher


def the_shared_ids_far_above_the_others() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    student[:, SHARED:] -= 500.0
    return student, teacher


def the_student_rules_ids_out() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    student[:, [0, 4, SHARED]] = -torch.inf
    return student, teacher


def the_teacher_rules_ids_out() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    teacher[:, [0, 4, SHARED - 1]] = -torch.inf
    return student, teacher


def both_rule_ids_out() -> tuple[Tensor, Tensor]:
    student, teacher = ordinary()
    student[:, 2:9] = teacher[:, 2:9] = -torch.inf
    return student, teacher


EXTREMES = (
    ordinary, ten_thousand_apart, nearly_equal, all_equal, too_small_for_normal_numbers, one_id, one_id_far_above,
    the_largest_beyond_the_shared_ids, the_shared_ids_far_above_the_others, the_student_rules_ids_out,
    the_teacher_rules_ids_out, both_rule_ids_out,
)  # fmt: skip


@pytest.mark.parametrize("extreme", EXTREMES, ids=lambda extreme: extreme.__name__)
@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_rows_are_what_float64_says(
    extreme: Callable[[], tuple[Tensor, Tensor]], divergence: str, dtype: torch.dtype
) -> None:
    tolerance = 2e-5 if dtype == torch.float32 else 1e-11
    for temperature in TEMPERATURES:
        student, teacher = (side.to(dtype) for side in extreme())
        expected = exact(student, teacher, divergence, temperature)
        widest = float(
            torch.cat([side.double().nan_to_num(neginf=0.0).abs().flatten() for side in (student, teacher)]).max()
        )
        absolute = tolerance + torch.finfo(dtype).eps * widest  # a logit's own last digit
        loss, normalizer = kernel_for(temperature, divergence, dtype).dense(student, teacher, PULLS)
        for name, got, right in zip(
            ("loss", "normalizer", "gradient"), (loss, normalizer, student), expected, strict=True
        ):
            torch.testing.assert_close(
                got.double(),
                right,
                rtol=tolerance,
                atol=absolute,
                msg=lambda m, n=name, t=temperature: f"{n}, T={t}: {m}",
            )


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("broken", [torch.nan, -torch.nan, torch.inf])
def test_what_is_no_number_on_either_side_reaches_the_loss(divergence: str, temperature: float, broken: float) -> None:
    kernel = kernel_for(temperature, divergence)
    for side in (0, 1):
        for place in (0, 1, 63, SHARED - 1):
            sides = [part.float() for part in ordinary()]
            sides[side][1, place] = broken
            loss, _ = kernel.dense(sides[0], sides[1], PULLS)
            assert torch.isnan(loss).tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_nan_beyond_the_shared_ids_reaches_the_label_loss(temperature: float, broken: float) -> None:
    student, teacher = (part.float() for part in ordinary())
    student[1, SHARED + 1] = broken
    _, normalizer = kernel_for(temperature, "forward_kl").dense(student, teacher, PULLS)
    assert torch.isnan(normalizer.squeeze(1)).tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_no_number_reaches_both_sums_of_the_student(temperature: float, broken: float) -> None:
    for place in (0, 1, 63, VOCABULARY - 1):
        student = ordinary()[0].float()
        student[1, place] = broken
        for sums in kernel_for(temperature, None).student(student, torch.ones(ROWS, 2)):
            assert torch.isnan(sums.squeeze(1)).tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_student_sums_match_float64_and_logits_stay_unchanged(
    temperature: float,
) -> None:
    for extreme in EXTREMES:
        student = extreme()[0].float()
        student[:, 1:3] = -torch.inf
        before = student.clone()
        for got, right in zip(
            kernel_for(temperature, None).student(student, None),
            (student.double().logsumexp(-1, True), (temperature * student.double()).logsumexp(-1, True)),
            strict=True,
        ):
            torch.testing.assert_close(got.double(), right, rtol=2e-6, atol=2e-5)
        assert torch.equal(student, before)
