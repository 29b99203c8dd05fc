"""A text as words, and how many of them two texts share. Standard library only; for metrics and free text in fields."""

from __future__ import annotations

import re
import string
from collections import Counter

from distil.text import normalize

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana, Chinese characters."""
_MARKS = (  # combining signs of Latin, Cyrillic, Hebrew, Arabic and the scripts of India, and joiners: not \w in Python's re
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u096f\u0971-\u0df3\u200c\u200d"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![_{_UNSPACED}])[\w{_MARKS}])+")
_UNSPACED_SIGN = re.compile(f"[{_UNSPACED}]")
_RUN = re.compile(rf"[{_UNSPACED}]+|(?:(?![_{_UNSPACED}])[\w{_MARKS}])+")
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def tokens(text: str) -> list[str]:
    """Words in lower case: runs of letters and digits, and each character of a script without blanks.

    On ASCII the same as the tokenizer of the package rouge-score (Google Research): everything but a-z and 0-9 separates.
    """
    lower = text.lower()
    return (_ASCII_TOKEN if lower.isascii() else _TOKEN).findall(lower)


def runs(text: str) -> list[tuple[str, bool]]:
    """(run, whether it is of a script without blanks) in lower case: words, and stretches in which no blank parts the words."""
    lower = text.lower()
    if lower.isascii():
        return [(word, False) for word in _ASCII_TOKEN.findall(lower)]
    return [(found[0], is_unspaced(found[0])) for found in _RUN.finditer(lower)]


def is_unspaced(text: str) -> bool:
    """Whether a word begins in a script without blanks."""
    return _UNSPACED_SIGN.match(text) is not None


def token_f1_of(answer: str, target: str) -> float:
    """F1 of the multisets of words, without case, punctuation and English articles; two texts without words are equal (1).

    As in SQuAD's script (Rajpurkar et al. 2016), after Unicode normalization, and each character of a script without blanks is a
    word.
    """
    left, right = _plain_words(answer), _plain_words(target)
    if not left or not right:
        return float(left == right)
    return 2 * (Counter(left) & Counter(right)).total() / (len(left) + len(right))


def _plain_words(text: str) -> list[str]:
    words = _ARTICLES.sub(" ", normalize(text).translate(_PUNCTUATION))
    return words.split() if words.isascii() else _TOKEN.findall(words)
