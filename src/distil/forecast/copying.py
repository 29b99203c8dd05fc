"""Values that are in the prompt: an order number, a date, a name in quotes. Found by their shape, without knowing the task.

The shapes of copied values (76045 is 00000, AB-12 is AA-00) and the words that usually come before them are learned from the
other requests; a prompt without such a place gets the value that is most common when nothing is copied.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from distil.forecast.answers import ABSENT
from distil.text import normalize_answer

LONGEST = 80
"""Characters of a value that can be copied: longer ones are written, not found."""
_PIECE = re.compile(r"[#$€£]?\w(?:[\w@.+/:-]*\w)?%?")
Sign = tuple[str, str]


class Piece(NamedTuple):
    """A piece of a prompt without blanks."""

    text: str
    shape: str
    before: str
    after: str
    earlier: str
    """The second word before it: `my postcode is 39463`."""

    def signs(self) -> tuple[Sign, ...]:
        """What tells whether it is the value."""
        around = ("before", self.before), ("after", self.after), ("earlier", self.earlier)
        return ("shape", self.shape), *around


Pieces = Sequence[Piece]
"""Of one text."""


class Copier:
    """What is learned of one field: naive Bayes over the shape of a piece and the words around it."""

    def __init__(self, pieces: Sequence[Pieces], values: Sequence[str]) -> None:
        """pieces: of each text."""
        self._copied: Counter[Sign] = Counter()
        self._left: Counter[Sign] = Counter()
        self._shapes: set[str] = set()
        others: Counter[str] = Counter()
        for found, value in zip(pieces, values, strict=True):
            wanted = "" if value == ABSENT or len(value) > LONGEST else normalize_answer(value)
            at = [piece for piece in found if wanted and normalize_answer(piece.text) == wanted]
            self._shapes |= {piece.shape for piece in at}
            if not at:
                others[value] += 1
            for piece in at[:1]:
                self._copied.update(piece.signs())
        for found, value in zip(pieces, values, strict=True):
            for piece in found:
                if piece.shape in self._shapes and normalize_answer(piece.text) != normalize_answer(value):
                    self._left.update(piece.signs())
        self._usual = others.most_common(1)[0][0] if others else ABSENT

    def guess(self, pieces: Pieces) -> tuple[str, float]:
        """(the value, how sure: 0 to 1)."""
        found = [(self._score(piece), piece.text) for piece in pieces if piece.shape in self._shapes]
        if not found:
            return self._usual, 1.0
        score, best = max(found)
        sure = abs(math.tanh(score / 2))
        return (normalize_answer(best) if score > 0 else self._usual), sure

    def _score(self, piece: Piece) -> float:
        """The logarithm of the odds that it is the value."""
        return sum(math.log((self._copied[sign] + 0.5) / (self._left[sign] + 0.5)) for sign in piece.signs())


def shape(piece: str) -> str:
    """Digits as 0, letters as a: what a number or a code looks like. Words are all alike, so their letters count once."""
    digits = re.sub(r"\d", "0", piece)
    return re.sub(r"[^\W\d_]+", "a", digits)


def pieces_of(text: str) -> list[Piece]:
    """Everything that could be a value; a sign of money or numbers before it counts as the word before."""
    texts = [match[0] for match in _PIECE.finditer(text)]
    plain = [piece.lstrip("#$€£") for piece in texts]
    around = ["", "", *(piece.lower() for piece in plain), ""]
    signs = [piece[: len(piece) - len(bare)] for piece, bare in zip(texts, plain, strict=True)]
    return [
        Piece(bare, shape(bare), signs[i] or around[i + 1], around[i + 3], around[i]) for i, bare in enumerate(plain)
    ]
