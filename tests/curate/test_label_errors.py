"""Wrong labels without a reference: found among similar prompts, silent where there are no labels."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from distil.curate import label_vectors
from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.label_errors import label_agreement
from distil.curate.label_vectors import hashed
from distil.errors import UserError
from tests.curate.material import answer, distinct_text, prompt


@pytest.fixture
def _no_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without `distil[evaluate]`."""

    def missing() -> None:
        raise UserError("not installed")

    monkeypatch.setattr(label_vectors, "embedder", missing)


def values(texts: Sequence[str], labels: Sequence[str]) -> list[float | None]:
    asked = [prompt(text) for text in texts]
    pairs = [Pair(p, answer(p, label)) for p, label in zip(asked, labels, strict=True)]
    return [None if found is None else found.value for found in label_agreement(pairs, describe_corpus([]))]


@pytest.mark.usefixtures("_no_embeddings")
def test_planted_labels_of_banking77(data_dir: Callable[[str], Path]) -> None:
    """20 intents without MiniLM; benchmarks/curating.py has the whole set with it."""
    with data_dir("banking77/banking_train.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["category"] for row in rows})[:20]
    rows = [row for row in rows if row["category"] in names]
    draw = random.Random(0)
    wrong = set(draw.sample(range(len(rows)), len(rows) // 20))
    labels = [
        draw.choice([name for name in names if name != row["category"]]) if i in wrong else row["category"]
        for i, row in enumerate(rows)
    ]
    found = {i for i, value in enumerate(values([row["text"] for row in rows], labels)) if value == 0}
    assert len(found & wrong) >= 0.9 * len(wrong)
    assert len(found & wrong) >= 0.6 * len(found)


@pytest.mark.usefixtures("_no_embeddings")
def test_rare_labels_and_open_texts_say_nothing() -> None:
    texts = [f"where is my parcel number {i}" for i in range(20)] + ["I want my money back", "give me a refund"]
    found = values(texts, ["delivery"] * 20 + ["refund"] * 2)
    assert set(found[:20]) == {1.0} and found[20:] == [None, None]
    assert set(values(texts, [distinct_text(i) for i in range(22)])) == {None}
    assert values(["a", "b"], ["x", "y"]) == [None, None]


def test_hashed_vectors_tell_texts_apart() -> None:
    vectors = hashed(["where is my parcel", "Where is my  parcel?", "reset the password", ""])
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.99 and abs(far) < 0.2
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0], atol=1e-5)
