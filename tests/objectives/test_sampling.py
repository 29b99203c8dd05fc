"""Sampled targets: expectations over draws, layout, and the top-k form's exactness."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distil.objectives import (
    DIVERGENCES,
    LogitTargets,
    SampledTargets,
    TopKTargets,
    random_sampling_targets,
    retempered_top_k,
    stratified_targets,
    top_k_targets,
)
from distil.objectives.sampling import unique_counts
from tests.objectives.builders import fused, gradients, make_labels, make_student, normal, same

DRAWS = 4000
FORMS: dict[str, Callable[[Tensor, torch.Generator], SampledTargets]] = {
    "random": lambda logits, generator: random_sampling_targets(logits, 20, temperature=2.0, generator=generator),
    "tempered proposal": lambda logits, generator: random_sampling_targets(
        logits, 20, temperature=2.0, proposal_power=0.7, generator=generator
    ),
    "stratified": lambda logits, generator: stratified_targets(logits, 3, 5, temperature=2.0, generator=generator),
}


def dense(targets: SampledTargets, vocabulary: int) -> Tensor:
    """(N, V) the weights where the ids are."""
    full = torch.zeros(targets.rows, vocabulary, dtype=targets.weights.dtype)
    return full.scatter_add_(1, targets.ids.clamp(min=0), targets.weights * (targets.ids >= 0))


@pytest.mark.parametrize("form", FORMS)
def test_the_expected_weight_of_every_id_is_its_probability(form: str) -> None:
    logits = normal(1, 12, seed=1, scale=3.0)
    p = torch.softmax(logits / 2.0, -1)[0].float()
    targets = FORMS[form](logits.expand(DRAWS, -1), torch.Generator().manual_seed(0))
    weights = dense(targets, 12)
    error = (weights.mean(0) - p).abs()
    assert (error <= 4.5 * weights.std(0) / DRAWS**0.5 + 1e-6).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_expected_loss_is_that_of_the_full_distribution(form: str) -> None:
    logits = normal(1, 12, seed=1, scale=3.0)
    student = make_student(1, 12, 4)
    full = fused(student, LogitTargets(logits), torch.tensor([3]), temperature=2.0)
    student_many = make_student(1, 12, 4)
    student_many.hidden = student.hidden.detach().expand(DRAWS, -1).clone().requires_grad_()
    targets = FORMS[form](logits.expand(DRAWS, -1), torch.Generator().manual_seed(0))
    sampled = fused(student_many, targets, torch.full((DRAWS,), 3), temperature=2.0)
    assert float(sampled.distill) / DRAWS == pytest.approx(float(full.distill), abs=0.02)
    got, expected = gradients(sampled, student_many)[1] / DRAWS, gradients(full, student)[1]
    assert float((got - expected).norm() / expected.norm()) < 0.02


def test_repeated_labels_have_the_gradient_of_their_shares() -> None:
    """Four rows with the labels 2, 2, 2, 7, as curate.choose: votes writes them, and one with the shares 0.75 and 0.25."""
    one, four = make_student(1, 12, 4), make_student(1, 12, 4)
    four.hidden = one.hidden.detach().expand(4, -1).clone().requires_grad_()
    repeated = fused(four, None, torch.tensor([2, 2, 2, 7]), label_weight=1.0)
    shares = SampledTargets(torch.tensor([[2, 7]]), torch.tensor([[0.75, 0.25]], dtype=one.hidden.dtype))
    soft = fused(one, shares, torch.tensor([2]), distill_weight=1.0, label_weight=0.0)
    assert float(repeated.total.detach()) / 4 == pytest.approx(float(soft.total.detach()), rel=1e-6)
    hidden, weight = gradients(repeated, four)[:2]
    expected_hidden, expected_weight = gradients(soft, one)[:2]
    torch.testing.assert_close(hidden.sum(0, keepdim=True) / 4, expected_hidden, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(weight / 4, expected_weight, rtol=1e-5, atol=1e-7)


def test_stratified_draws_vary_less_than_as_many_random_ones() -> None:
    logits = normal(1, 200, seed=1, scale=4.0).expand(500, -1)
    p = torch.softmax(logits[0], -1).float()
    random = dense(random_sampling_targets(logits, 50, generator=torch.Generator().manual_seed(0)), 200)
    stratified = dense(stratified_targets(logits, 8, 4, generator=torch.Generator().manual_seed(0)), 200)
    assert float((stratified - p).square().sum(-1).mean()) < 0.2 * float((random - p).square().sum(-1).mean())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 6), min_size=4, max_size=4), min_size=1, max_size=5))
def test_counting_draws_keeps_every_draw(draws: list[list[int]]) -> None:
    ids, counts = unique_counts(torch.tensor(draws))
    for row, drawn in enumerate(draws):
        kept = {int(i): int(c) for i, c in zip(ids[row], counts[row], strict=True) if i >= 0}
        assert kept == {value: drawn.count(value) for value in set(drawn)}
        assert int(ids[row, 0]) >= 0


def test_a_row_without_a_tail_samples_nothing_from_it() -> None:
    logits = torch.full((2, 6), -torch.inf)
    logits[:, :2] = 0.0
    targets = stratified_targets(logits, 2, 3, generator=torch.Generator().manual_seed(0))
    assert targets.weights.isfinite().all()
    torch.testing.assert_close(targets.weights.sum(-1), torch.ones(2))


def test_sampled_targets_of_an_equal_teacher_have_zero_mean_loss() -> None:
    student = make_student(2000, 30, 4)
    targets = random_sampling_targets(student.logits().detach(), 50, generator=torch.Generator().manual_seed(0))
    loss = fused(student, targets, make_labels(2000, 30, ()))
    assert abs(float(loss.distill)) / 2000 < 0.01


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_top_k_is_a_lower_bound_that_reaches_the_full_divergence(divergence: str) -> None:
    student, labels = make_student(6, 12, 4), make_labels(6, 12)
    logits = normal(6, 12, seed=4, scale=2.0)
    bounds = [
        float(fused(student, top_k_targets(logits, k), labels, divergence=divergence).distill) for k in (1, 4, 8, 11)
    ]
    full = float(fused(student, LogitTargets(logits), labels, divergence=divergence).distill)
    assert 0.0 <= bounds[0] <= bounds[1] + 1e-6 and bounds[1] <= bounds[2] + 1e-6 and bounds[2] <= bounds[3] + 1e-6
    assert bounds[3] == pytest.approx(full, rel=1e-5)


def test_top_k_but_one_has_the_gradient_of_the_full_distribution() -> None:
    student, labels = make_student(6, 12, 4), make_labels(6, 12)
    logits = normal(6, 12, seed=4, scale=2.0)
    for divergence in DIVERGENCES:
        same(
            fused(student, top_k_targets(logits, 11), labels, divergence=divergence),
            fused(student, LogitTargets(logits), labels, divergence=divergence),
            student,
            2e-5,
        )


def test_stored_normalizers_are_exact_at_another_temperature() -> None:
    logits = normal(5, 40, seed=2, scale=3.0).float()
    exact = top_k_targets(logits, 6, 2.0)
    again = retempered_top_k(exact.ids, logits.gather(1, exact.ids), torch.logsumexp(logits / 2.0, -1), temperature=2.0)
    torch.testing.assert_close(again.log_probs, exact.log_probs)
    torch.testing.assert_close(again.log_tail, exact.log_tail)


def test_a_tiny_tail_of_the_student_keeps_its_digits() -> None:
    student = make_student(1, 4, 4)
    student.hidden = torch.tensor([[40.0, 0.0, 0.0, 0.0]], requires_grad=True)
    student.weight = torch.eye(4, requires_grad=True)
    targets = TopKTargets(torch.tensor([[0]]), torch.tensor([[0.9]]).log(), torch.tensor([0.1]).log())
    loss = fused(student, targets, torch.tensor([0]))
    # KL = 0.9 log 0.9 + 0.1 log 0.1 - 0.1 log(3 e^-40): in float32, 1 - Q is 0 here
    assert float(loss.distill) == pytest.approx(-0.3250830 + 0.1 * (40 - 1.0986123), rel=1e-4)


@pytest.mark.parametrize("k", [0, 9])
def test_k_must_leave_a_tail(k: int) -> None:
    with pytest.raises(ValueError, match="1 <= k < vocabulary"):
        top_k_targets(normal(2, 9, seed=1), k)
