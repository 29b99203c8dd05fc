"""Filter `wrong_script`: an answer in another writing system than its question. Called through filters.py.

Not language identification: it sees Cyrillic under a Latin question, not French under an English one. It stays silent in tasks
where that is normal, such as translation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from distil.records import Answer, Prompt

if TYPE_CHECKING:
    from distil.curate.filters import Corpus

LEAST_LETTERS = 20
CLEAR_SHARE = 0.7
USUAL_SHARE = 0.95  # share of answers in their question's script from which another script is a fault
_SCRIPTS: Mapping[str, re.Pattern[str]] = {
    "Latin": re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"),
    "Greek": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]"),
    "Cyrillic": re.compile(r"[\u0400-\u052f]"),
    "Hebrew": re.compile(r"[\u0590-\u05ff]"),
    "Arabic": re.compile(r"[\u0600-\u06ff\u0750-\u077f]"),
    "Devanagari": re.compile(r"[\u0900-\u097f]"),
    "Thai": re.compile(r"[\u0e00-\u0e7f]"),
    "Hangul": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"),
    # Japanese mixes kana and Han signs; Chinese has no kana, and both count as one script here
    "Han or kana": re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"),
}


def script_of(text: str) -> str | None:
    """The script of most letters, or None when there are too few or they are mixed."""
    if text.isascii():  # nearly all texts, without ten searches
        return "Latin" if sum(map(str.isalpha, text)) >= LEAST_LETTERS else None
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    name = max(counts, key=lambda key: counts[key])
    total = sum(counts.values())
    return name if total >= LEAST_LETTERS and counts[name] >= CLEAR_SHARE * total else None


def same_script(prompt: Prompt, answer: Answer) -> bool | None:
    """Whether both are written in one script; None where one of them is unclear."""
    asked, answered = script_of(prompt.messages[-1].text), script_of(answer.text)
    return None if asked is None or answered is None else asked == answered


def wrong_script(prompt: Prompt, answer: Answer, corpus: Corpus) -> str | None:
    """Another script than the question's, in a task where nearly all answers keep it."""
    if corpus.same_script_share < USUAL_SHARE or same_script(prompt, answer) is not False:
        return None
    return f"answered in {script_of(answer.text)} letters, asked in {script_of(prompt.messages[-1].text)}"
