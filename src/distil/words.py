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
_MARKS = "\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"  # combining; not \w in Python's re
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![_{_UNSPACED}])[\w{_MARKS}])+")
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def tokens(text: str) -> list[str]:
    """Words in lower case: runs of letters and digits, and each character of a script without blanks.

    On ASCII the same as the tokenizer of the package rouge-score (Google Research): everything but a-z and 0-9 separates.
    """
    lower = text.lower()
    return (_ASCII_TOKEN if lower.isascii() else _TOKEN).findall(lower)


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
