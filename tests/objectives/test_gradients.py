"""The closed-form gradients against finite differences, in float64, for every divergence, target and head."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distil.objectives import DIVERGENCES, divergence_rows, fused_linear_distillation
from distil.objectives.gradients import chosen_divergence, divergence_and_pull
from tests.objectives.builders import ALL_KINDS, make_labels, make_student, make_targets, normal

ROWS, VOCABULARY, WIDTH = 4, 7, 2
HEADS = {
    "plain": {},
    "bias": {"bias": True},
    "gemma": {"cap": 3.0},
    "cohere": {"scale": 0.25, "bias": True},
    "scaled and capped": {"scale": 1.5, "cap": 4.0, "bias": True},
}


def served(kind: str) -> tuple[str, ...]:
    return ("forward_kl",) if kind == "sampled" else DIVERGENCES


def check(kind: str, divergence: str, head: dict[str, object], temperature: float = 2.0, fast: bool = True) -> None:
    student = make_student(ROWS, VOCABULARY, WIDTH, **head)  # type: ignore[arg-type]
    targets = make_targets(kind, ROWS, VOCABULARY, temperature)
    labels = make_labels(ROWS, VOCABULARY)

    def loss(*leaves: Tensor) -> Tensor:
        return fused_linear_distillation(
            leaves[0],
            leaves[1],
            targets,
            labels,
            divergence=divergence,
            beta=0.3,
            alpha=0.2,
            temperature=temperature,
            student_bias=leaves[2] if student.bias is not None else None,
            chunk_tokens=2,
            logit_scale=student.scale,
            logit_softcap=student.cap,
        ).total

    assert torch.autograd.gradcheck(loss, tuple(student.leaves), fast_mode=fast)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_gradient_is_right_with_all_features_at_once(divergence: str) -> None:
    check("dense", divergence, HEADS["scaled and capped"], fast=False)


@pytest.mark.parametrize(
    ("kind", "divergence"), [(kind, divergence) for kind in ALL_KINDS for divergence in served(kind)]
)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_gradients_are_right_for_every_teacher_and_divergence(kind: str, divergence: str, temperature: float) -> None:
    check(kind, divergence, HEADS["bias"], temperature)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_gradients_are_right_for_every_head(kind: str, head: str) -> None:
    check(kind, "forward_kl", HEADS[head])


@pytest.mark.parametrize("vocabulary", [5, 10])
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_gradients_are_right_when_the_vocabularies_differ(vocabulary: int, divergence: str) -> None:
    student = make_student(ROWS, VOCABULARY, WIDTH)
    targets = make_targets("dense", ROWS, vocabulary)
    labels = make_labels(ROWS, VOCABULARY)

    def loss(hidden: Tensor, weight: Tensor) -> Tensor:
        return fused_linear_distillation(hidden, weight, targets, labels, divergence=divergence, temperature=1.5).total

    assert torch.autograd.gradcheck(loss, (student.hidden, student.weight), fast_mode=True)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_tied_embedding_gets_the_sum_of_both_uses(divergence: str) -> None:
    embedding = normal(VOCABULARY, 3, seed=5).requires_grad_()
    body = normal(3, 3, seed=6)
    tokens = torch.tensor([0, 3, 3, 6])
    targets, labels = make_targets("dense", ROWS, VOCABULARY), make_labels(ROWS, VOCABULARY)

    def loss(embedding: Tensor) -> Tensor:
        hidden = torch.tanh(embedding[tokens] @ body)
        return fused_linear_distillation(hidden, embedding, targets, labels, divergence=divergence).total

    assert torch.autograd.gradcheck(loss, (embedding,), fast_mode=True)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_closed_form_is_the_derivative_of_the_formula(divergence: str) -> None:
    student = normal(6, 11, seed=1, scale=3.0).requires_grad_()
    log_p = torch.log_softmax(normal(6, 11, seed=2, scale=3.0), -1)
    log_q = torch.log_softmax(student, -1)
    formula = divergence_rows(divergence, log_p, log_q, beta=0.7, alpha=0.4)
    (expected,) = torch.autograd.grad(formula.sum(), student)
    q = log_q.detach().exp()
    loss, pull = divergence_and_pull(chosen_divergence(divergence, 0.7, 0.4), log_p - log_q.detach(), log_p.exp(), q)
    torch.testing.assert_close(loss, formula.detach())
    torch.testing.assert_close(pull - q * pull.sum(-1, keepdim=True), expected)
