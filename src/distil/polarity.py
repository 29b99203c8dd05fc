"""Does the answer say the opposite? Yes against no, safe against unsafe, a sentence with its negation turned round.

Similarity of embeddings hardly sees this, so it is a guard of its own: cautious rules, made to raise few false alarms. Standard
library only.
"""

from __future__ import annotations

import re

from distil.text import normalize

_TRUE = "true correct right safe allowed approved valid possible legal permitted"
_FALSE = "false incorrect wrong unsafe forbidden denied invalid impossible illegal prohibited"
_YES, _NO = "yes yeah yep ja oui sí si sim да はい 是 是的 对", "no nope nein non não нет いいえ 否 不是 不"
_POLES = dict.fromkeys(f"{_YES} {_TRUE}".split(), 1) | dict.fromkeys(f"{_NO} {_FALSE}".split(), -1)
_ANTONYMS = {
    "unsafe": "safe", "dangerous": "safe", "impossible": "possible", "illegal": "legal", "invalid": "valid",
    "incorrect": "correct", "wrong": "correct", "false": "true", "forbidden": "allowed",
    "prohibited": "allowed", "denied": "approved", "rejected": "approved", "unable": "able", "unlikely": "likely",
    "disagree": "agree", "disagrees": "agree", "decreases": "increases", "decrease": "increase", "decreased": "increased",
    "worse": "better", "harmful": "harmless", "ineligible": "eligible", "unavailable": "available",
}  # fmt: skip
_NEGATION = frozenset(["not", "no", "never", "cannot", "neither", "nor", "without", "none"])
_FILLERS = "a an the that this it its is are be very really so do does did will would can could should and yes"
_FILLER = frozenset(_FILLERS.split())
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=\w),\s+(?=but\b|because\b|so\b)")
_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_FIRST = re.compile(r"\W{0,8}(?:the answer is:?|answer:)?\W{0,8}([^\W\d_]+)")
_CONTRACTED = re.compile(r"\b(can|do|does|did|is|are|was|were|has|have|had|would|should|could|must|need)n't\b")
SENTENCES = 60
"""Sentences of an answer that are looked at."""
LEAST_WORDS = 3
"""Words, apart from fillers and negations, that two sentences have to share to be the same statement."""
LIKENESS = 0.8
"""Share of their words that they have to share."""


def is_reversed(answer: str, teacher: str) -> bool:
    """Whether two answers contradict each other: yes and no in some languages, negations in English."""
    one, other = _plain(answer), _plain(teacher)
    first, second = _opening(one), _opening(other)
    if first and second:
        return first != second
    return _negates(one, other)


def _plain(text: str) -> str:
    text = normalize(text[:40_000]) if "\n" not in text else "\n".join(map(normalize, text[:40_000].splitlines()))
    return _CONTRACTED.sub(r"\1 not", text.replace("won't", "will not").replace("can't", "can not"))


def _opening(text: str) -> int:
    """1 for yes, -1 for no, 0 for an answer that begins with neither."""
    match = _FIRST.match(text)
    pole = _POLES.get(match[1], 0) if match else 0
    if not match or not pole:
        return _not_opening(text)
    behind = text[match.end() : match.end() + 1]
    # "Yes it is" and "Yes, ...", but not "No country has ...", "True friends ...", "Right angles are ...".
    alone = (
        not behind or behind in ",.!:;-\n*)\"'。、" or (behind == " " and match[1] in ("yes", "yeah", "yep", "nope"))
    )
    return pole if alone else 0


def _not_opening(text: str) -> int:
    match = re.match(r"\W{0,8}not (safe|allowed|true|correct|possible|legal|permitted|valid|approved)\b", text)
    return -1 if match else 0


def _negates(answer: str, teacher: str) -> bool:
    """Whether a statement of one is the negation of a statement of the other."""
    theirs = [statement for sentence in _sentences(teacher) if (statement := _statement(sentence))]
    ours = [statement for sentence in _sentences(answer) if (statement := _statement(sentence))]
    positions: set[tuple[frozenset[str], bool]] = set(theirs)
    for words, negated in ours:
        if (words, negated) in positions:
            continue
        best, best_negated = 0.0, negated
        for other, other_negated in theirs:
            likeness = len(words & other) / max(len(words), len(other))
            if likeness > best:
                best, best_negated = likeness, other_negated
        if best >= LIKENESS and best_negated != negated:
            return True
    return False


def _sentences(text: str) -> list[str]:
    return _SENTENCE_END.split(text)[:SENTENCES]


def _statement(sentence: str) -> tuple[frozenset[str], bool] | None:
    """(the words that it is about, whether it is negated); None for one with too few words."""
    negated = False
    words = set()
    for token in _TOKEN.findall(sentence):
        if token in _NEGATION:
            negated = not negated
        elif token in _ANTONYMS:
            negated = not negated
            words.add(_ANTONYMS[token])
        elif token not in _FILLER:
            words.add(token)
    return (frozenset(words), negated) if len(words) >= LEAST_WORDS else None
