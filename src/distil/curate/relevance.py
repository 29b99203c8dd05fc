"""Prompts of a log that are not the task: questions that hardly resemble any other.

The mean cosine to the nearest other prompts (the distance to the k nearest neighbors as a score of outliers: Ramaswamy, Rastogi
and Shim, SIGMOD 2000), as a share of the third quartile over all prompts, which is the task's own as long as less than half of
the log is something else; a mean would be moved by that. What this can't see: strange prompts that resemble each other, such as
a second task in the log. Measured in docs/results_levers.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.embeddings.embedder import embedder
from distil.text import conversation_text

NEIGHBORS = 10
"""Most similar other prompts that are looked at."""
FEWEST = 50
"""Prompts from which "usual" means something."""
QUARTILE = 0.75
BLOCK = 1_000
"""Rows of cosines in memory at once."""


def relevance(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """Signal `relevance`: a prompt's closeness to the 10 nearest others, 1 = as the task's; None for fewer than 50 prompts.

    Costs one embedding per prompt (about 8 ms of CPU for a short question) and the square of their number. Raises UserError
    where `distil[evaluate]` is not installed.
    """
    texts = {pair.prompt.id: conversation_text(pair.prompt.messages) for pair in pairs}
    if len(texts) < FEWEST:
        return [None] * len(pairs)
    embedder().prepare(list(texts.values()))
    close = closeness(embedder().vectors(list(texts.values())))
    usual = float(np.quantile(close, QUARTILE))
    found = {
        id_: Found(value / usual, f"closeness to the nearest prompts {value:.2f}, usual are {usual:.2f}")
        for id_, value in zip(texts, close.tolist(), strict=True)
    }
    return [found[pair.prompt.id] for pair in pairs]


def closeness(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(rows,) the mean cosine of each row to its 10 nearest others. vectors: (rows, dimensions) of unit length."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        found[start : start + len(block)] = np.partition(block, -NEIGHBORS, axis=1)[:, -NEIGHBORS:].mean(axis=1)
    return found
