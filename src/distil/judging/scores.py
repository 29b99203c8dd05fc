"""What a judge's reply says about one answer: a score of 1 to 5, or which of several yes/no criteria it meets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from distil.calls.request import Reply
from distil.judging.reading import Gap, gap_of, reason_of, refused_or_unreadable, spoken
from distil.text import Json, json_values, parse_object

LOWEST, HIGHEST = 1, 5
_SCORE_KEYS = ("score", "rating", "grade", "overall", "overall_score", "final_score")
_CRITERIA_KEYS = ("met", "criteria", "results", "scores", "answers", "checks")
_BRACKETS = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")
_LABEL = re.compile(
    r"\b(?:score|rating|grade)[*_\"'`]*\s*(?:is|of|:|=)*[*_\"'`\s(]*"
    r"(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+))?(?!\s*(?:-|–|to)\s*\d)",
    re.IGNORECASE,
)
_BARE = re.compile(r"[*_\s(]*(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+))?[)*_\s.]*")
_YES: Mapping[str, bool] = {
    "yes": True,
    "true": True,
    "met": True,
    "pass": True,
    "1": True,
    "no": False,
    "false": False,
    "not met": False,
    "fail": False,
    "0": False,
}


def judgment(reply: Reply | None, criteria: int, mark: str | None = None) -> tuple[float, str] | Gap:
    """(score in [0, 1], reason) of a reply, or why there is none. criteria: 1 = a score of 1 to 5."""
    gap = gap_of(reply)
    if gap is not None or reply is None:
        return gap or "failed"
    found = read(reply.text, criteria, mark)
    return found if found is not None else refused_or_unreadable(reply.text)


def read(text: str, criteria: int = 1, mark: str | None = None) -> tuple[float, str] | None:
    """The last score in the reply as a share of what is possible, and its reason; None when there is none or it is outside."""
    whole = parse_object(text)
    shown = "" if whole is not None else spoken(text, mark)
    objects = [whole] if whole is not None else [value for _, _, value in json_values(shown) if isinstance(value, dict)]
    for value in reversed(objects):
        found = _criteria(value, criteria) if criteria > 1 else _number(value)
        if found is not None:
            return found, reason_of(value)
    if criteria > 1 or whole is not None:
        return None
    return _spelled(shown)


def _spelled(text: str) -> tuple[float, str] | None:
    """[[4]] (MT-Bench), `Score: 4/5`, or a bare number."""
    matches = [*_BRACKETS.finditer(text), *_LABEL.finditer(text)]
    bare = _BARE.fullmatch(text)
    match = max(matches, key=lambda one: one.end(), default=bare)
    if match is None:
        return None
    scale = match[2] if match.re.groups > 1 else None
    if scale not in (None, str(HIGHEST)):
        return None
    found = _scaled(float(match[1]))
    return None if found is None else (found, "")


def _number(value: Mapping[str, Json]) -> float | None:
    for name in _SCORE_KEYS:
        item = value.get(name)
        if isinstance(item, str) and (match := _BARE.fullmatch(item)) and match[2] in (None, str(HIGHEST)):
            item = float(match[1])
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            return _scaled(item)
    return None


def _scaled(score: float) -> float | None:
    return float(score - LOWEST) / (HIGHEST - LOWEST) if LOWEST <= score <= HIGHEST else None


def _criteria(value: Mapping[str, Json], count: int) -> float | None:
    """Share of the criteria that are met; None when there is not one clear yes or no for each."""
    listed = next((value[name] for name in _CRITERIA_KEYS if isinstance(value.get(name), (list, dict))), None)
    if listed is None:
        listed = {name: item for name, item in value.items() if name.strip().isdigit()}
    if isinstance(listed, dict):
        items = [listed.get(str(number)) for number in range(1, count + 1)] if len(listed) == count else []
    else:
        items = list(listed) if isinstance(listed, list) else []
    answers = [item if isinstance(item, bool) else _YES.get(str(item).strip().casefold()) for item in items]
    met = [answer for answer in answers if answer is not None]
    return sum(met) / count if len(met) == count == len(items) else None
