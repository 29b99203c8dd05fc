"""Near-duplicates: the LSH finds what the exact comparison finds, and boilerplate does not make everything equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.curate import closest, similar
from distil.curate.closest import highest_of, highest_similarity
from distil.curate.minhash import CROWD, band_width
from distil.curate.shingles import Shingles, jaccard, shingles, text_key
from distil.curate.similar import near_pairs, nearest, shingle_sets
from distil.text import normalize
from tests.curate.material import distinct_text


def plain_jaccard(a: str, b: str) -> float:
    """The definition, on strings."""
    first, second = ({t[i : i + 5] for i in range(max(1, len(t) - 4))} for t in (normalize(a), normalize(b)))
    return len(first & second) / len(first | second)


@given(st.text(min_size=5, max_size=60), st.text(min_size=5, max_size=60))
@settings(max_examples=60, deadline=None)
def test_hashed_shingles_give_the_jaccard_of_the_strings(a: str, b: str) -> None:
    if len(normalize(a)) >= 5 and len(normalize(b)) >= 5:
        assert jaccard(shingles(a), shingles(b)) == plain_jaccard(a, b)


def linked(count: int, pairs: Iterable[tuple[int, int]]) -> set[frozenset[int]]:
    """The groups of rows that chains of pairs connect, by the definition."""
    groups = {index: {index} for index in range(count)}
    for one, other in pairs:
        if groups[one] is not groups[other]:
            groups[one] |= groups[other]
            for index in groups[other]:
                groups[index] = groups[one]
    return {frozenset(group) for group in groups.values()}


def compare_with_all_pairs(sets: Sequence[Shingles], threshold: float) -> int:
    """The groups of `near_pairs` are those of comparing all with all, its pairs are near. Returns the number of near pairs."""
    count = len(sets)
    expected = [(a, b) for a in range(count) for b in range(a + 1, count) if jaccard(sets[a], sets[b]) >= threshold]
    found = near_pairs(sets, threshold)
    assert all(pair.similarity == jaccard(sets[pair.first], sets[pair.second]) >= threshold for pair in found)
    assert linked(count, [(pair.first, pair.second) for pair in found]) == linked(count, expected)
    return len(expected)


def test_lsh_links_the_same_rows_as_comparing_all() -> None:
    rng = np.random.default_rng(0)
    texts = []
    for number in range(60):
        base = distinct_text(number)
        texts.append(base)
        cut = int(rng.integers(0, len(base)))
        texts.append(base[:cut] + "x" * int(rng.integers(0, 6)) + base[cut:])
    assert compare_with_all_pairs(shingle_sets(texts), 0.8) > 30


@pytest.mark.parametrize(
    "template",
    [
        "What is the delivery status of my order number {}?",
        "Could you please tell me what is the delivery status of my order number {}? I have been waiting for a week.",
        "Order {}",
    ],
)
def test_a_template_is_linked_as_by_comparing_all(template: str) -> None:
    """More rows than a crowd, some of which are below the threshold."""
    rng = np.random.default_rng(1)
    texts = [template.format(rng.integers(10**5)) for _ in range(3 * CROWD)] + [distinct_text(i) for i in range(150)]
    rng.shuffle(texts)
    sets = shingle_sets(texts)
    for threshold in (0.7, 0.85):
        compare_with_all_pairs(sets, threshold)


def test_texts_of_different_kinds_are_not_compared() -> None:
    texts = [f"What is the delivery status of my order number {n // 2}?" for n in range(200)]
    kinds = np.arange(200, dtype=np.uint64) % np.uint64(2)
    pairs = near_pairs([shingles(t) for t in texts], 0.8, kinds)
    assert len(pairs) > 100 and all(pair.first % 2 == pair.second % 2 for pair in pairs)


def test_the_band_width_keeps_the_stated_recall() -> None:
    for threshold in (0.5, 0.7, 0.85, 0.95):
        width = band_width(threshold)
        assert 1 - (1 - threshold**width) ** (256 // width) >= 0.9995


def test_a_shared_template_does_not_make_rows_alike() -> None:
    template = "You are given a customer message. Classify it carefully and answer in JSON with all fields. Message: "
    texts = [template + distinct_text(i) for i in range(40)]
    assert len(near_pairs([shingles(t) for t in texts], 0.5)) == 39
    sets = shingle_sets(texts)
    assert len(near_pairs(sets, 0.5)) <= 1  # rows 0 and 33 do resemble each other


def test_nearest_is_exact() -> None:
    texts = [distinct_text(i) for i in range(30)]
    queries = [shingles(t) for t in texts[:10]]
    corpus = [shingles(t + " and a tail") for t in texts]
    found = nearest(corpus, queries)
    for row, item in enumerate(corpus):
        assert found.similarity[row] == max(jaccard(item, query) for query in queries)
    assert found.query[3] == 3
    assert nearest(corpus, []).similarity.max() == 0


def test_nearest_above_a_floor_is_exact() -> None:
    texts = [distinct_text(i) for i in range(30)]
    queries, corpus = [shingles(t) for t in texts[:10]], [shingles(t + " and a tail") for t in texts]
    every = nearest(corpus, queries).similarity
    for floor in (0.3, 0.6, 0.9):
        found = nearest(corpus, queries, floor).similarity
        assert ((found == every) | ((found == 0) & (every < floor))).all()
    assert highest_of(closest.closest_rows(corpus, queries, 1)) == every.max()


def test_the_closest_rows_are_found_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closest, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(closest, "_ROWS_READ", 3)
    texts = [distinct_text(i % 25) + " and so on" * (i % 3) for i in range(50)]
    corpus, queries = [shingles(t) for t in texts], [shingles(distinct_text(i)) for i in range(25)]
    for query, found in zip(queries, closest.closest_rows(corpus, queries, 4), strict=True):
        every = sorted(((-jaccard(item, query), row) for row, item in enumerate(corpus)))
        assert found == [(row, -similarity) for similarity, row in every[:4] if similarity]


def test_many_queries_are_searched_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And find a near query for the same texts as the exact search."""
    rng = np.random.default_rng(2)
    texts = [f"What is the delivery status of my order number {rng.integers(10**4)}?" for _ in range(400)]
    texts += [distinct_text(i % 40) + "!" * (i % 3) for i in range(120)]
    rng.shuffle(texts)
    sets = [shingles(t) for t in texts]
    exact = nearest(sets[150:], sets[:150])
    monkeypatch.setattr(similar, "EXACT_CELLS", 0)
    found = nearest(sets[150:], sets[:150], 0.85)
    assert ((found.similarity >= 0.85) == (exact.similarity >= 0.85)).all() and (exact.similarity >= 0.85).any()
    assert all(jaccard(sets[150 + i], sets[q]) == found.similarity[i] for i, q in enumerate(found.query) if q >= 0)
    assert highest_similarity(sets[150:], sets[:150]) == exact.similarity.max()
    assert highest_similarity([shingles("nothing")], [shingles("in common")]) == 0.3  # stands for all below


def test_what_a_language_repeats_is_no_template() -> None:
    """A pair at the threshold is not lost because many texts say `and`."""
    texts = [f"{text_key(f'one {i}')} and {text_key(f'two {i}')}{text_key(f'three {i}')}" for i in range(60)]
    assert all(np.array_equal(one, shingles(text)) for one, text in zip(shingle_sets(texts), texts, strict=True))


def test_texts_without_letters_have_no_near_duplicates() -> None:
    assert near_pairs(shingle_sets(["", " ", "real text here"]), 0.5) == []
