"""Semantic similarity: the cosine of all-MiniLM-L6-v2 embeddings (distil.embeddings), with anchors.

A cosine alone says little (unrelated answers of one task can reach 0.7): `shuffled` gives the floor to read it against.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distil.embeddings.embedder import embedder
from distil.evaluate.metrics import Case

CLOSE = 0.9
"""The article's threshold for a very similar answer."""


def prepare(texts: Sequence[str]) -> None:
    """Embeds all texts at once with a progress bar, so that the metrics find them ready."""
    embedder().prepare(texts)


def cosines(left: Sequence[str], right: Sequence[str]) -> npt.NDArray[np.float64]:
    """(N,) cosine of each pair in [-1, 1]: 1 where both texts are empty, 0 where one is."""
    a, b = embedder().vectors(left), embedder().vectors(right)
    values = np.einsum("nd,nd->n", a, b, dtype=np.float64)
    both_empty = [not x.strip() and not y.strip() for x, y in zip(left, right, strict=True)]
    values[np.asarray(both_empty, dtype=bool)] = 1.0
    return np.clip(values, -1.0, 1.0)


def similarity(cases: Sequence[Case]) -> list[float | None]:
    """Cosine of the answer with the teacher's; None where the teacher called a tool and said nothing."""
    texts = [None if case.teacher_tool_calls and not (case.teacher or "").strip() else case.teacher for case in cases]
    pairs = [(case.answer, text) for case, text in zip(cases, texts, strict=True) if text is not None]
    values = iter(cosines([a for a, _ in pairs], [t for _, t in pairs]))
    return [None if text is None else float(next(values)) for text in texts]


def similar_share(cases: Sequence[Case]) -> list[float | None]:
    """1 where the cosine with the teacher's answer is above 0.9 (the article's second figure is the mean of this)."""
    return [None if value is None else float(value > CLOSE) for value in similarity(cases)]


def shuffled(texts: Sequence[str], seed: int) -> npt.NDArray[np.float64]:
    """(N,) cosine of each text with that of another prompt: what similarity is worth nothing. Needs two texts, else empty."""
    if len(texts) < 2:
        return np.zeros(0)
    order = np.random.default_rng(seed).permutation(len(texts))
    partner = np.empty(len(texts), dtype=np.int64)
    partner[order] = np.roll(order, 1)  # one cycle through all: nobody is their own partner
    return cosines(texts, [texts[int(i)] for i in partner])


def long_share(texts: Sequence[str]) -> float:
    """Share of the texts that were longer than the model reads at once (and so were embedded in pieces)."""
    embedder().vectors(texts)
    return sum(embedder().long(text) for text in texts) / len(texts) if texts else 0.0
