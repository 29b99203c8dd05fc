"""What makes an answer unfit for training: one function per filter, chosen from an explicit dict.

A filter looks at one prompt with its answer, and at facts about all answers, and returns a reason to drop the answer, or None.
Not duplicates and leaks: those concern pairs of rows (select.py, split.py).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distil.curate.corpus import Corpus, Filter
from distil.curate.scripts import same_script, script_of
from distil.endings import ending
from distil.errors import UserError, did_you_mean
from distil.records import Answer, Prompt
from distil.text import find_refusal, parse_answer

FILTERS: dict[str, str] = {
    "truncated": "distil.curate.filters:truncated",
    "empty": "distil.curate.filters:empty",
    "refusal": "distil.curate.filters:refusal",
    "repetition": "distil.curate.filters:repetition",
    "wrong_script": "distil.curate.filters:wrong_script",
    "invalid_json": "distil.curate.filters:invalid_json",
    "tool_calls": "distil.curate.tools:tool_calls",
    "secrets": "distil.curate.secrets:secrets",
    "personal_data": "distil.curate.secrets:personal_data",
}
DEFAULT = ("truncated", "empty", "refusal", "repetition", "wrong_script", "invalid_json", "tool_calls", "secrets")
"""Without personal_data: e-mail addresses and phone numbers are normal in many tasks."""

USUAL_SCRIPT_SHARE = 0.95  # from this share of answers in their prompt's script, another script is a fault
JSON_MAJORITY = 0.8
JSON_MIN_ANSWERS = 5
_LOOP_WORDS = 30
_LOOP_CHARACTERS = 120
_LOOP_REPEATS = 4
_MAX_PERIOD = 40
_COMPRESSED_LOOP = 0.2  # deflated size / size below which a text is searched for loops of characters


def load_filters(chosen: str | Sequence[str]) -> dict[str, Filter]:
    """The chosen filters by name ("default" or a list of names). Raises UserError on an unknown name."""
    names = DEFAULT if chosen == "default" else tuple(chosen)
    loaded: dict[str, Filter] = {}
    for name in names:
        if name not in FILTERS:
            raise UserError(
                f"curate.filters: found {name!r}, expected names from {', '.join(FILTERS)}.{did_you_mean(name, FILTERS)}"
            )
        module, function = FILTERS[name].split(":")
        loaded[name] = getattr(importlib.import_module(module), function)
    return loaded


def truncated(prompt: Prompt, answer: Answer, corpus: Corpus) -> str | None:
    """The model was cut off by its token limit."""
    if ending(answer.finish_reason) == "cut":
        limit = answer.sampling.max_tokens
        return f"cut off at {limit} tokens (finish_reason {answer.finish_reason}); raise max_tokens"
    return None


def empty(prompt: Prompt, answer: Answer, corpus: Corpus) -> str | None:
    """Neither text nor a tool call."""
    return "no text and no tool call" if not answer.text.strip() and not answer.tool_calls else None


def refusal(prompt: Prompt, answer: Answer, corpus: Corpus) -> str | None:
    """The model declines, or speaks of itself as a model."""
    if ending(answer.finish_reason) == "refused":
        return f"refused by the provider (finish_reason {answer.finish_reason})"
    phrase = find_refusal(answer.text)
    return f"refusal: “{phrase}”" if phrase else None


def repetition(prompt: Prompt, answer: Answer, corpus: Corpus) -> str | None:
    """A block of words (or of characters, without blanks) repeats at least four times in a row."""
    words = answer.text.split()
    if len(words) >= _LOOP_WORDS:
        ids = np.unique(np.array(words, dtype=object).astype(str), return_inverse=True)[1]
        loop = _longest_loop(ids, _LOOP_WORDS)
        if loop:
            period, start = loop
            return f"loops: “{' '.join(words[start : start + period])[:60]}” over and over"
    raw = answer.text.encode("utf-8", "surrogatepass")
    if len(raw) >= _LOOP_CHARACTERS and len(zlib.compress(raw, 1)) < _COMPRESSED_LOOP * len(raw):
        codes = np.frombuffer(answer.text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        loop = _longest_loop(codes, _LOOP_CHARACTERS)
        if loop:
            period, start = loop
            block = answer.text[start : start + period]
            if any(character.isalnum() for character in block):  # not for rules of dashes and table borders
                return f"loops: “{block}” over and over"
    return None


def _longest_loop(items: NDArray[np.integer], min_length: int) -> tuple[int, int] | None:
    """(period, start) of a block that repeats at least four times and covers `min_length` items, shortest period first."""
    for period in range(1, _MAX_PERIOD + 1):
        if items.size <= period:
            break
        differs = np.flatnonzero(items[period:] != items[:-period])
        edges = np.concatenate(([-1], differs, [items.size - period]))
        runs = np.diff(edges) - 1  # equal neighbors at distance `period`, in a row
        longest = int(runs.argmax())
        if runs[longest] + period >= max(min_length, _LOOP_REPEATS * period):
            return period, int(edges[longest]) + 1
    return None


def wrong_script(prompt: Prompt, answer: Answer, corpus: Corpus) -> str | None:
    """Another script than the prompt's. Silent in tasks where that is normal, such as translation."""
    if corpus.same_script_share < USUAL_SCRIPT_SHARE or same_script(prompt, answer) is not False:
        return None
    return f"answered in {script_of(answer.text)} letters, asked in {script_of(prompt.messages[-1].text)}"


def invalid_json(prompt: Prompt, answer: Answer, corpus: Corpus) -> str | None:
    """Not JSON, although the prompt requires it or nearly all answers are JSON."""
    if answer.tool_calls or parse_answer(answer.text) is not None:
        return None
    if (prompt.response_format or {}).get("type") in ("json_object", "json_schema"):
        return "not JSON, though the prompt's response_format asks for it"
    if corpus.answers >= JSON_MIN_ANSWERS and corpus.json_share >= JSON_MAJORITY:
        return f"not JSON, while {corpus.json_share:.0%} of the answers are"
    return None
