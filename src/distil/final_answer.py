"""What an answer comes to: its number, label, letter, JSON value or tool calls. One rule for votes, references and metrics.

A worked answer is compared by its result and not by its wording: "... so she earns $18. A: 18" is 18. What has no such result is
open text, and two open texts agree only where they are the same (distil.text). No dependencies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple

from distil.quantities import Quantity, final_number, same_quantity, stated_number, whole_quantity
from distil.text import Calls, answer_key, calls_key, normalize, normalize_answer, one_line, parse_answer
from distil.thinking import part

Kind = Literal["calls", "json", "number", "letter", "label", "text"]

LABEL_WORDS = 5
"""An answer of up to so many words on one line, neither a number nor JSON, can be a label."""
LABEL_LENGTH = 80
"""Characters of a label."""
MAX_LABELS = 150
"""More different values are not labels."""
MAX_NUMBERS = 12
"""Numbers are labels (grades, stars) only if there are so few different ones."""
LEAST_EACH = 2
"""Texts per label, on average."""
SHOWN = 60
"""Characters of a result that a person is shown."""

_LETTER = re.compile(r"[(\[]?([A-Z])[)\].:]?")
_FIRST = re.compile(r"[\s*_`\"']*(?:\(([A-Z])\)|([A-Z])(?:[).:]|[\s*_`\"']*\Z))")
_STATED = re.compile(
    r"(?:\b(?i:answer|choice|option)\b(?: is| would be|:)?[\s:*_`\"'(\[]{0,6}|\\boxed\{(?:\\text\{)?\(?)"
    r"([A-Z])(?![\w'’])(?:(?<![AI])|(?!\s+[a-z]))"
)
_WORD = re.compile(r"[^\W_]+")
_BRACKETED = re.compile(r"\(([A-Z])\)")


class Final(NamedTuple):
    """What one answer comes to."""

    kind: Kind
    key: str
    """Equal for equal results of one kind, except numbers (see `same_final`)."""
    shown: str
    """One line for a person."""
    number: Quantity | None = None
    """The number, where it is one."""


def is_label(text: str) -> bool:
    """Whether an answer has the form of a label: a few words on one line, no number, no JSON."""
    short = text.strip()
    if not short or "\n" in short or len(short) > LABEL_LENGTH or len(short.split()) > LABEL_WORDS:
        return False
    return parse_answer(short) is None and whole_quantity(short) is None


def are_labels(texts: Sequence[str]) -> bool:
    """Whether short texts are the labels of a classification: at least two different ones, each for two texts on average."""
    if any(len(text.split()) > LABEL_WORDS or len(" ".join(text.split())) > LABEL_LENGTH for text in texts):
        return False
    different = {normalize_answer(text) for text in texts}
    numbers = sum(whole_quantity(text) is not None for text in different)
    few = 2 <= len(different) <= min(MAX_LABELS, len(texts) / LEAST_EACH)
    return few and (numbers <= MAX_NUMBERS or 2 * numbers < len(different))


def whole_letter(text: str | None) -> str | None:
    """The capital letter that a text is, as "B", "(B)" or "B."; None for anything else."""
    match = _LETTER.fullmatch((text or "").strip())
    return match[1] if match else None


def stated_letter(text: str) -> str | None:
    """The letter that an answer begins with or states: "(B)", "B.", "B) Paris", "The answer is B"; the last statement counts."""
    if first := _FIRST.match(text):
        return first[1] or first[2]
    stated = _STATED.findall(text)
    return str(stated[-1]) if stated else None


def chosen_letter(answer: str) -> str | None:
    """As `stated_letter`, else the last letter in brackets or the one that is all: for answers that are known to be a choice."""
    found = stated_letter(answer) or next(reversed(_BRACKETED.findall(answer)), None)
    if found:
        return str(found)
    label = normalize_answer(answer)
    return label.upper() if len(label) == 1 and label.isalpha() else None


def form_of(text: str, calls: Calls | None = None) -> Kind:
    """The kind of result that an answer has by itself."""
    if calls:
        return "calls"
    if parse_answer(text) is not None:
        return "json"
    if whole_letter(text):
        return "letter"
    if stated_number(text) is not None:
        return "number"
    if is_label(text):
        return "label"
    return "letter" if stated_letter(text) else "text"


def shared_form(forms: Iterable[Kind]) -> Kind:
    """The kind of result that at least half of several answers to one prompt have; text where none is that frequent.

    The rest is then read for the same kind: a solution that ends without "The answer is" still ends in a number.
    """
    counts = Counter(forms)
    if not counts:
        return "text"
    kind, count = counts.most_common(1)[0]
    return kind if 2 * count >= counts.total() else "text"


def final_answer(text: str, calls: Calls | None, kind: Kind, labels: Collection[str] = ()) -> Final:
    """The result of an answer to a prompt whose answers come to `kind`; open text where the answer has none of that kind.

    labels: the normalized labels of a classification; an answer in prose that holds exactly one of them gives that one.
    """
    text = part(text).text
    if calls:
        return Final("calls", calls_key(calls), one_line(calls_key(calls), SHOWN))
    if kind == "number" and (found := final_number(text)) is not None:
        return Final("number", "", f"{found.number:g}", found)
    if kind == "letter" and (letter := chosen_letter(text)) is not None:
        return Final("letter", letter, letter)
    if kind == "label" and (label := label_in(text, labels)) is not None:
        return Final("label", label, one_line(label, SHOWN))
    value = parse_answer(text)
    key = answer_key(text)
    return Final("json" if value is not None else "text", key, one_line(text, SHOWN))


def label_in(text: str, labels: Collection[str]) -> str | None:
    """The label that an answer gives: the whole answer, or the only one of `labels` that its words hold; None where none does."""
    whole = normalize_answer(text)
    if whole in labels or (is_label(text) and not labels):
        return whole
    if len(text) > 40 * LABEL_LENGTH:
        return None
    words = _words(normalize(text))
    held = [label for label in labels if _words(label) in words]
    longest = [label for label in held if not any(label != other and label in other for other in held)]
    if len(longest) == 1:
        return longest[0]
    return whole if is_label(text) and not held else None


def _words(text: str) -> str:
    return f" {' '.join(_WORD.findall(text))} "


def same_final(one: Final, other: Final) -> bool:
    """Whether two answers come to the same: numbers by value with their units (distil.quantities), all else by key."""
    if one.number is not None and other.number is not None:
        return same_quantity(one.number, other.number)
    return one.kind == other.kind and one.number is None and other.number is None and one.key == other.key
