"""How close open texts are to each other: in meaning where MiniLM is installed, else in wording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil.curate.shingles import jaccard, shingles
from distil.embeddings.embedder import embedder
from distil.errors import UserError
from distil.text import one_line

REASON_LENGTH = 200


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
        if self.name == "meaning":
            vectors = embedder().vectors(texts)
            matrix = vectors @ vectors.T
        else:
            sets = [shingles(text) for text in texts]
            matrix = np.array([[jaccard(one, other) for other in sets] for one in sets])
        np.fill_diagonal(matrix, 0)
        return [float(row.sum()) / (len(texts) - 1) for row in matrix]
