"""Numbers in texts: their value, sign and unit, and which one of them is a worked answer's result.

Standard library only. One reading of `-1,250.50 mg`, `$29.00`, `60%`, `3 million`, `two` for all that compare numbers: the
metrics and the typed comparison of JSON fields (fields.py).
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import NamedTuple

from distil.units import UNITS

TOLERANCE = 1e-6
"""Relative difference up to which two numbers are the same."""

LAST_MARKS = 10
"""So many times "the answer is" is looked at, from the end."""

_ONE_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ONES = _ONE_WORDS.split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: value for value, word in enumerate(_ONES)} | {word: 10 * i for i, word in enumerate(_TENS, 2)}
_MAGNITUDES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "bn": 1e9, "k": 1e3}

_NUMBER = re.compile(
    r"(?=[-$€£¥₹.\d]|(?<!\w)[efmnostz])"  # where one can start: most places are ruled out at once
    r"(?P<minus>(?<![\w.)\]%])-(?=[$€£¥₹.\d])|\b(?:minus|negative)\s)?"
    r"(?P<money>[$€£¥₹] ?(?P<inner>-)?)?"
    r"(?:(?<!\d)(?<!\d[.,])(?P<digits>\d[\d.,]*\d|\d|(?<![\w.])\.\d+)"
    rf"|\b(?P<word>(?:{'|'.join(_TENS)})-(?:{'|'.join(_ONES[1:10])})|{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b)",
)
_AFTER = re.compile(r"(?P<gap>[ -]?)(?P<word>[%°µμ℃℉A-Za-z$€£¥₹]+(?:/[A-Za-z]+)?)")
_GROUP_BLANK = re.compile(r"(?<=\d)[\u00a0\u202f\u2009'’](?=\d{3}(?!\d))")
_LIST_MARK = re.compile(r"^[ \t>#*_-]*\(?\d{1,3}[.):]\**(?=[ \t]+\S)", re.MULTILINE)
_STEP_MARK = re.compile(
    r"^[ \t>#*_-]*(?:step|part|option|phase|tip|example|section|point|reason|method|day|week|question|chapter)[ \t]+\d{1,3}\b",
    re.MULTILINE | re.IGNORECASE,
)
_FOOTNOTE = re.compile(r"\[\d{1,3}\]")
_RESULT = re.compile(
    r"\banswers?\b[^\n\d]{0,40}?(?:\bis\b|\bare\b|:|=)|^[ \t*_>#-]{0,8}A:", re.IGNORECASE | re.MULTILINE
)
_FRAC = re.compile(r"(-?)\s*\\[dt]?frac\{(-?\d{1,15})\}\{(\d{1,15})\}")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−﹣－", "-"))


class Quantity(NamedTuple):
    """One number of a text."""

    number: float
    """As written, with its sign and `million`, without its unit."""
    dimension: str
    """mass | time | dollars | ...; empty = no known unit."""
    factor: float
    """To the dimension's first unit."""
    spelled: bool
    """Whether it is written as a word."""
    start: int
    """Where it starts in `plain(text)`."""
    end: int
    """Where it ends, with its unit."""

    @property
    def base(self) -> float:
        """In the dimension's first unit."""
        return self.number * self.factor


def plain(text: str) -> str:
    """The text that positions refer to: compatibility characters and dashes folded, blanks between thousands gone."""
    return unicodedata.normalize("NFKC", _GROUP_BLANK.sub(",", text)).translate(_DASHES)


def without_list_marks(text: str) -> str:
    """The text without the numbers that only count its parts: `1.`, `2)`, `Step 3`, `[4]`."""
    return _FOOTNOTE.sub("", _STEP_MARK.sub("", _LIST_MARK.sub("", text)))


def find_quantities(text: str) -> list[Quantity]:
    """All numbers of a text in order. Digits behind a letter (H2O, m2) count only when there are three or more (AB4711)."""
    text = plain(text)
    found: list[Quantity] = []
    lower = text.lower()  # of another length only where it has a Turkish İ
    for match in _NUMBER.finditer(lower if len(lower) == len(text) else text):
        start = match.start()
        if match["word"]:
            parts = match["word"].split("-")
            values = [float(sum(_WORDS[part] for part in parts))]
        else:
            glued = start > 0 and text[start - 1].isalpha() and not match["minus"] and not match["money"]
            if glued and len(match["digits"]) < 3:
                continue
            values = _values(match["digits"])
        sign = -1.0 if match["minus"] or match["inner"] else 1.0
        end, scale, dimension, factor = _behind(text, match.end())
        if match["money"]:
            dimension, factor = UNITS[match["money"][0]]
        values[-1] *= scale
        spelled = match["word"] is not None
        found += [Quantity(sign * v, dimension, factor, spelled, start, end) for v in values if math.isfinite(v)]
    return found


def _values(digits: str) -> list[float]:
    """The number that the digits and separators mean; several where the separators fit no number (1.2.3, 10,20,30)."""
    commas, dots = digits.count(","), digits.count(".")
    if not commas and not dots:
        return [float(digits)]
    decimal = None
    if (commas and dots) or (commas == 1 and not _in_thousands(digits, ",")) or dots == 1:
        decimal = max(digits.rfind(","), digits.rfind("."))
    whole, decimals = (digits, "") if decimal is None else (digits[:decimal], digits[decimal + 1 :])
    separators = set(whole) & {",", "."}
    if decimals.isdecimal() or not decimals:
        if not separators and (whole or decimals):
            return [float(f"{whole or 0}.{decimals or 0}")]
        if len(separators) == 1 and _in_thousands(whole, next(iter(separators))):
            return [float(re.sub(r"[.,]", "", whole) + f".{decimals or 0}")]
    return [float(part) for part in re.split(r"[.,]+", digits) if part]


def _in_thousands(digits: str, separator: str) -> bool:
    first, *rest = digits.split(separator)
    return 1 <= len(first) <= 3 and first != "0" and all(len(part) == 3 for part in rest)


def _behind(text: str, end: int) -> tuple[int, float, str, float]:
    """(where number and unit end, factor of `million`, dimension, factor of the unit)."""
    scale = 1.0
    match = _AFTER.match(text, end)
    size = _MAGNITUDES.get(match["word"].lower()) if match else None
    if match and size and match["gap"] != "-" and (len(match["word"]) > 1 or not match["gap"]):  # 5k, but not 5 K
        end, scale = match.end(), size
        match = _AFTER.match(text, end)
    if match:
        word = match["word"]
        for name in (word, word.partition("/")[0]):
            unit = UNITS.get(name.lower())
            short = len(name) == 1 and name.isalpha() and name.isupper() and name != "L"
            decade = name == "s" and not match["gap"]  # the 90s
            if unit and not short and not decade:
                return match.start("word") + len(name), scale, *unit
        if word[0] in "%$€£¥₹":
            return match.start("word") + 1, scale, *UNITS[word[0]]
    return end, scale, "", 1.0


def same_number(left: float, right: float, tolerance: float = TOLERANCE) -> bool:
    """Whether two numbers are equal up to a relative difference."""
    return math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-12)


def same_quantity(answer: Quantity, target: Quantity, tolerance: float = TOLERANCE) -> bool:
    """Whether two quantities are the same: in value where both have a unit (1 kg is 1000 g), as written where one has none.

    A percentage beside a number without a unit: 60% is 60, but it is 0.6 when that number lies between -1 and 1.
    """
    if answer.dimension and target.dimension:
        same_kind = answer.dimension == target.dimension
        return same_kind and same_number(answer.base, target.base, tolerance)
    for one, other in ((answer, target), (target, answer)):
        if one.dimension == "percent" and abs(other.number) < 1 and other.number != 0:
            return same_number(one.base, other.number, tolerance)
    return same_number(answer.number, target.number, tolerance)


def whole_quantity(text: str) -> Quantity | None:
    """The quantity that the whole text is, with nothing beside it but brackets, quotes, emphasis and a mark at the end."""
    if len(text) > 100:
        return None
    bare = plain(text).strip(" \t\r\n*_`'\"()[]≈~.!;")
    if re.match(r"\.\d", text.strip()):
        bare = "." + bare
    found = find_quantities(bare)
    if len(found) != 1 or found[0].start != 0 or found[0].end != len(bare):
        return None
    return found[0]


def stated_number(text: str | None) -> Quantity | None:
    """The number that a text is, or marks as its result; None for prose that only has numbers in it."""
    return (whole_quantity(text) or marked_result(text)) if text else None


def marked_result(text: str) -> Quantity | None:
    """The number that a worked answer marks as its result: `\\boxed{}`, `####`, `The answer is`, `A:`; the last mark counts."""
    if (at := text.rfind("\\boxed{")) >= 0:
        inside = text[at + 7 : at + 207]
        fraction = _FRAC.match(inside)
        if fraction and int(fraction[3]):
            value = int(fraction[2]) / int(fraction[3]) * (-1 if fraction[1] else 1)
            return Quantity(value, "", 1.0, False, 0, 0)
        found = find_quantities(inside[: _closing(inside)])
        return found[-1] if found else None
    if (at := text.rfind("####")) >= 0:
        found = find_quantities(text[at + 4 : at + 204].split("\n")[0])
        if found:
            return found[0]
    for mark in reversed(list(_RESULT.finditer(text))[-LAST_MARKS:]):
        rest = re.split(r"\n|[.!?]\s", text[mark.end() : mark.end() + 300])[0]
        found = find_quantities(rest.rpartition("=")[2])
        if found:
            return found[0]
    return None


def _closing(text: str) -> int:
    depth = 1
    for index, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return index
    return len(text)


def final_number(text: str) -> Quantity | None:
    """A worked answer's number: the marked result, else the last number of the text (in digits, if there is one)."""
    result = stated_number(text)
    if result is not None:
        return result
    found = find_quantities(text)
    digits = [quantity for quantity in found if not quantity.spelled] or found
    return digits[-1] if digits else None
