"""Whether two answers say the same, so that one of them is enough to train on. Not how similar they look (similar.py).

Calls, JSON, numbers and labels: by `distil.text.answer_key`. Prose: the words that differ decide. A number, a name, a negation or
one word in the place of another makes it another answer, however similar the rest is; spelling, endings and fillers do not. In
doubt two answers differ: a row too many in training costs little, a right answer that is missing costs what it teaches.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher

from distil.quantities import find_quantities
from distil.records import Answer
from distil.text import answer_key, normalize, parse_answer
from distil.words import tokens

LABEL_WORDS = 5
"""An answer of at most so many words is a label: every word of it counts."""
MOST_WORDS = 2_000
"""Of two longer answers, only equal ones say the same: aligning them takes time in the square of their words."""

_NUMBER = re.compile(r"[-+$€£¥]?\d+(?:[.,:/]\d+)*%?")
_WORD = re.compile(r"[$€£¥%+#&=<>]|-(?=\d)|\w+(?:['’]\w+)*")
_SENTENCE_END = re.compile(r"[.!?:\n]\s*[\"'“(*_#>-]*\s*$|^\s*[\"'“(*_#>-]*\s*$")
_FILLER_WORDS = (
    "a an the this that these those please just very really quite so well sure certainly okay ok then also here there indeed "
    "simply basically kindly now of course is are be to it"
)
_NEGATION_WORDS = (
    "not no never cannot neither nor without none nothing nobody hardly except unless only cant dont wont isnt arent wasnt "
    "doesnt didnt shouldnt couldnt wouldnt nicht kein keine keinen nie ohne nur pas jamais sans aucun ni nunca sin solo não nem "
    "sem non mai senza niet geen nooit zonder inte ej aldrig utan ikke не нет без никогда nie bez лишь "
    "不 没 沒 無 无 未 非 勿 别 只 안 못"
)
_FILLERS, _NEGATIONS = frozenset(_FILLER_WORDS.split()), frozenset(_NEGATION_WORDS.split())


def statement_key(answer: Answer) -> tuple[int, bool]:
    """(a 64-bit key, whether it is prose). Answers with different keys never say the same; of equal keys, those of prose may.

    The key of prose is the numbers in their order.
    """
    key = answer_key(answer.text, answer.tool_calls)
    prose = not answer.tool_calls and parse_answer(answer.text) is None and len(tokens(answer.text)) > LABEL_WORDS
    if prose:
        key = "prose " + " ".join(_NUMBER.findall(normalize(answer.text)))
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"), prose


def same_statement(one: str, other: str) -> bool:
    """Whether two texts of equal `statement_key` differ only in spelling, endings, fillers and what is merely added."""
    left, right = _words(one), _words(other)
    plain_left, plain_right = [_plain(word) for word, _ in left], [_plain(word) for word, _ in right]
    if plain_left == plain_right:
        return True
    if max(len(left), len(right)) > MOST_WORDS:
        return False
    known = set(plain_left) & set(plain_right)
    for kind, a, b, c, d in SequenceMatcher(None, plain_left, plain_right, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        if kind == "replace" and not _spelled_alike(left[a:b], right[c:d]):
            return False
        if kind != "replace" and any(_decides(word, starts, known) for word, starts in (*left[a:b], *right[c:d])):
            return False
    return True


def _words(text: str) -> list[tuple[str, bool]]:
    """(word as written, whether it starts a sentence); scripts without blanks give their characters."""
    text = unicodedata.normalize("NFKC", text)
    found = []
    for match in _WORD.finditer(text):
        starts = _SENTENCE_END.search(text[max(0, match.start() - 12) : match.start()]) is not None
        word = match[0]
        parts = [word] if word.isascii() else tokens(word)  # one character each in Chinese, Japanese and Thai
        found += [(word, starts)] if len(parts) <= 1 else [(part, False) for part in parts]
    return found


def _plain(word: str) -> str:
    return word.casefold().replace("'", "").replace("’", "")


def _decides(word: str, starts: bool, known: set[str]) -> bool:
    """Whether a word that only one of two texts has, with nothing in its place, makes it another statement."""
    plain = _plain(word)
    if plain in _NEGATIONS or (plain.endswith("nt") and "'" in word.replace("’", "'")):
        return True
    if not word.isalpha() or find_quantities(word):
        return True
    name = word[0].isupper() and not starts and plain not in known and plain != "i"
    return name and plain not in _FILLERS


def _spelled_alike(left: Sequence[tuple[str, bool]], right: Sequence[tuple[str, bool]]) -> bool:
    """Whether words in each other's place are the same ones: written together or apart, with another ending, or fillers."""
    a = [(word, starts) for word, starts in left if _plain(word) not in _FILLERS]
    b = [(word, starts) for word, starts in right if _plain(word) not in _FILLERS]
    if not a or not b:
        return not any(_decides(word, starts, set()) for word, starts in (*a, *b))
    if "".join(_plain(word) for word, _ in a) == "".join(_plain(word) for word, _ in b):
        return True
    if len(a) != len(b):
        return False
    return all(_inflected(one, other) for (one, _), (other, _) in zip(a, b, strict=True))


def _inflected(one: str, other: str) -> bool:
    """`report` and `reports`, `cancel` and `canceled`: the same up to the last three letters. Names and numbers never are."""
    first, second = _plain(one), _plain(other)
    if first == second:
        return True
    if one[0].isupper() or other[0].isupper() or find_quantities(one) or find_quantities(other):
        return False
    if not (one.isalpha() and other.isalpha()) or {first, second} & _NEGATIONS:
        return False
    shared = 0
    while shared < min(len(first), len(second)) and first[shared] == second[shared]:
        shared += 1
    return shared >= max(4, max(len(first), len(second)) - 3)
