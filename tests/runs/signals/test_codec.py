"""Rows of the signal cache as bytes: each kind comes back, several blocks are read at once, and the bytes stay within budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.runs.signals.codec import HEAD_STEP, Kind, Layout, SparseRows, decode, encode


def some_rows(kind: Kind, rows: int, vocabulary: int, most: int, temperatures: int, seed: int) -> SparseRows:
    """Random rows of a kind, padded and in no order."""
    rng = np.random.default_rng(seed)
    ids = np.full((rows, most), -1, dtype=np.int64)
    values = np.zeros((rows, most), dtype=np.float32)
    for r in range(rows):
        n = int(rng.integers(1, min(most, vocabulary) + 1))
        ids[r, :n] = rng.choice(vocabulary, n, replace=False)
        if kind == "top_k":
            values[r, :n] = -rng.exponential(3, n)
            values[r, 0] = 0
        elif kind == "sampled":
            values[r, :n] = rng.integers(1, 60, n)
        else:
            head = int(rng.integers(1, n + 1))
            values[r, :head] = -rng.integers(0, 4096, head) * HEAD_STEP
            values[r, head:n] = rng.integers(1, 9, n - head)
    entropy = rng.random((rows, temperatures)).astype(np.float16).astype(np.float32)
    odds = rng.normal(0, 9, (rows, temperatures)).astype(np.float16).astype(np.float32)
    return SparseRows(ids, values, entropy, None if kind == "sampled" else odds)


def as_dicts(rows: SparseRows) -> list[dict[int, float]]:
    return [
        {int(i): float(v) for i, v in zip(ids, values, strict=True) if i >= 0}
        for ids, values in zip(rows.ids, rows.values, strict=True)
    ]


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["top_k", "sampled", "stratified"]),
    blocks=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    vocabulary=st.sampled_from([2, 3, 300, 50_257, 128_256, 262_144]),
    most=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_blocks_of_each_kind_come_back_together(
    kind: Kind, blocks: list[int], vocabulary: int, most: int, seed: int
) -> None:
    temperatures = 3 if kind == "top_k" else 1
    layout = Layout(kind, max(1, (vocabulary - 1).bit_length()), temperatures, value_bits=32)
    parts = [some_rows(kind, rows, vocabulary, most, temperatures, seed + i) for i, rows in enumerate(blocks)]
    back = decode([encode(part, layout) for part in parts], blocks, layout)
    assert as_dicts(back) == [row for part in parts for row in as_dicts(part)]
    assert np.array_equal(back.entropy, np.concatenate([part.entropy for part in parts]))
    if kind == "sampled":
        assert back.tail_odds is None
    else:
        assert back.tail_odds is not None
        assert np.array_equal(back.tail_odds, np.concatenate([p.tail_odds for p in parts if p.tail_odds is not None]))
    assert (np.diff(np.where(back.ids < 0, 2**40, back.ids), axis=1) >= 0).all()  # padding last, ids ascend
    assert (back.ids[:, :1] >= 0).all()


def test_half_precision_logits_lose_at_most_2_to_the_minus_11() -> None:
    layout = Layout("top_k", 15, 1, value_bits=16)
    rows = some_rows("top_k", 20, 32_000, 30, 1, seed=3)
    back = as_dicts(decode([encode(rows, layout)], [20], layout))
    for before, after in zip(as_dicts(rows), back, strict=True):
        for token, value in before.items():
            assert after[token] == pytest.approx(value, rel=2**-11, abs=2**-24)


def test_rows_that_cannot_be_stored_are_refused() -> None:
    layout = Layout("sampled", 4, 1)
    entropy = np.zeros((1, 1), dtype=np.float32)
    for ids, message in (([3, 3], "distinct"), ([3, 16], "vocabulary"), ([-1, -1], "at least one id")):
        rows = SparseRows(np.array([ids]), np.ones((1, 2), dtype=np.float32), entropy)
        with pytest.raises(ValueError, match=message):
            encode(rows, layout)


def sampled_like_a_language_model(rows: int, vocabulary: int, draws: int, steepness: float) -> SparseRows:
    """Draws from Zipf distributions of varying steepness over ids in random order: the worst case for coding of ids."""
    rng = np.random.default_rng(0)
    order = rng.permutation(vocabulary)
    ids = np.full((rows, draws), -1, dtype=np.int64)
    counts = np.zeros((rows, draws), dtype=np.float32)
    for r in range(rows):
        p = np.arange(1, vocabulary + 1) ** -(steepness * rng.lognormal(0, 0.45))
        unique, count = np.unique(np.searchsorted(np.cumsum(p / p.sum()), rng.random(draws)), return_counts=True)
        ids[r, : len(unique)] = order[np.minimum(unique, vocabulary - 1)]
        counts[r, : len(unique)] = count
    return SparseRows(ids, counts, np.ones((rows, 1), dtype=np.float32))


def test_50_draws_of_12_tokens_take_30_bytes_at_128k() -> None:
    """12 unique tokens are what Anshumann et al. (ACL 2025) report for N = 50; with 24 bits each they cost 36 bytes."""
    rows = sampled_like_a_language_model(400, 128_000, 50, steepness=2.2)
    unique = float((rows.ids >= 0).sum(axis=1).mean())
    layout = Layout("sampled", 17, 1)
    assert unique > 11.5
    assert len(encode(rows, layout)) / 400 <= 30
