"""JSON answers compared field by field, each by what it holds: numbers, dates, labels, free text, lists, nested objects.

Standard library only. Whether two whole answers are the same is a stricter question (distil.text.same_answer).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from distil.quantities import same_number, same_quantity, whole_quantity
from distil.text import Json, normalize_answer, normalize_value, parse_object
from distil.words import token_f1_of

FREE_TEXT_WORDS = 5
"""A string of more words is free text, which nobody repeats word for word: it is compared by the words that it shares."""
LEAST_OVERLAP = 0.5
"""Free text that shares less (F1) counts as another text: unrelated sentences share their small words."""
MAX_LEAVES = 2_000
"""Fields of an object that are looked at; runaway answers have more."""

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATES = (
    re.compile(r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})"),
    re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})"),
    re.compile(r"(?P<d>\d{1,2})(?:st|nd|rd|th)?(?: of)?[ -](?P<w>[a-z]{3,9})\.?,?[ -](?P<y>\d{4})"),
    re.compile(r"(?P<w>[a-z]{3,9})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>\d{4})"),
)
_SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")


class FieldComparison(NamedTuple):
    """An answer's fields beside those of the target object."""

    fields: dict[str, float]
    """How right the answer has each field of the target, 0 to 1; fields of nested objects by their path (`address.city`)."""
    extra: list[str]
    """Paths of the answer's fields that the target does not have."""

    @property
    def share(self) -> float:
        """Share of the fields of either object that are the same in both: an invented field costs as much as a wrong one."""
        total = len(self.fields) + len(self.extra)
        return sum(self.fields.values()) / total if total else 1.0


def compare_fields(answer: str, target: Mapping[str, Json]) -> FieldComparison:
    """The answer's fields beside the target's. In an answer that is not a JSON object all fields are wrong."""
    return compare_objects(parse_object(answer) or {}, target)


def compare_objects(answer: Mapping[str, Json], target: Mapping[str, Json]) -> FieldComparison:
    """As `compare_fields`, for an answer that is an object already (the arguments of a tool call)."""
    found, wanted = leaves(answer), leaves(target)
    same = {path: likeness(found[path], value) if path in found else 0.0 for path, value in wanted.items()}
    return FieldComparison(same, [path for path in found if path not in wanted])


def field_share(answer: str, target: str | None) -> float | None:
    """`FieldComparison.share` of an answer and a target; None where the target is not a JSON object."""
    wanted = parse_object(target)
    if wanted is None:
        return None
    found = parse_object(answer)
    return compare_objects(found, wanted).share if found is not None else 0.0


def leaves(value: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
    """Path -> value of everything in an object that is not an object with fields itself; at most 2,000."""
    found: dict[str, Json] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            found |= leaves(item, f"{prefix}{key}.")
        else:
            found[prefix + key] = item
        if len(found) >= MAX_LEAVES:
            break
    return found


def likeness(answer: Json, target: Json) -> float:
    """How right a value is, 0 to 1. Types have to agree ("1" is not 1, true is not 1); what is compared depends on the target.

    Numbers: up to a relative 1e-6. Strings: normalized; dates and quantities by value in any notation; free text by the F1 of its
    words, 0 below one half. Lists of plain values: as multisets, since their order rarely means anything; lists of objects: by
    position. A list is as right as the share of the longer list's items.
    """
    if isinstance(target, bool) or isinstance(answer, bool) or target is None:
        return float(answer is target)
    if isinstance(target, (int, float)):
        return float(isinstance(answer, (int, float)) and _same_number(answer, target))
    if isinstance(target, str):
        return _same_text(answer, target) if isinstance(answer, str) else 0.0
    if isinstance(target, list):
        return _same_list(answer, target) if isinstance(answer, list) else 0.0
    return compare_objects(answer, target).share if isinstance(answer, dict) else 0.0


def _same_number(left: float, right: float) -> bool:
    try:
        return same_number(float(left), float(right))
    except OverflowError:  # an integer of over 308 digits
        return left == right


def _same_text(answer: str, target: str) -> float:
    left, right = normalize_answer(answer), normalize_answer(target)
    if left == right:
        return 1.0
    if (day := read_date(target)) is not None:
        return float(read_date(answer) == day)
    if (wanted := whole_quantity(target)) is not None:
        found = whole_quantity(answer)
        # A unit that is missing on one side is an error here: a program has nothing else to read it from.
        return float(found is not None and found.dimension == wanted.dimension and same_quantity(found, wanted))
    if len(right.split()) > FREE_TEXT_WORDS:
        overlap = token_f1_of(answer, target)
        return overlap if overlap >= LEAST_OVERLAP else 0.0
    return 0.0


def _same_list(answer: list[Json], target: list[Json]) -> float:
    longest = max(len(answer), len(target))
    if not longest:
        return 1.0
    if any(isinstance(item, (dict, list)) for item in (*answer, *target)):
        return sum(likeness(a, t) for a, t in zip(answer, target, strict=False)) / longest
    shared = Counter(map(_scalar_key, answer)) & Counter(map(_scalar_key, target))
    return shared.total() / longest


def _scalar_key(value: Json) -> str:
    if isinstance(value, str):
        return f"text {read_date(value) or normalize_answer(value)}"
    if isinstance(value, float):
        return f"number {normalize_value(float(f'{value:.9g}'))}"
    return f"{type(value).__name__ if isinstance(value, bool) else 'number'} {value}"


def read_date(text: str) -> str | None:
    """A whole string that is a date (with a time or not) in ISO form; None otherwise, and where day and month are unclear."""
    plain = " ".join(text.strip().lower().split())
    if not 8 <= len(plain) <= 40:
        return None
    for pattern in _DATES:
        if match := pattern.fullmatch(plain):
            parts = match.groupdict()
            word = parts.get("w")
            month = int(parts["m"]) if word is None else _month(word)
            return _iso(int(parts["y"]), month, int(parts["d"]))
    if match := _SLASHES.fullmatch(plain):
        first, second, year = (int(part) for part in match.groups())
        if first > 12 or first == second:
            return _iso(year, second, first)
        return _iso(year, first, second) if second > 12 else None
    if plain[4:5] != "-":
        return None
    try:
        return datetime.fromisoformat(plain.upper()).isoformat()
    except ValueError:
        return None


def _month(word: str) -> int:
    return _MONTHS.index(word[:3]) + 1 if word[:3] in _MONTHS else 0


def _iso(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None
