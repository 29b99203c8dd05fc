"""What the fused loss is measured against, on one set of tensors: its matrix products alone, the article's way, TRL and Liger.

Each is a function that makes a run: forward and backward of 0.7 * T^2 * forward KL + 0.3 * cross-entropy, means over rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from distil.objectives import DenseTargets, fused_linear_distillation

TEMPERATURE = 2.0
DISTILL, LABEL = 0.7, 0.3
Run = Callable[[], float]


@dataclass(frozen=True)
class Size:
    rows: int
    vocabulary: int
    student_width: int
    teacher_width: int

    def __str__(self) -> str:
        return f"N = {self.rows}, V = {self.vocabulary}, H = {self.student_width}/{self.teacher_width}"


@dataclass
class Problem:
    """Final hidden states and heads of a student and a teacher, and labels."""

    student_hidden: Tensor
    student_weight: Tensor
    teacher_hidden: Tensor
    teacher_weight: Tensor
    labels: Tensor
    gradients: list[Tensor] | None = None
    """A list receives the gradients of each backward; else they are dropped."""

    @staticmethod
    def of(size: Size, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Problem:
        torch.manual_seed(0)

        def normal(rows: int, columns: int, scale: float) -> Tensor:
            return (torch.randn(rows, columns, device=device) * scale).to(dtype)

        return Problem(
            normal(size.rows, size.student_width, 1.0).requires_grad_(),
            normal(size.vocabulary, size.student_width, 0.05).requires_grad_(),
            normal(size.rows, size.teacher_width, 1.0),
            normal(size.vocabulary, size.teacher_width, 0.05),
            torch.randint(0, size.vocabulary, (size.rows,), device=device),
        )

    def exact(self) -> Problem:
        """The same numbers in float64."""
        hidden, weight = (
            leaf.detach().double().requires_grad_() for leaf in (self.student_hidden, self.student_weight)
        )
        return Problem(hidden, weight, self.teacher_hidden.double(), self.teacher_weight.double(), self.labels)

    def backward(self, loss: Tensor) -> float:
        """Backward of the mean over rows."""
        loss.backward()
        if self.gradients is not None:
            self.gradients += [
                leaf.grad for leaf in (self.student_hidden, self.student_weight) if leaf.grad is not None
            ]
        self.student_hidden.grad = self.student_weight.grad = None
        return loss.detach().item()


def products(problem: Problem) -> Run:
    """The floor: two projections and the two products of the backward pass, into buffers that exist already."""
    rows, vocabulary = len(problem.labels), len(problem.student_weight)
    logits = problem.student_hidden.new_empty(rows, vocabulary)
    hidden_gradient = torch.empty_like(problem.student_hidden)
    weight_gradient = torch.empty_like(problem.student_weight)

    def run() -> float:
        with torch.no_grad():
            torch.mm(problem.teacher_hidden, problem.teacher_weight.t(), out=logits)
            torch.mm(problem.student_hidden, problem.student_weight.t(), out=logits)
            torch.mm(logits, problem.student_weight, out=hidden_gradient)
            torch.mm(logits.t(), problem.student_hidden, out=weight_gradient)
        return 0.0

    return run


def ours(problem: Problem, chunk_tokens: int | None = None) -> Run:
    def run() -> float:
        loss = fused_linear_distillation(
            problem.student_hidden,
            problem.student_weight,
            DenseTargets(problem.teacher_hidden, problem.teacher_weight),
            problem.labels,
            temperature=TEMPERATURE,
            distill_weight=DISTILL,
            label_weight=LABEL,
            chunk_tokens=chunk_tokens,
        )
        return problem.backward(loss.total / loss.count)

    return run


def article(problem: Problem) -> Run:
    """Whole logits of both models, kl_div and cross_entropy by autograd; with the article's faults corrected (T^2, sums)."""

    def run() -> float:
        with torch.no_grad():
            teacher = functional.linear(problem.teacher_hidden, problem.teacher_weight) / TEMPERATURE
        logits = functional.linear(problem.student_hidden, problem.student_weight)
        divergence = functional.kl_div(
            functional.log_softmax(logits / TEMPERATURE, -1), functional.softmax(teacher, -1), reduction="batchmean"
        )
        label = functional.cross_entropy(logits, problem.labels)
        return problem.backward(DISTILL * TEMPERATURE**2 * divergence + LABEL * label)

    return run


def trl(problem: Problem, with_labels: bool) -> Run:
    """TRL's chunked divergence (DistillationTrainer); for the label term its own chunked log-probability."""
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    def run() -> float:
        divergence = ChunkedDivergenceFunction.apply(
            problem.student_hidden,
            problem.student_weight,
            None,
            problem.teacher_hidden,
            problem.teacher_weight,
            None,
            0.0,
            TEMPERATURE,
            1.0,
            None,
            1.0,
            None,
        )[0]
        loss = DISTILL * TEMPERATURE**2 * divergence.mean()
        if with_labels:
            arguments = (problem.student_hidden, problem.student_weight, None, problem.labels, 1.0, 32768)
            log_probs = ChunkedLogProbFunction.apply(*arguments, None, 1.0, ())[0]
            loss = loss - LABEL * log_probs.mean()
        return problem.backward(loss)

    return run


def liger(problem: Problem, compiled: bool) -> Run:
    """Liger's chunked JSD at beta 0, which is forward KL; T^2 goes into its weight because it has none."""
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(
        weight_hard_loss=LABEL,
        weight_soft_loss=DISTILL * TEMPERATURE**2,
        beta=0.0,
        temperature=TEMPERATURE,
        compiled=compiled,
    )

    def run() -> float:
        return problem.backward(
            loss(
                problem.student_hidden,
                problem.student_weight,
                problem.teacher_hidden,
                problem.teacher_weight,
                problem.labels,
            )
        )

    return run


FLOOR, OURS, COMPILED = "matrix products alone", "distil", "Liger chunked JSD, compiled"
CONTENDERS: dict[str, Callable[[Problem], Run]] = {
    FLOOR: products,
    OURS: ours,
    "the article's way, corrected": article,
    "TRL chunked divergence + labels": lambda problem: trl(problem, True),
    "TRL chunked divergence, no labels": lambda problem: trl(problem, False),
    "Liger chunked JSD, eager": lambda problem: liger(problem, False),
    COMPILED: lambda problem: liger(problem, True),
}
