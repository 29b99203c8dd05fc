"""The fused loss on a GPU against the formulas in float64 on the same GPU: every divergence, kind of target and precision.

On a CPU (DISTIL_TEST_DEVICE=cpu) low precision is held to less: there a product rounds to its own dtype.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch

from distil.objectives import (
    DIVERGENCES,
    DenseTargets,
    LogitTargets,
    MixtureTargets,
    Targets,
    TopKTargets,
    fused_linear_distillation,
    random_sampling_targets,
    top_k_targets,
)
from distil.objectives.chunks import chunk_rows
from tests.objectives.builders import Student, fused, gradients, make_labels, normal, plain

ROWS, VOCABULARY, WIDTH, TEACHER_WIDTH, CHUNK = 37, 3001, 64, 96, 16
IGNORED_ROWS = (0, 5, 6, 36)
DTYPES = (torch.bfloat16, torch.float32)


def student(device: torch.device, dtype: torch.dtype, *, bias: bool = False, cap: float | None = None) -> Student:
    """Its numbers are those of `dtype`; the same seed gives the same."""
    hidden = normal(ROWS, WIDTH, seed=1, dtype=dtype).to(device).requires_grad_()
    weight = normal(VOCABULARY, WIDTH, seed=2, scale=0.2, dtype=dtype).to(device).requires_grad_()
    offsets = normal(VOCABULARY, seed=3, dtype=dtype).to(device).requires_grad_() if bias else None
    return Student(hidden, weight, offsets, 1.0 if cap is None else 0.5, cap)


def exact(low: Student) -> Student:
    """The same numbers in float64."""
    hidden, weight = (leaf.detach().double().requires_grad_() for leaf in (low.hidden, low.weight))
    bias = None if low.bias is None else low.bias.detach().double().requires_grad_()
    return Student(hidden, weight, bias, low.scale, low.cap)


def dense(device: torch.device, dtype: torch.dtype, vocabulary: int = VOCABULARY) -> DenseTargets:
    hidden = normal(ROWS, TEACHER_WIDTH, seed=4, dtype=dtype).to(device)
    return DenseTargets(hidden, normal(vocabulary, TEACHER_WIDTH, seed=5, scale=0.2, dtype=dtype).to(device))


def logits(device: torch.device) -> torch.Tensor:
    return normal(ROWS, VOCABULARY, seed=6, scale=2.5, dtype=torch.float32).to(device)


def both(kind: str, device: torch.device, dtype: torch.dtype, temperature: float) -> tuple[Targets, Targets]:
    """Targets of a kind, and the same numbers in float64 (numbers of sparse targets are float32 on both sides)."""
    if kind == "top_k":
        top = top_k_targets(logits(device), 8, temperature)
        return top, top
    if kind == "within":
        within = replace(top_k_targets(logits(device), 8, temperature), within=True)
        return within, within
    if kind == "sampled":
        generator = torch.Generator(device=device).manual_seed(7)
        sampled = random_sampling_targets(logits(device), 20, temperature=temperature, generator=generator)
        return sampled, replace(sampled, weights=sampled.weights.double())
    live = dense(device, dtype, VOCABULARY - 10 if kind == "mixture" else VOCABULARY)
    live_exact = DenseTargets(live.hidden.double(), live.weight.double())
    if kind == "dense":
        return live, live_exact
    known = LogitTargets(logits(device))
    known_exact = LogitTargets(known.logits.double())
    if kind == "logits":
        return known, known_exact
    return MixtureTargets((live, known), (1.0, 3.0)), MixtureTargets((live_exact, known_exact), (1.0, 3.0))


def agree(low: Student, found: Any, truth: Any, reference: Student) -> None:
    """Losses, counts and all gradients, within what the precision allows."""
    wide = low.hidden.is_cuda or low.hidden.dtype == torch.float32
    of_loss, of_gradients = (2e-5 if wide else 0.02), (2e-5 if low.hidden.dtype == torch.float32 else 0.02)
    assert found.count == truth.count and found.total.dtype == torch.float32
    for name in ("total", "distill", "label"):
        assert getattr(found, name).device == low.hidden.device
        assert getattr(found, name).item() == pytest.approx(getattr(truth, name).item(), rel=of_loss, abs=1e-4), name
    for got, expected in zip(gradients(found, low), gradients(truth, reference), strict=True):
        assert got.dtype == low.hidden.dtype and got.device == low.hidden.device
        assert float((got.double() - expected).norm() / expected.norm()) < of_gradients


def compare(
    kind: str, device: torch.device, dtype: torch.dtype, settings: dict[str, Any], low: Student | None = None
) -> None:
    low = student(device, dtype) if low is None else low
    labels = make_labels(ROWS, VOCABULARY, IGNORED_ROWS).to(device)
    ours, theirs = both(kind, device, dtype, settings.get("temperature", 1.0))
    reference = exact(low)
    truth = plain(reference, theirs, labels, **settings)
    agree(low, fused(low, ours, labels, chunk_tokens=CHUNK, **settings), truth, reference)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", ["dense", "top_k"])
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_loss_on_a_gpu_is_the_formula(
    device: torch.device, divergence: str, kind: str, temperature: float, dtype: torch.dtype
) -> None:
    compare(kind, device, dtype, {"divergence": divergence, "temperature": temperature})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("kind", "divergence"),
    [("logits", "reverse_kl"), ("mixture", "jsd"), ("within", "reverse_kl"), ("sampled", "forward_kl")],
)
@pytest.mark.parametrize("temperature", [2.0, 3.0])
def test_the_other_targets_on_a_gpu_are_the_formula(
    device: torch.device, kind: str, divergence: str, temperature: float, dtype: torch.dtype
) -> None:
    compare(kind, device, dtype, {"divergence": divergence, "temperature": temperature})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head", [{"bias": True}, {"cap": 4.0}, {"bias": True, "cap": 4.0}], ids=str)
@pytest.mark.parametrize("kind", ["dense", "top_k"])
def test_bias_scale_and_cap_of_the_head(
    device: torch.device, kind: str, head: dict[str, Any], dtype: torch.dtype
) -> None:
    compare(kind, device, dtype, {"temperature": 2.0}, student(device, dtype, **head))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_labels_alone_are_the_cross_entropy(device: torch.device, dtype: torch.dtype) -> None:
    low, labels = student(device, dtype), make_labels(ROWS, VOCABULARY, IGNORED_ROWS).to(device)
    reference = exact(low)
    weights = {"distill_weight": 0.0, "label_weight": 1.0}
    truth = plain(reference, None, labels, weights=(0.0, 1.0))
    agree(low, fused(low, None, labels, chunk_tokens=CHUNK, **weights), truth, reference)


@pytest.mark.parametrize("counted", [0, 1, ROWS])
def test_no_row_one_row_and_all_rows(device: torch.device, counted: int) -> None:
    low = student(device, torch.bfloat16)
    labels = make_labels(ROWS, VOCABULARY, tuple(range(counted, ROWS))).to(device)
    found = fused(low, dense(device, torch.bfloat16), labels, temperature=2.0)
    assert found.count == counted
    if not counted:
        assert found.total.item() == 0.0 and all((gradient == 0).all() for gradient in gradients(found, low))
        return
    reference = exact(low)
    live = dense(device, torch.bfloat16)
    targets = DenseTargets(live.hidden.double(), live.weight.double())
    agree(low, found, plain(reference, targets, labels, temperature=2.0), reference)


def test_a_bfloat16_teacher_of_a_float32_student(device: torch.device) -> None:
    low, labels = student(device, torch.float32), make_labels(ROWS, VOCABULARY, IGNORED_ROWS).to(device)
    live = dense(device, torch.bfloat16)
    reference = exact(low)
    truth = plain(reference, DenseTargets(live.hidden.double(), live.weight.double()), labels, temperature=2.0)
    found = fused(low, live, labels, temperature=2.0, chunk_tokens=CHUNK)
    assert found.total.item() == pytest.approx(truth.total.item(), rel=2e-5 if low.hidden.is_cuda else 0.02)


def test_autocast_runs_the_products_in_bfloat16(device: torch.device) -> None:
    low, labels = student(device, torch.float32), make_labels(ROWS, VOCABULARY, IGNORED_ROWS).to(device)
    reference, (ours, theirs) = exact(low), both("dense", device, torch.float32, 2.0)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        found = fused(low, ours, labels, temperature=2.0, chunk_tokens=CHUNK)
    truth = plain(reference, theirs, labels, temperature=2.0)
    assert found.total.item() == pytest.approx(truth.total.item(), rel=0.02)
    for got, expected in zip(gradients(found, low), gradients(truth, reference), strict=True):
        assert got.dtype == torch.float32
        assert float((got.double() - expected).norm() / expected.norm()) < 0.03


@pytest.mark.parametrize("kind", ["dense", "top_k"])
def test_tf32_leaves_the_rows_of_a_bfloat16_head_alone(device: torch.device, kind: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        compare(kind, device, torch.bfloat16, {"divergence": "jsd", "temperature": 2.0})
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_scaled_loss_scales_its_gradients_twice_over(device: torch.device) -> None:
    low, labels = student(device, torch.bfloat16), make_labels(ROWS, VOCABULARY, IGNORED_ROWS).to(device)
    loss = fused(low, dense(device, torch.bfloat16), labels, temperature=2.0)
    first = torch.autograd.grad(loss.total / 4, low.leaves, retain_graph=True)
    second = torch.autograd.grad(loss.total, low.leaves)
    for one, two in zip(first, second, strict=True):
        assert float((one.double() * 4 - two.double()).norm() / two.double().norm()) < 0.01


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_chunk_that_the_budget_chose_agrees_with_smaller_ones(device: torch.device, dtype: torch.dtype) -> None:
    """At a real vocabulary, where the rows of a chunk are chosen by bytes."""
    vocabulary, width = 128_256, 32
    rows = 9 + (chunk_rows(vocabulary, 2, torch.float32, device) if device.type == "cuda" else 8)
    generator = torch.Generator(device=device).manual_seed(1)
    hidden, teacher = (torch.randn(rows, width, device=device, generator=generator).to(dtype) for _ in range(2))
    weight = (torch.randn(vocabulary, width, device=device, generator=generator) * 0.4).to(dtype)
    labels = torch.randint(0, vocabulary, (rows,), device=device, generator=generator)
    found = []
    for chunk in (None, 5 if device.type == "cpu" else 100):
        low = Student(hidden.clone().requires_grad_(), weight.clone().requires_grad_())
        loss = fused(low, DenseTargets(teacher, weight), labels, temperature=2.0, chunk_tokens=chunk)
        found.append((loss.total.item(), gradients(loss, low)))
    (one, of_one), (two, of_two) = found
    assert one == pytest.approx(two, rel=1e-5 if hidden.is_cuda or dtype == torch.float32 else 0.01)
    for got, expected in zip(of_one, of_two, strict=True):
        relative = float((got.float() - expected.float()).norm() / expected.float().norm())
        assert relative < (1e-4 if dtype == torch.float32 else 0.01)


def test_more_chunks_wait_for_the_gpu_no_more_often(device: torch.device) -> None:
    """Each wait would leave it idle until the next launch."""
    if device.type != "cuda":
        pytest.skip("only CUDA says when it is waited for")
    labels = make_labels(ROWS, VOCABULARY, IGNORED_ROWS).to(device)
    top = top_k_targets(logits(device), 8, 2.0)
    for targets in (dense(device, torch.bfloat16), top, None):
        assert waits(device, targets, labels, 4) == waits(device, targets, labels, ROWS) <= 3


def waits(device: torch.device, targets: DenseTargets | TopKTargets | None, labels: torch.Tensor, chunk: int) -> int:
    low = student(device, torch.bfloat16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            loss = fused_linear_distillation(
                low.hidden, low.weight, targets, labels, temperature=2.0, chunk_tokens=chunk
            )
            (loss.total / 4).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) and "prototype" not in str(warning.message) for warning in caught)
