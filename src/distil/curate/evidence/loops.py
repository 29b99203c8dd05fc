"""Loops of a model in a text: the same again and again, with or without a counter. Not repetition that is right.

Prose loops when a long stretch of it says nothing new: nearly every pair of neighboring words was there before, and each several
times. That finds blocks of any length, numbered ones, and paragraphs that change a word each time. Data (numbers, tables, code,
DNA) repeats rightly: there only long loops of many words count. A run of one sign counts from a length that no border has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from distil.text import Json, parse_answer


class Loop(NamedTuple):
    """A stretch of a text that loops."""

    share: float
    """Part of the text that it covers, 0 to 1."""
    block: str
    """The beginning of what is repeated."""
    times: float
    """How often it comes, about."""


class _Token(NamedTuple):
    key: str
    """Folded; `#` for a number."""
    start: int
    end: int


MIN_CHARACTERS = 100
MIN_WORDS = 36
MIN_WORDS_CHANGING = 80
"""For a stretch in which words change from time to time."""
TIMES = 4
"""Occurrences of a block, the first included."""
MIN_REPEATED = 18
"""Pairs of words that come again; fewer are in no loop."""
STALE = 9
"""A new pair of words costs as much as nine old ones gain: at least nine tenths of a stretch are old."""
WORDS_PER_COUNTER = 4
"""Fewer words between two numbers are a table or a plan, not a sentence."""
MIN_COUNTED = 8
MIN_DATA_WORDS = 300
DATA_TIMES = 15
DATA_BLOCK = 10
"""Words of a block in code or a table: lines of a few words are equal for good reasons."""
_RULE = frozenset("-=_*#~+|:/\\<>─━═│┃·•░▒▓█▁▂▃▄▅▆▇ \t\u00a0\u3000\u2800")
_RUN_LIMITS = {"blank": 40, "rule": 500, "data": 1000, "capital": 10_000, "sign": 100, "letters": 100}
"""Characters of a run (line ends for `blank`) from which it is a loop."""
_LINE_END = 150
_MAX_PERIOD = 40
_WINDOW = 8
_STEP = 24

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, kana and Han: written without blanks, so that a character counts as a word."""
_WORD = re.compile(r"\d+|[^\W\d_]+(?:['’][^\W\d_]+)*")  # of a text with blanks: the same, and faster
_SPACED = re.compile(f"[^{_UNSPACED}]*$")
_TOKEN = re.compile(rf"[{_UNSPACED}]|\d+|(?:(?![{_UNSPACED}])[^\W\d_])+(?:['’](?:(?![{_UNSPACED}])[^\W\d_])+)*")
_CODE_LINE = re.compile(
    r"^\s*(?:[|+{}\[\]<]|.*[;{}]\s*$|.*\|.*\||(?:def|class|import|from|return|if|for|while|else|elif|try|print|echo|SELECT|INSERT)\b.*[(:;]"
    r"|.*\w\(.*\)\s*[:;]?$|[^,]{0,30}(?:,[^,]{0,30}){3,}$|[\w.\[\]\"']+\s*=\s*\S"
    r"|-?\s*[\w.-]+:(?:\s+\S+){0,2}$|\w+[.,]?$)"
)
_LITERALS = ("null", "none", "nan", "true", "false", "nil", "na")
_BASES = frozenset("ACGTUN")


def find_loop(text: str) -> Loop | None:
    """The longest loop in a text, or None."""
    if len(text) < min(MIN_CHARACTERS, _RUN_LIMITS["blank"]):
        return None
    loops = [loop for loop in (_run(text), _json_loop(text) or _word_loop(text)) if loop is not None]
    return max(loops, default=None)


# --- runs of a few characters -----------------------------------------------------------------------------------------


def _run(text: str) -> Loop | None:
    """A run of 1 to 8 characters over and over: emoji, dots, blank lines, `hahaha`."""
    best: tuple[int, int, int] | None = None  # (length, start, period)
    at = 0
    while at + 2 * _WINDOW <= len(text):
        window = text[at : at + _WINDOW]
        period = next((p for p in (8, 6, 5, 7) if text.startswith(window, at + p)), None)
        if period is None:
            at += _STEP
            continue
        start, end = _extent(text, at, period)
        if end - start >= _RUN_LIMITS["blank"] and _is_loop(text[start:end], period):
            best = max(best or (0, 0, 0), (end - start, start, period))
        at = max(at + _STEP, end)
    if best is None:
        return None
    length, start, period = best
    return Loop(length / len(text), text[start : start + period].strip() or "blank lines", length / period)


def _extent(text: str, at: int, period: int) -> tuple[int, int]:
    """First and last + 1 character of the run with this period around a place."""
    end = at + period
    while end < len(text) and text[end] == text[end - period]:
        end += 1
    start = at
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    return start, end


def _is_loop(run: str, period: int) -> bool:
    """Whether a run is longer than a run of its kind can rightly be."""
    unit = run[:period]
    if not unit.strip():
        return run.count("\n") >= _RUN_LIMITS["blank"] or len(run) >= _RUN_LIMITS["data"]
    if all(sign in _RULE or sign == "\n" for sign in unit):
        return len(run) >= _RUN_LIMITS["rule"]
    if not any(sign.isalnum() for sign in unit):
        return len(run) >= _RUN_LIMITS["sign"]
    if unit.isalpha() and unit == unit[0] * period and unit.isupper():
        return len(run) >= _RUN_LIMITS["capital"]  # base64 of zeros
    if _is_data(unit):
        return len(run) >= _RUN_LIMITS["data"]
    return len(run) >= _RUN_LIMITS["letters"]


def _is_data(unit: str) -> bool:
    """Numbers, DNA, one capital letter (base64 of zeros), literals of a programming language."""
    letters = {sign for sign in unit if sign.isalpha()}
    if not letters:
        return True
    if (
        letters <= _BASES
        or (len(letters) > 2 and {sign.upper() for sign in letters} <= _BASES)
        or (len(letters) == 1 and unit.strip().isupper())
    ):
        return True
    word = "".join(sign for sign in unit.lower() if sign.isalpha())  # of a literal, begun anywhere: `ll, nu`
    return any(len(word) == len(literal) and word in literal * 2 for literal in _LITERALS)


# --- blocks of words --------------------------------------------------------------------------------------------------


def _word_loop(text: str) -> Loop | None:
    if text.isascii() or _SPACED.match(text):
        words = text.split()
        if len(words) - len(set(pairwise(words))) < MIN_REPEATED:
            return None  # nearly all texts end here, before their words are taken apart
    prose, data = _parts(text)
    loop = _stretch(text, prose, MIN_WORDS, TIMES, 1)
    if loop is None and len(data) >= MIN_DATA_WORDS:
        loop = _stretch(text, data, MIN_DATA_WORDS, DATA_TIMES, DATA_BLOCK)
    return loop


def _parts(text: str) -> tuple[list[_Token], list[_Token]]:
    """The words of the prose, and those of code, tables and data."""
    if "\n" not in text:
        tokens = _tokens(text, 0)
        return ([], tokens) if _is_code(text) else (tokens, [])
    prose: list[_Token] = []
    data: list[_Token] = []
    at, fenced = 0, False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif line.strip():
            (data if fenced or _is_code(line.rstrip()) else prose).extend(_tokens(line, at))
        at += len(line)
    return prose, data


def _is_code(line: str) -> bool:
    """By its ends alone: a line may have a million characters."""
    return (
        _CODE_LINE.match(line if len(line) <= 2 * _LINE_END else f"{line[:_LINE_END]} {line[-_LINE_END:]}") is not None
    )


def _tokens(text: str, offset: int) -> list[_Token]:
    pattern = _WORD if text.isascii() or _SPACED.match(text) else _TOKEN
    return [_Token(_key(m[0]), m.start() + offset, m.end() + offset) for m in pattern.finditer(text)]


def _key(word: str) -> str:
    return "#" if word[0].isdecimal() else word.lower()


def _stretch(text: str, tokens: Sequence[_Token], least: int, times: int, block: int) -> Loop | None:
    """The longest stretch in which nothing is new, where it is long enough and repeats itself often enough."""
    keys = [token.key for token in tokens]
    pairs = list(pairwise(keys))
    if len(pairs) - len(set(pairs)) < least - least // times - 2:
        return None
    first, last = _stalest(pairs)
    inside = pairs[first:last]
    words = sum(key != "#" for key in keys[first : last + 1])
    distinct = set(inside)
    if words < least or not distinct or len(inside) < (times - 1.25) * len(distinct):
        return None
    names = {key for key in keys[first : last + 1] if key != "#"}
    if len(names) < block:
        return None
    spaced = not _unspaced(max(names))
    if words < 2 * least and (not spaced or all(len(key) <= 2 for key in names)):
        return None  # few characters of Chinese; chords, notes, symbols of elements
    seen = set(pairs[:first])
    fresh = len(distinct - seen)
    if fresh > 0.05 * len(inside) + 1 and words < MIN_WORDS_CHANGING:
        return None
    if not _counted_rightly(text, tokens[first : last + 1], words):
        return None
    start, end = tokens[first].start, tokens[last].end
    period = _period(keys[first : last + 1][:1_000])
    shown = text[tokens[first].start : tokens[min(first + period, last)].start] or text[start:end]
    return Loop((end - start) / len(text), shown.strip(), len(inside) / len(distinct) + (pairs[first] in seen))


def _stalest(pairs: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """[first, last) with the largest sum, where an old pair counts 1 and a new one -STALE (Kadane's algorithm)."""
    seen: set[tuple[str, str]] = set()
    best = total = first = best_first = best_last = 0
    for index, pair in enumerate(pairs):
        if total <= 0:
            total, first = 0, index
        if pair in seen:
            total += 1
        else:
            total -= STALE
            seen.add(pair)
        if total > best:
            best, best_first, best_last = total, first, index + 1
    return best_first, best_last


def _unspaced(key: str) -> bool:
    return re.match(f"[{_UNSPACED}]", key) is not None


def _period(keys: Sequence[str]) -> int:
    """The distance at which the most words agree."""
    scored = [
        (sum(a == b for a, b in zip(keys, keys[p:], strict=False)) / (len(keys) - p), -p)
        for p in range(1, min(len(keys) // 2, 120) + 1)
    ]
    return -max(scored)[1] if scored else len(keys)


def _counted_rightly(text: str, tokens: Sequence[_Token], words: int) -> bool:
    """False where the numbers of a stretch are data: few words to each, or not all fixed or counting up or down by one."""
    numbers = [int(text[t.start : t.end]) for t in tokens if t.key == "#" and t.end - t.start < 12]
    if not numbers:
        return True
    if words < WORDS_PER_COUNTER * len(numbers) or len(numbers) < 2:
        return len(numbers) < 2
    for columns in range(1, 7):
        steps = [{b - a for a, b in pairwise(column)} for column in (numbers[c::columns] for c in range(columns))]
        if all(step <= {0} or step <= {1} or step <= {-1} for step in steps):
            return len(numbers) // columns >= MIN_COUNTED or all(step <= {0} for step in steps)
    return False


# --- items of a JSON answer ---------------------------------------------------------------------------------------------


def _json_loop(text: str) -> Loop | None:
    if text.lstrip()[:1] not in ("{", "[", "`"):
        return None
    value = parse_answer(text)
    if value is None:
        return None
    found: list[Loop] = []
    _walk(value, found, len(text))
    return max(found, default=None)


def _walk(value: Json, found: list[Loop], size: int) -> None:
    if isinstance(value, str):
        loop = find_loop(value)
        if loop is not None:
            found.append(loop._replace(share=min(1.0, loop.share * len(value) / size)))
    elif isinstance(value, dict):
        for inner in value.values():
            _walk(inner, found, size)
    elif isinstance(value, list):
        cycle = _cycle(value, size)
        if cycle is not None:
            found.append(cycle)
        else:
            for inner in value:
                _walk(inner, found, size)


def _cycle(items: Sequence[Json], size: int) -> Loop | None:
    """Items that come round and round in a list: of several words, or many times."""
    keys = [str(item) for item in items]
    for period in range(1, min(len(keys) // TIMES, _MAX_PERIOD) + 1):
        run = 0
        for index in range(len(keys) - 1, period - 1, -1):  # loops go on to the end of a list
            if keys[index] != keys[index - period]:
                break
            run += 1
        rounds = run // period + 1
        distinct = set(keys[-period:])
        words = sum(len(re.findall(r"[^\W\d_]{3,}", key)) for key in distinct)
        needed = (
            TIMES + 2 if words >= 4 * len(distinct) else 10 if len(distinct) > 2 and words >= len(distinct) else None
        )
        if needed is not None and rounds >= needed:
            covered = sum(len(key) + 4 for key in keys[-run - period :])
            return Loop(min(1.0, covered / size), ", ".join(keys[-period:]), rounds)
    return None
