"""How a customer types: the register (formal, casual, sms, rambling) and typing mistakes.

Changes only the surface: digits are never touched, so a copied order number stays exact.
"""

from __future__ import annotations

import random
import re

REGISTERS = ("formal", "casual", "sms", "rambling")
_CONTRACTIONS = (
    ("I am ", "I'm "),
    ("I have ", "I've "),
    ("I would ", "I'd "),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("did not", "didn't"),
    ("cannot", "can't"),
    ("can not", "can't"),
    ("has not", "hasn't"),
    ("is not", "isn't"),
    ("will not", "won't"),
    ("It is ", "It's "),
    ("it is ", "it's "),
    ("This is ", "This's "),
    ("You are ", "You're "),
    ("was not", "wasn't"),
)
_SHORT_FORMS = {
    "you": "u",
    "your": "ur",
    "please": "pls",
    "thanks": "thx",
    "thank you": "ty",
    "because": "cos",
    "are": "r",
    "tomorrow": "tmrw",
    "with": "w",
    "and": "n",
    "do not": "dont",
    "cannot": "cant",
    "i am": "im",
    "it is": "its",
}
_SHORT_PATTERN = re.compile(r"\b(" + "|".join(sorted(_SHORT_FORMS, key=len, reverse=True)) + r")\b")
_JOINERS = ("so ", "anyway, ", "well, ", "and ", "oh and ", "you know, ", "by the way, ", "also, ", "ok so ")
_NEAR = {
    "a": "sq",
    "b": "vn",
    "c": "xv",
    "d": "sf",
    "e": "wr",
    "f": "dg",
    "g": "fh",
    "h": "gj",
    "i": "uo",
    "k": "jl",
    "l": "k",
    "m": "n",
    "n": "bm",
    "o": "ip",
    "p": "o",
    "r": "et",
    "s": "ad",
    "t": "ry",
    "u": "yi",
    "v": "cb",
    "w": "qe",
    "y": "tu",
}
_WORD = re.compile(r"[A-Za-z]{4,}")


def _casual(rng: random.Random, text: str) -> str:
    for long, short in _CONTRACTIONS:
        if long in text and rng.random() < 0.8:
            text = text.replace(long, short)
    return text


def _sms(rng: random.Random, sentences: list[str]) -> str:
    parts = []
    for sentence in sentences:
        sentence = sentence.lower()
        sentence = _SHORT_PATTERN.sub(
            lambda m: _SHORT_FORMS[m.group(1)] if rng.random() < 0.5 else m.group(1), sentence
        )
        parts.append(sentence.rstrip(".,!") if rng.random() < 0.7 else sentence)
    return " ".join(parts)


def _rambling(rng: random.Random, sentences: list[str]) -> str:
    parts = [sentences[0]]
    for sentence in sentences[1:]:
        if rng.random() < 0.45:
            first = sentence[:2] if sentence[:2] in ("I ", "I'") else sentence[0].lower()
            sentence = rng.choice(_JOINERS) + first + sentence[len(first) :]
            if parts[-1].endswith("."):
                parts[-1] = parts[-1][:-1] + rng.choice((",", " ...", "."))
        parts.append(sentence)
    return " ".join(parts)


def join_sentences(rng: random.Random, sentences: list[str], register: str) -> str:
    """The sentences (at least one) as one message in a register of `REGISTERS`."""
    if register == "sms":
        return _sms(rng, sentences)
    if register == "rambling":
        return _casual(rng, _rambling(rng, sentences))
    text = " ".join(sentences)
    if register == "casual":
        text = _casual(rng, text)
        if rng.random() < 0.2:
            text = text.lower()
    return text


def _mistype(rng: random.Random, word: str) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.random()
    if kind < 0.3:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind < 0.6:
        return word[:at] + word[at + 1 :]
    if kind < 0.8:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice(_NEAR.get(word[at].lower(), word[at])) + word[at + 1 :]


def mistype(rng: random.Random, text: str, rate: float) -> str:
    """Mistype each word of four letters or more with probability `rate`: two letters swapped, one lost, doubled or wrong."""
    return _WORD.sub(lambda m: _mistype(rng, m.group(0)) if rng.random() < rate else m.group(0), text)
