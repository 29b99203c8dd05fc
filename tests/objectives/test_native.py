"""The compiled rows against the tensor operations, and the ways in which a program may call them."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distil.objectives import DIVERGENCES, DenseTargets, LossSum, divergence_rows, fused_linear_distillation
from distil.objectives import rows as tensor_rows
from distil.objectives.chunks import Buffers
from distil.objectives.gradients import Divergence
from distil.objectives.native import NativeRows, native_rows
from distil.objectives.rows import LOWEST_LOGIT, TensorRows
from tests.objectives.builders import make_labels, normal


@pytest.fixture(autouse=True, scope="module")
def rows() -> None:
    """These tests choose for themselves."""


def both(
    temperature: float, divergence: Divergence | None, dtype: torch.dtype = torch.float32
) -> tuple[NativeRows, TensorRows]:
    native = native_rows(dtype, temperature, divergence)
    if native is None:
        pytest.skip("compiled rows are not to be had")
    return native, TensorRows(Buffers(dtype, torch.device("cpu")), temperature, divergence)


def compare_dense(
    divergence: str, temperature: float, vocabulary: int, shared: int, dtype: torch.dtype, tolerance: float
) -> None:
    results = []
    for kernel in both(temperature, Divergence(divergence, 0.3, 0.2), dtype):
        logits = normal(70, vocabulary, seed=1, scale=4.0, dtype=dtype)
        teacher = normal(70, shared, seed=2, scale=4.0, dtype=dtype)
        results.append((*kernel.dense(logits, teacher, (2.8, 0.6)), logits))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize(("vocabulary", "shared"), [(1, 1), (37, 37), (1031, 900), (4097, 4096)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-13)])
def test_dense_rows_are_what_tensor_operations_say(
    divergence: str, temperature: float, vocabulary: int, shared: int, dtype: torch.dtype, tolerance: float
) -> None:
    compare_dense(divergence, temperature, vocabulary, shared, dtype, tolerance)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("differentiate", [True, False])
def test_student_rows_are_what_tensor_operations_say(temperature: float, differentiate: bool) -> None:
    by_row = normal(70, 2, seed=3, dtype=torch.float32) if differentiate else None
    results = []
    for kernel in both(temperature, None):
        logits = normal(70, 1031, seed=1, scale=4.0, dtype=torch.float32)
        results.append((*kernel.student(logits, by_row), logits))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rest", [-2.3, -7.0])
def test_a_large_vocabulary_costs_no_digits(rest: float) -> None:
    """128,000 equal terms in one float32 sum would be 1e-4 off."""
    logits = torch.full((2, 128_000), rest)
    logits[:, 5] = 0.0
    lse, lse1 = both(2.0, None)[0].student(logits, None)
    for got, right in ((lse, logits.double().logsumexp(-1, True)), (lse1, (2 * logits.double()).logsumexp(-1, True))):
        torch.testing.assert_close(got.double(), right, rtol=0, atol=1e-6)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_large_vocabulary_matches_float64(divergence: str) -> None:
    student, teacher = (normal(2, 128_000, seed=n, scale=3.0, dtype=torch.float32) for n in (1, 2))
    leaf = student.double().requires_grad_()
    right = divergence_rows(divergence, teacher.double().log_softmax(-1), leaf.log_softmax(-1), beta=0.3, alpha=0.2)
    right.sum().backward()
    loss, _ = both(2.0, Divergence(divergence, 0.3, 0.2))[0].dense(student, teacher, (1.0, 0.0))
    torch.testing.assert_close(loss.double(), right.detach(), rtol=1e-6, atol=0)
    assert leaf.grad is not None
    assert float((student - leaf.grad).norm() / leaf.grad.norm()) < 1e-6


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    kernel = both(3.0, Divergence("jsd"))[0]
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            logits = normal(64, 2000, seed=1, dtype=torch.float32)
            loss, _ = kernel.dense(logits, normal(64, 2000, seed=2, dtype=torch.float32), (1.0, 1.0))
            results.append((loss, logits))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_compiled_code_refuses_unsuitable_tensors() -> None:
    dense, student = both(2.0, Divergence("jsd"))[0], both(2.0, None)[0]
    logits = torch.zeros(4, 9)
    for wrong in (torch.zeros(4, 9).double(), torch.zeros(9, 4).t()):
        with pytest.raises(ValueError, match="contiguous"):
            dense.dense(logits, wrong, (1.0, 1.0))
        with pytest.raises(ValueError, match="contiguous"):
            student.student(wrong, None)
    for wrong in (torch.zeros(4, 10), torch.zeros(3, 9)):
        with pytest.raises(ValueError, match="does not match"):
            dense.dense(logits, wrong, (1.0, 1.0))
    with pytest.raises(ValueError, match="made for"):
        dense.student(logits, None)
    with pytest.raises(ValueError, match="made for"):
        student.dense(logits, logits, None)


# ---- the whole loss, as programs call it


def parts(seed: int = 0) -> tuple[Tensor, Tensor, DenseTargets, Tensor]:
    shapes = ((64, 8), (2000, 8), (64, 4), (1900, 4))
    hidden, weight, *teacher = (normal(*shape, seed=seed + n, dtype=torch.float32) for n, shape in enumerate(shapes))
    return hidden.requires_grad_(), weight.requires_grad_(), DenseTargets(*teacher), make_labels(64, 2000, seed=seed)


def whole(seed: int = 0) -> tuple[LossSum, Tensor]:
    hidden, weight, teacher, labels = parts(seed)
    loss = fused_linear_distillation(
        hidden, weight, teacher, labels, divergence="jsd", temperature=2.0, chunk_tokens=10
    )
    return loss, torch.autograd.grad(loss.total, weight)[0]


def test_an_evaluation_in_inference_mode_leaves_a_training_alone() -> None:
    before = whole()
    hidden, weight, teacher, labels = parts()
    with torch.inference_mode():
        wide = torch.zeros(3000, 8)  # needs larger buffers than the training
        fused_linear_distillation(hidden.detach(), wide, teacher, labels, divergence="jsd", temperature=2.0)
        evaluated = fused_linear_distillation(hidden, weight, teacher, labels, divergence="jsd", temperature=2.0)
    assert math.isclose(float(evaluated.total), float(before[0].total.detach()), rel_tol=1e-6)
    after = whole()
    assert torch.equal(before[0].total, after[0].total) and torch.equal(before[1], after[1])


def test_deterministic_algorithms_change_nothing() -> None:
    before = whole()
    torch.use_deterministic_algorithms(True)
    try:
        after = whole()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(before[0].total, after[0].total) and torch.equal(before[1], after[1])


def test_python_threads_may_call_it_at_once() -> None:
    alone = [whole(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(whole, [seed for _ in range(8) for seed in range(4)]))
    for number, (loss, gradient) in enumerate(together):
        right, right_gradient = alone[number % 4]
        assert torch.equal(loss.total, right.total) and torch.equal(gradient, right_gradient)


def test_a_child_after_a_fork_can_use_it() -> None:
    both(1.0, None)
    script = """
import os, torch
from distil.objectives import LogitTargets, fused_linear_distillation
def loss():
    torch.manual_seed(0)
    hidden, weight, teacher = torch.randn(64, 8), torch.randn(2000, 8), torch.randn(64, 2000)
    return fused_linear_distillation(hidden, weight, LogitTargets(teacher), torch.zeros(64, dtype=torch.long)).total.item()
torch.set_num_threads(1)
before = loss()
child = os.fork()
if child == 0:
    os._exit(0 if loss() == before else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_both_languages_share_the_lowest_logit() -> None:
    source = Path(tensor_rows.__file__).with_name("rows.c").read_text(encoding="utf-8")
    found = re.search(r"^#define FLOOR (-\d+)", source, re.MULTILINE)
    assert found and float(found[1]) == LOWEST_LOGIT
