"""What the answers of a kind of requests are like: a closed set of labels, JSON with fields, calls, short texts, prose."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from distil.curate.shingles import shingle_rows
from distil.curate.similar import linked_rows, near_pairs
from distil.forecast.traffic import Request
from distil.text import Json, normalize_value, parse_answer

Kind = Literal["labels", "JSON", "short texts", "prose", "code", "tool calls", "images"]
MOSTLY = 0.8
"""Share of the answers from which a slice counts as one kind."""
UNSEEN = 0.1
"""A set of values counts as closed while at most this share of new ones would be new to it (Good and Turing's estimate)."""
SHORT_WORDS = 12
"""Words of a label or a short answer, at the median."""
SAME = 0.7
"""Jaccard similarity of 5-grams from which two texts are one reply with another name or number in it."""
USUAL = 0.5
"""Share of the objects that have a field from which it is one of the form's."""
ABSENT = "\0absent"
_CODE = re.compile(r"```|^(?:def |class |SELECT |import |#include)", re.MULTILINE)


class Target(NamedTuple):
    """One thing that an answer says, over all requests of a slice."""

    name: str
    """The field's path; empty: the whole answer."""
    values: list[str]
    """Of each request, as compared."""
    closed: bool
    """Its values repeat; else each is found in the prompt, or nowhere."""


class Answers(NamedTuple):
    """The answers of a slice."""

    kind: Kind
    targets: list[Target]
    """What is to be predicted: labels, fields, short texts, and which reply it is where prose repeats; none otherwise."""
    distinct: int
    """Different answers."""
    unseen: float
    """Share of new answers that would be unlike all these."""
    commonest: float
    """Share of the most common answer."""
    words: float
    """Of an answer, at the median."""


def look(requests: Sequence[Request], groups: Sequence[int] | None = None) -> Answers:
    """What the answers of these requests, at least one, have in common. groups: which of them belong together; None = none do."""
    keys = [request.key for request in requests]
    counts = Counter(keys)
    words = sorted(len(request.answer.split()) for request in requests)[len(requests) // 2]
    unseen = unseen_share(keys, groups)

    def made(kind: Kind, targets: list[Target] | None = None) -> Answers:
        return Answers(kind, targets or [], len(counts), unseen, max(counts.values()) / len(keys), words)

    if _share(request.attached for request in requests) >= 1 - MOSTLY:
        return made("images")
    if _share(bool(request.calls) for request in requests) >= 1 - MOSTLY:
        return made("tool calls")
    objects = [parse_answer(request.answer) for request in requests]
    if _share(isinstance(value, dict) for value in objects) >= MOSTLY:
        return made("JSON", fields_of([value if isinstance(value, dict) else {} for value in objects], groups))
    if words <= SHORT_WORDS:
        closed = unseen <= UNSEEN
        texts = [request.answer.strip() for request in requests]
        return made("labels" if closed else "short texts", [Target("", keys if closed else texts, closed)])
    replies = _replies([request.answer for request in requests])
    repeating = [Target("", replies, True)] if unseen_share(replies, groups) <= MOSTLY else []
    code = _share(bool(_CODE.search(request.answer)) for request in requests) >= 0.5
    return made("code" if code else "prose", repeating)


def _replies(texts: Sequence[str]) -> list[str]:
    """For each text, a name of the reply that it is: texts that are nearly the same have one."""
    names = [str(number) for number in range(len(texts))]
    for group in linked_rows(near_pairs(shingle_rows(texts), SAME)):
        for row in group:
            names[row] = str(group[0])
    return names


def _share(signs: Iterable[bool]) -> float:
    values = list(signs)
    return sum(values) / len(values)


def unseen_share(values: Sequence[str], groups: Sequence[int] | None = None) -> float:
    """The share of new values that are not among these: those that occur once (Good 1953).

    In a group of requests that belong together a value counts once: an order number that near-copies repeat is still a new one.
    """
    counted = set(zip(values, range(len(values)) if groups is None else groups, strict=True))
    return sum(count == 1 for count in Counter(value for value, _ in counted).values()) / len(counted)


def fields_of(objects: Sequence[Mapping[str, Json]], groups: Sequence[int] | None = None) -> list[Target]:
    """The fields of a form, nested ones by their path. A list is one value. groups: as in `look`."""
    rows = [dict(_leaves(value)) for value in objects]
    names = Counter(name for row in rows for name in row)
    usual = sorted(name for name, count in names.items() if count >= USUAL * len(rows))
    targets = []
    for name in usual:
        values = [row.get(name, ABSENT) for row in rows]
        targets.append(Target(name, values, unseen_share(values, groups) <= UNSEEN))
    rest = [json.dumps({k: v for k, v in row.items() if k not in usual}, sort_keys=True) for row in rows]
    if any(row != "{}" for row in rest):
        targets.append(Target("other fields", rest, unseen_share(rest, groups) <= UNSEEN))
    return targets


def _leaves(value: Mapping[str, Json], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            found += _leaves(inner, f"{prefix}{name}.")
        else:
            plain = normalize_value(inner)
            text = plain if isinstance(plain, str) else json.dumps(plain, sort_keys=True, ensure_ascii=False)
            found.append((f"{prefix}{name}", text))
    return found
