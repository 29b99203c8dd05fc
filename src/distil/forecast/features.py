"""How alike prompts are, as a kernel: by their words, and by meaning where MiniLM is installed. Nothing is downloaded.

Words and character 5-grams are counted in 4,096 hashed places each, weighted as TF-IDF does. Meaning is exp(3 (cosine - 1)) of
MiniLM's vectors: a Gaussian kernel on the sphere, which parts banking77's 77 intents far better than the cosine itself
(docs/forecast.md).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distil.curate.shingles import shingle_rows
from distil.curate.split.meaning import installed as can_embed
from distil.embeddings.embedder import embedder
from distil.forecast.traffic import Request, cut
from distil.text import normalize, spoken_turns

PLACES = 4_096
WORD_CHARACTERS = 3_000
"""Characters whose words are counted."""
MEANING_CHARACTERS = 900
"""Characters that are embedded: about what MiniLM reads at once."""
SHARPNESS = 3.0
_WORD = re.compile(r"\w+")
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+")

Matrix = npt.NDArray[np.float32]


class Kernels(NamedTuple):
    """How alike the prompts of a slice are, as two students see it."""

    words: Matrix
    """(n, n) for a student that knows only the words it was trained on."""
    meaning: Matrix | None
    """(n, n) for one that has read much before; None: MiniLM is not installed."""

    @property
    def best(self) -> Matrix:
        """The one that knows more."""
        return self.words if self.meaning is None else self.meaning


def kernels(requests: Sequence[Request]) -> Kernels:
    """(n, n) similarities, 1 and more for equal prompts. Seconds for 3,000 of them, most of it for the embedding."""
    texts = [asked_text(request, WORD_CHARACTERS) for request in requests]
    words = np.zeros((len(texts), len(texts)), dtype=np.float32)
    for vectors in (word_vectors(texts), character_vectors(texts)):
        words += vectors @ vectors.T
    if not can_embed():
        return Kernels(words, None)
    vectors = meaning_vectors(requests)
    return Kernels(words, np.asarray(np.exp(SHARPNESS * (vectors @ vectors.T - 1)) + words, dtype=np.float32))


def prepare(requests: Sequence[Request]) -> None:
    """Embeds what will be needed, with a progress bar of its own."""
    texts = [asked_text(r, MEANING_CHARACTERS) for r in requests if not r.attached and not r.calls]
    if texts:
        embedder().prepare(texts)


def meaning_vectors(requests: Sequence[Request]) -> Matrix:
    """(n, 384) unit vectors of MiniLM."""
    return embedder().vectors([asked_text(request, MEANING_CHARACTERS) for request in requests])


def asked_text(request: Request, most: int) -> str:
    """The turns that are answered, the last one first where there are several: it decides most."""
    turns = [turn.text for turn in reversed(spoken_turns(request.messages))]
    return cut("\n".join(turns), most)


def word_vectors(texts: Sequence[str]) -> Matrix:
    """(n, PLACES) unit vectors of words and pairs of words, by TF-IDF."""
    counts = np.zeros((len(texts), PLACES), dtype=np.float32)
    for row, text in zip(counts, texts, strict=True):
        for term in terms(text):
            row[zlib.crc32(term.encode("utf-8", "replace")) % PLACES] += 1
    return _weighted(counts)


def character_vectors(texts: Sequence[str]) -> Matrix:
    """(n, PLACES) unit vectors of character 5-grams, by TF-IDF: endings, misspellings, parts of compounds."""
    counts = np.zeros((len(texts), PLACES), dtype=np.float32)
    for row, hashes in zip(counts, shingle_rows(texts), strict=True):
        np.add.at(row, (hashes % PLACES).astype(np.intp), 1)
    return _weighted(counts)


def _weighted(counts: Matrix) -> Matrix:
    """TF-IDF with logarithmic counts, as unit vectors."""
    counts = np.log1p(counts)
    counts *= np.log((1 + len(counts)) / (1 + (counts > 0).sum(axis=0))) + 1
    return np.asarray(counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def terms(text: str) -> list[str]:
    """Words and pairs of neighbors; of a script without blanks (Chinese, Japanese, Thai), characters and pairs of them."""
    words = list[str]()
    for word in _WORD.findall(normalize(text)):
        words += list(word) if _SPACELESS.search(word) else [word]
    return words + [f"{a} {b}" for a, b in pairwise(words)]
