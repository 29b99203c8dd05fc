"""How close open texts are to each other: in meaning where MiniLM is installed, else in wording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.curate.shingles import jaccard, shingles
from distil.embeddings.embedder import embedder
from distil.errors import UserError
from distil.text import one_line

REASON_LENGTH = 200
AGREES = {"meaning": 0.8, "wording": 0.5}
"""Measure -> from which closeness two open texts count as agreeing. They are about the same then, not both right."""


class Closeness(NamedTuple):
    """A measure of closeness between texts."""

    name: str
    """meaning | wording."""
    why: str | None = None
    """Why it is only wording."""

    @classmethod
    def prepared(cls, texts: Sequence[str]) -> Closeness:
        """By meaning, with all texts embedded; by wording where the packages of `distil[evaluate]` are missing."""
        try:
            embedder().prepare(texts)
        except UserError as error:
            return cls("wording", one_line(str(error), REASON_LENGTH))
        return cls("meaning")

    def means(self, texts: Sequence[str]) -> list[float]:
        """Of each text: its mean closeness to the others, -1 to 1. Needs at least two."""
        matrix = self._between(texts)
        np.fill_diagonal(matrix, 0)
        return [float(row.sum()) / (len(texts) - 1) for row in matrix]

    def agreeing(self, texts: Sequence[str]) -> list[int]:
        """Of each text: how many are close enough to say about the same (AGREES), itself included."""
        matrix = self._between(texts)
        np.fill_diagonal(matrix, 1)
        return [int((row >= AGREES[self.name]).sum()) for row in matrix]

    def _between(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(texts, texts) closenesses."""
        if self.name == "meaning":
            vectors = embedder().vectors(texts).astype(np.float64)
            return np.asarray(vectors @ vectors.T)
        sets = [shingles(text) for text in texts]
        return np.array([[jaccard(one, other) for other in sets] for one in sets])
