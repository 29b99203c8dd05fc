"""The writing system of a text, by counting letters.

Not language identification: it tells Cyrillic from Latin, not French from English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from distil.records import Answer, Prompt

MIN_LETTERS = 20
CLEAR_SHARE = 0.7
_SCRIPTS: Mapping[str, re.Pattern[str]] = {
    "Latin": re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"),
    "Greek": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]"),
    "Cyrillic": re.compile(r"[\u0400-\u052f]"),
    "Hebrew": re.compile(r"[\u0590-\u05ff]"),
    "Arabic": re.compile(r"[\u0600-\u06ff\u0750-\u077f]"),
    "Devanagari": re.compile(r"[\u0900-\u097f]"),
    "Thai": re.compile(r"[\u0e00-\u0e7f]"),
    "Hangul": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"),
    # Japanese mixes kana and Han characters, and Chinese has no kana: both count as one script here
    "Han or kana": re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"),
}


def script_of(text: str) -> str | None:
    """The script of most letters; None when there are too few letters or the scripts are mixed."""
    if text.isascii():  # nearly all texts, without nine searches
        few = text[: 3 * MIN_LETTERS]
        return (
            "Latin" if sum(map(str.isalpha, few)) >= MIN_LETTERS or sum(map(str.isalpha, text)) >= MIN_LETTERS else None
        )
    latin = len(_SCRIPTS["Latin"].findall(text))
    others = len(text) - len(text.encode("ascii", "ignore"))  # at most
    if latin >= MIN_LETTERS and latin >= CLEAR_SHARE * (latin + others):
        return "Latin"
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    name = max(counts, key=lambda key: counts[key])
    total = sum(counts.values())
    return name if total >= MIN_LETTERS and counts[name] >= CLEAR_SHARE * total else None


def same_script(prompt: Prompt, answer: Answer) -> bool | None:
    """Whether prompt and answer are written in one script; None where one of them is unclear."""
    asked, answered = script_of(prompt.messages[-1].text), script_of(answer.text)
    return None if asked is None or answered is None else asked == answered
