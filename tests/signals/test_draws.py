"""What is kept of the teacher's logits: top k re-tempers exactly, and the draws are unbiased whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distil.runs.signals.codec import SparseRows, decode, encode
from distil.runs.signals.spec import SignalSpec
from distil.runs.signals.store import SignalRows, to_signal_rows
from distil.signals.draws import Draw, join_rows, sampled_rows, slice_rows, stratified_rows, top_k_rows, uniforms

V = 40


def logits_like_a_teacher(rows: int, seed: int = 0, vocabulary: int = V) -> torch.Tensor:
    """Peaked and flat rows mixed."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.5, 4, rows)[:, None]
    return torch.randn(rows, vocabulary, generator=generator) * scale


def stored(rows: SparseRows, spec: SignalSpec, temperature: float) -> SignalRows:
    """Through bytes and back, as training sees it."""
    counts = np.array([len(rows.ids)])
    return to_signal_rows(spec, decode([encode(rows, spec.layout)], counts, spec.layout), counts, temperature)


def spec_of(kind: str, **fields: object) -> SignalSpec:
    basics = {"teacher": "t", "revision": "r", "tokenizer": "k", "template": "p", "vocab_size": V}
    return SignalSpec.model_validate({**basics, "kind": kind, "dtype": "float32", **fields})


def dense(rows: SignalRows, values: np.ndarray) -> np.ndarray:
    out = np.zeros((len(values), V))
    assert rows.ids is not None
    for r, (ids, row) in enumerate(zip(rows.ids, values, strict=True)):
        out[r, ids[ids >= 0]] = row[ids >= 0]
    return out


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0, 4.0])
def test_a_top_k_cache_is_exact_at_each_temperature_of_its_grid(temperature: float) -> None:
    logits = logits_like_a_teacher(9)
    spec = spec_of("top_k", temperatures=(0.7, 1.0, 2.0, 4.0), k=6)
    rows = stored(top_k_rows(logits, 6, spec.temperatures), spec, temperature)
    p = torch.softmax(logits.double() / temperature, -1)
    kept = p.topk(6, -1)
    assert rows.log_probs is not None and rows.log_tail is not None and rows.entropy is not None
    expected = torch.zeros_like(p).scatter(1, kept.indices, kept.values).numpy()
    np.testing.assert_allclose(dense(rows, np.exp(rows.log_probs)), expected, rtol=2e-5)
    tail = torch.zeros_like(p).scatter(1, kept.indices, -p.gather(1, kept.indices)).add(p).sum(-1)
    np.testing.assert_allclose(np.exp(rows.log_tail), tail.numpy(), rtol=2e-5)
    entropy = torch.special.entr(p).sum(-1)
    np.testing.assert_allclose(rows.entropy, entropy.numpy(), rtol=1e-3)


def test_a_tail_far_below_rounding_is_row_settings() -> None:
    logits = torch.full((1, V), -40.0)
    logits[0, 3] = 0.0
    spec = spec_of("top_k", temperatures=(1.0,), k=2)
    rows = stored(top_k_rows(logits, 2, (1.0,)), spec, 1.0)
    assert rows.log_tail is not None
    assert rows.log_tail[0] == pytest.approx(np.log((V - 2) * np.exp(-40)), rel=1e-5)


def test_top_k_of_the_whole_vocabulary_has_no_tail() -> None:
    spec = spec_of("top_k", temperatures=(1.0,), k=V)
    rows = stored(top_k_rows(logits_like_a_teacher(2), V, (1.0,)), spec, 1.0)
    assert rows.log_probs is not None and rows.log_tail is not None
    np.testing.assert_allclose(np.exp(rows.log_probs).sum(1), 1, rtol=1e-5)
    assert (np.exp(rows.log_tail) == 0).all()


@pytest.mark.parametrize("draw", ["independent", "systematic"])
@pytest.mark.parametrize("kind", ["sampled", "stratified"])
def test_stored_draws_are_unbiased(kind: str, draw: Draw) -> None:
    """The mean over many rows lies within 5 standard errors of p for each token, packing and quantization included."""
    temperature, repeats = 1.5, 3000
    logits = logits_like_a_teacher(4, seed=1)
    p = torch.softmax(logits.double() / temperature, -1).numpy()
    draws, k = (12, 0) if kind == "sampled" else (5, 4)
    spec = spec_of(kind, temperatures=(temperature,), draws=draws, k=k, draw=draw)
    random = uniforms("example_1", 4 * repeats, draws, draw=draw, seed=0, number=0)
    many = logits.repeat(repeats, 1)
    if kind == "sampled":
        rows = stored(sampled_rows(many, random, temperature), spec, temperature)
    else:
        rows = stored(stratified_rows(many, k, random, temperature), spec, temperature)
    assert rows.weights is not None
    weights = dense(rows, rows.weights)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    mean = weights.reshape(repeats, 4, V).mean(0)
    error = np.sqrt(p / (draws * repeats)) + 1 / (draws * repeats)
    assert (np.abs(mean - p) <= 5 * error).all()
    head = 0.002 if kind == "stratified" else 0.0  # half a step of a stored head probability
    assert np.abs(mean - p).max() <= 5 * error.max() + head
    assert np.abs(mean - p).mean() <= error.mean() + head


def test_systematic_counts_are_rounded_expectations() -> None:
    logits = logits_like_a_teacher(5)
    spec = spec_of("sampled", temperatures=(1.0,), draws=50)
    rows = stored(sampled_rows(logits, uniforms("e", 5, 50, draw="systematic", seed=0, number=0), 1.0), spec, 1.0)
    assert rows.weights is not None
    p = torch.softmax(logits.double(), -1).numpy()
    assert (np.abs(dense(rows, rows.weights) - p) < 1 / 50 + 1e-6).all()


def test_stratified_heads_have_no_variance() -> None:
    logits = logits_like_a_teacher(5)
    spec = spec_of("stratified", temperatures=(1.0,), k=3, draws=4)
    rows = stored(stratified_rows(logits, 3, uniforms("e", 5, 4, draw="independent", seed=0, number=0), 1.0), spec, 1.0)
    p = torch.softmax(logits.double(), -1)
    kept = p.topk(3, -1)
    assert rows.weights is not None and rows.log_tail is not None
    weights = torch.from_numpy(dense(rows, rows.weights))
    torch.testing.assert_close(weights.gather(1, kept.indices), kept.values, rtol=0.003, atol=0)
    share = (1 - kept.values.sum(-1, keepdim=True)) / 4
    tail = weights.scatter(1, kept.indices, 0.0)
    torch.testing.assert_close(tail / share, (tail / share).round(), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(np.exp(rows.log_tail), 1 - kept.values.sum(-1).numpy(), rtol=5e-3)


def test_a_teacher_that_is_certain_needs_no_draws() -> None:
    logits = torch.full((1, V), -200.0)
    logits[0, 7] = 0.0
    spec = spec_of("stratified", temperatures=(1.0,), k=2, draws=4)
    rows = stored(stratified_rows(logits, 2, uniforms("e", 1, 4, draw="systematic", seed=0, number=0), 1.0), spec, 1.0)
    assert rows.ids is not None and rows.weights is not None
    assert rows.ids.tolist() == [[7]] and rows.weights.tolist() == [[1.0]]


def test_draws_belong_to_the_example_and_not_to_its_batch() -> None:
    first = uniforms("example_1", 6, 5, draw="independent", seed=0, number=0)
    assert np.array_equal(first, uniforms("example_1", 6, 5, draw="independent", seed=0, number=0))
    for other in (
        uniforms("example_2", 6, 5, draw="independent", seed=0, number=0),
        uniforms("example_1", 6, 5, draw="independent", seed=1, number=0),
        uniforms("example_1", 6, 5, draw="independent", seed=0, number=1),
    ):
        assert not np.array_equal(first, other)


def test_chunks_of_rows_join_and_part_again() -> None:
    logits = logits_like_a_teacher(6)
    random = uniforms("e", 6, 20, draw="independent", seed=0, number=0)
    whole = sampled_rows(logits, random, 1.0)
    joined = join_rows([sampled_rows(logits[a:b], random[a:b], 1.0) for a, b in ((0, 1), (1, 4), (4, 6))])
    spec = spec_of("sampled", temperatures=(1.0,), draws=20)
    assert encode(joined, spec.layout) == encode(whole, spec.layout)
    assert encode(slice_rows(joined, 2, 5), spec.layout) == encode(slice_rows(whole, 2, 5), spec.layout)
