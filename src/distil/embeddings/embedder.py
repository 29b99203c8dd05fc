"""Text -> vector: long texts read whole, every text embedded once per project.

The model reads 256 word pieces; a longer text is cut into pieces that are embedded apart and averaged, weighted by length.
Vectors are kept as float16 (769 bytes a text, which moves a cosine by less than 0.0001) in the project's cache. Not what a cosine
says about two answers: evaluate/similarity.py.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from distil.embeddings.minilm import EPSILON, WIDTH, MiniLM, Vectors, weights_version
from distil.ids import content_id
from distil.progress import Bar, bar, say
from distil.runs.cache import Cache

if TYPE_CHECKING:
    from tokenizers import Encoding

PIECE_TOKENS = 250
"""Word pieces of one embedded piece: the model's 256 less the two marks at its ends and a few that a cut may add."""
MOST_TOKENS = 254
"""Word pieces that the model reads, without the marks."""
REVISION = 1
"""Of what this file makes of a text; a change here makes kept vectors useless."""
AT_ONCE = 512
"""Texts between two writes to the cache."""

Vector = npt.NDArray[np.float16]


class Embedded(NamedTuple):
    """What is kept of one text."""

    vector: Vector
    """(384,) the unit vector, rounded."""
    long: bool
    """It did not fit into one piece."""

    def to_bytes(self) -> bytes:
        """The flag and the vector, little-endian."""
        return bytes([self.long]) + self.vector.astype("<f2").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Embedded:
        """The inverse of `to_bytes`."""
        return cls(np.frombuffer(data, dtype="<f2", offset=1), bool(data[0]))


class Embedder:
    """Text -> unit vector, remembered in memory and in the cache. The model is loaded when the first new text comes."""

    def __init__(self) -> None:
        self.cache = Cache(None)
        self.made = 0
        """Texts embedded by this process."""
        self._known: dict[str, Embedded] = {}

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), 384) unit vectors; an empty text is a zero vector. Raises UserError when a package is missing."""
        self._learn(texts, quiet=True)
        rows = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            if text.strip():
                row[:] = self._known[text].vector
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(norms, EPSILON), dtype=np.float32)

    def long(self, text: str) -> bool:
        """Whether the text did not fit into one piece."""
        self._learn([text], quiet=True)
        return bool(text.strip()) and self._known[text].long

    def prepare(self, texts: Sequence[str]) -> None:
        """Embeds what is new, with a progress bar, and writes it to the cache as it goes."""
        self._learn(texts, quiet=False)

    def _learn(self, texts: Sequence[str], *, quiet: bool) -> None:
        asked = [text for text in dict.fromkeys(texts) if text.strip() and text not in self._known]
        if not asked:
            return
        method = [weights_version(), PIECE_TOKENS, REVISION]
        keys = {text: content_id("embedding", [*method, text]) for text in asked}
        kept = self.cache.get(list(keys.values()))
        self._known |= {text: Embedded.from_bytes(kept[key]) for text, key in keys.items() if key in kept}
        new = [text for text in asked if text not in self._known]
        if not quiet:
            say(f"embedding texts: {len(new):,} new, {len(asked) - len(new):,} known")
        if not new:
            return
        texts_of = _Pieces(model(), new)
        with bar("embedding texts", len(new), "texts") as running:
            for chosen in texts_of.portions():
                made = {new[index]: value for index, value in zip(chosen, texts_of.embed(chosen, running), strict=True)}
                self._known |= made
                self.made += len(made)
                self.cache.put({keys[text]: value.to_bytes() for text, value in made.items()})


class _Pieces:
    """Texts cut into pieces that the model can read; embeds portions of them, longest texts first."""

    def __init__(self, model: MiniLM, texts: Sequence[str]) -> None:
        self._model = model
        self._cut = [self._pieces(text, encoding) for text, encoding in zip(texts, model.tokenize(texts), strict=True)]
        self._sizes = [sum(max(1, len(piece)) for piece in pieces) for pieces in self._cut]
        self._done = 0
        self._start = time.monotonic()

    def portions(self) -> list[list[int]]:
        """Indices of the texts, a portion for each write to the cache. Texts of similar length are together."""
        order = sorted(range(len(self._sizes)), key=lambda index: -self._sizes[index])
        return [order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE)]

    def embed(self, chosen: Sequence[int], running: Bar) -> list[Embedded]:
        """What is to be kept of these texts. The time left goes by word pieces, since long texts take longer."""
        before = running.done

        def advance(tokens: int) -> None:
            self._done += tokens
            share = (self._done - done) / max(1, sum(self._sizes[index] for index in chosen))
            left_s = (time.monotonic() - self._start) * (sum(self._sizes) / self._done - 1)
            running.update(before + int(share * len(chosen)), left_s=max(0.0, left_s))

        done = self._done
        vectors = iter(self._model.embed([piece for index in chosen for piece in self._cut[index]], advance))
        return [self._pool([next(vectors) for _ in self._cut[index]], self._cut[index]) for index in chosen]

    def _pool(self, vectors: Sequence[Vectors], pieces: Sequence[Sequence[int]]) -> Embedded:
        sizes = np.asarray([max(1, len(piece)) for piece in pieces], dtype=np.float32)
        pooled = sizes @ np.stack(vectors)
        return Embedded((pooled / max(float(np.linalg.norm(pooled)), EPSILON)).astype(np.float16), len(pieces) > 1)

    def _pieces(self, text: str, encoding: Encoding) -> list[list[int]]:
        """Cut between word pieces, then read again, because the rest of a cut word has other pieces at the start of a text."""
        if len(encoding.ids) <= PIECE_TOKENS:
            return [encoding.ids]
        cuts = [encoding.offsets[i : i + PIECE_TOKENS] for i in range(0, len(encoding.offsets), PIECE_TOKENS)]
        parts = self._model.tokenize([text[cut[0][0] : cut[-1][1]] for cut in cuts])
        return [part.ids[:MOST_TOKENS] for part in parts]


@functools.cache
def model() -> MiniLM:
    """The one MiniLM of this process."""
    return MiniLM()


@functools.cache
def embedder() -> Embedder:
    """The one memory of this process."""
    return Embedder()


def use_cache(path: Path) -> None:
    """Keeps what is embedded from now on in this file, and finds there what was embedded before."""
    embedder().cache = Cache(path)
