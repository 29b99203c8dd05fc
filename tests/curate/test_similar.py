"""Near-duplicates: the LSH finds what the exact comparison finds, and boilerplate does not make everything equal."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.curate.shingles import jaccard, shingles
from distil.curate.similar import band_width, near_pairs, nearest, shingle_sets
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


def test_lsh_finds_the_same_pairs_as_comparing_all() -> None:
    rng = np.random.default_rng(0)
    texts = []
    for number in range(60):
        base = distinct_text(number)
        texts.append(base)
        cut = int(rng.integers(0, len(base)))
        texts.append(base[:cut] + "x" * int(rng.integers(0, 6)) + base[cut:])
    sets = shingle_sets(texts)
    expected = {(a, b) for a in range(len(sets)) for b in range(a + 1, len(sets)) if jaccard(sets[a], sets[b]) >= 0.8}
    assert {(p.first, p.second) for p in near_pairs(sets, 0.8)} == expected
    assert len(expected) > 30


def test_the_band_width_keeps_the_stated_recall() -> None:
    for threshold in (0.5, 0.7, 0.85, 0.95):
        width = band_width(threshold)
        assert 1 - (1 - threshold**width) ** (256 // width) >= 0.9995


def test_a_shared_template_does_not_make_rows_alike() -> None:
    template = "You are given a customer message. Classify it carefully and answer in JSON with all fields. Message: "
    texts = [template + distinct_text(i) for i in range(40)]
    assert len(near_pairs([shingles(t) for t in texts], 0.5)) > 100
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


def test_texts_without_letters_have_no_near_duplicates() -> None:
    assert near_pairs(shingle_sets(["", " ", "real text here"]), 0.5) == []
