"""The numbers and names of a text beside those of its sources: which are its own, and which contradict. Standard library only.

A number counts in any notation (1 kg is 1000 g, `two` is 2), a name is a capitalized word inside a sentence.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from distil.quantities import Quantity, find_quantities, plain, same_number, whole_quantity, without_list_marks

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = re.compile(rf"\b(?:{'|'.join(f'{month[:3]}(?:{month[3:]})?' for month in _MONTHS)})\b", re.IGNORECASE)
_NAME = re.compile(r"(?<=[a-zà-ÿ,;] )[A-ZÀ-ÖØ-Þ][\w'’-]+(?: [A-ZÀ-ÖØ-Þ][\w'’-]+)*")
_WORD = re.compile(r"[^\W\d_]+")
_NEXT = re.compile(r"[ \t-]{0,3}([^\W\d_]{2,30})")
_PREVIOUS = re.compile(r"([^\W\d_]{2,30})[ \t]{0,3}\Z")
_FUNCTION_WORDS = (
    "of to and or in the is are was were be by at on for from with than as that this it an which who but if so then not no per "
    "times plus minus equals about around over under up down approximately roughly only just more less least most his her "
    "their its our your my they we he she you out into"
)
_NO_CONTEXT = frozenset(_FUNCTION_WORDS.split())


class Known:
    """The numbers that an answer may have: those of its sources, in any notation."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = [quantity for text in texts for quantity in find_quantities(text)]
        self._written = {_key(q.number) for q in found}
        self._bare = {_key(q.number) for q in found if not q.dimension}
        self._measured = {(q.dimension, _key(q.base)) for q in found if q.dimension}

    def __contains__(self, quantity: Quantity) -> bool:
        if not quantity.dimension:
            return _key(quantity.number) in self._written
        if (quantity.dimension, _key(quantity.base)) in self._measured or _key(quantity.number) in self._bare:
            return True
        return quantity.dimension == "percent" and _key(quantity.base) in self._bare

    def add(self, number: float) -> None:
        """A number that the sources have in words."""
        self._written.add(_key(number))
        self._bare.add(_key(number))


def _key(number: float) -> str:
    return f"{number + 0.0:.10g}"


def _by_context(text: str) -> dict[str, list[float]]:
    """What is counted or measured -> its numbers."""
    if (whole := whole_quantity(text)) is not None:
        return {"": [whole.base]}
    marked = plain(without_list_marks(text))
    contexts: dict[str, list[float]] = defaultdict(list)
    for quantity in find_quantities(marked):
        if quantity.dimension:
            contexts[f"of {quantity.dimension}"].append(quantity.base)
        after = _NEXT.match(marked, quantity.end)
        if after and after[1].lower() not in _NO_CONTEXT and not quantity.dimension:
            contexts[f"before {_stem(after[1])}"].append(quantity.number)
        before = _PREVIOUS.search(marked, max(0, quantity.start - 34), quantity.start)
        if before and before[1].lower() not in _NO_CONTEXT and not quantity.spelled:
            contexts[f"behind {_stem(before[1])}"].append(quantity.base)
    return contexts


def _contradict(left: Sequence[float], right: Sequence[float]) -> bool:
    if len(left) * len(right) > 10_000:
        return {_key(x) for x in left}.isdisjoint(_key(x) for x in right)
    return not any(same_number(x, y) for x in left for y in right)


def _stem(word: str) -> str:
    word = word.casefold()
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def new_numbers(text: str, sources: Sequence[str]) -> list[Quantity]:
    """The numbers of a text that none of its sources has. Numbers of list items and spelled ones are left out."""
    found = [q for q in find_quantities(without_list_marks(text)) if not q.spelled]
    if not found:
        return []
    known = Known(sources)
    for source in sources:
        for month in _MONTH.findall(source):
            known.add(1 + next(i for i, name in enumerate(_MONTHS) if name.startswith(month.lower()[:3])))
    return [quantity for quantity in found if quantity not in known]


def numbers_contradict(text: str, target: str) -> bool | None:
    """Whether two texts give different numbers for the same thing; None where the target has no number.

    The same thing = before the same word ("8 tablets", "13 tablets"), behind the same word ("May 3", "May 5"), of one
    dimension ("8 mg", "8 g"), or both texts are nothing but a number. Several numbers of one thing contradict only if none of
    them agrees.
    """
    wanted = _by_context(target)
    if not wanted:
        return None
    found = _by_context(text)
    return any(_contradict(found[key], wanted[key]) for key in wanted.keys() & found.keys())


def new_names(text: str, sources: Sequence[str]) -> list[str]:
    """The names of a text whose words none of its sources has. Starts of sentences and items, headings and titles are none."""
    known = {word[:STEM] for word in _WORD.findall("\n".join(sources).casefold())}
    found = []
    for line in text.splitlines():
        words = line.split()
        if line.lstrip().startswith("#") or 2 * sum(word[:1].isupper() for word in words) > len(words) + 2:
            continue  # a heading or title
        for name in _NAME.findall(line):
            parts = [part.casefold() for part in _WORD.findall(name) if len(part) > 2]
            if any(part[:STEM] not in known for part in parts):
                found.append(name)
    return found


STEM = 5
"""Letters by which names are compared: American is known from America."""
