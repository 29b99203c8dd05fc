"""The metrics: one explicit table, and the ones that are plain text work.

Every metric takes all cases of one model and gives one float per case, or None where it does not apply (no reference, the
teacher's answer is not a JSON object, ...). The embedding metrics are in similarity.py.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast

from distil.errors import UserError, did_you_mean
from distil.text import field_share, is_cut_off, parse_object, same_answer


class Case(NamedTuple):
    """One answer to judge."""

    prompt: str
    """All turns that were shown to the model, joined."""
    answer: str
    """The model's answer."""
    teacher: str | None
    """The teacher's answer; None when the answer is the teacher's own."""
    reference: str | None
    """The right answer, where the user has one."""
    finish_reason: str = "stop"
    """stop | length."""


Values = list[float | None]
Function = Callable[[Sequence[Case]], Values]


class Metric(NamedTuple):
    """What a metric is, for people and for the statistics."""

    entry: str
    """`module:function`, imported when it is used."""
    label: str
    """For tables."""
    against: Literal["teacher", "reference", "nothing"]
    """What the answer is compared with. Against the teacher, the teacher itself has no value; its second answer has."""
    better: Literal["higher", "lower", "one"]
    """Which way is good; `one` = the nearer to 1 the better."""
    varies: bool = True
    """Two good answers may differ in it: without the teacher's second answer, a student that differs proves nothing."""


METRICS: dict[str, Metric] = {
    "similarity": Metric("distil.evaluate.similarity:similarity", "similarity to the teacher", "teacher", "higher"),
    "similar_share": Metric("distil.evaluate.similarity:similar_share", "answers above 0.9", "teacher", "higher"),
    "field_accuracy": Metric("distil.evaluate.metrics:field_accuracy", "fields right", "reference", "higher"),
    "accuracy": Metric("distil.evaluate.metrics:accuracy", "answers right", "reference", "higher"),
    "field_agreement": Metric("distil.evaluate.metrics:field_agreement", "fields as the teacher", "teacher", "higher"),
    "exact_match": Metric("distil.evaluate.metrics:exact_match", "answers as the teacher", "teacher", "higher"),
    "rouge_l": Metric("distil.evaluate.metrics:rouge_l", "ROUGE-L with the teacher", "teacher", "higher"),
    "length_ratio": Metric("distil.evaluate.metrics:length_ratio", "length / teacher's", "teacher", "one"),
    "number_mismatch": Metric("distil.evaluate.metrics:number_mismatch", "numbers of its own", "teacher", "lower"),
    "unsupported": Metric("distil.evaluate.metrics:unsupported", "unsupported numbers or names", "nothing", "lower"),
    "valid_json": Metric("distil.evaluate.metrics:valid_json", "valid JSON", "nothing", "higher"),
    "truncated": Metric("distil.evaluate.metrics:truncated", "cut off", "nothing", "lower"),
}

DECIDING = ("field_accuracy", "accuracy", "field_agreement", "exact_match", "similarity")
"""What may decide, the first that fits the task and covers the prompts."""
GUARDS = ("number_mismatch", "valid_json", "truncated")
"""Ways to be wrong that the deciding metric may not see."""

MAX_RATIO = 4.0
WORD = re.compile(r"\w+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][a-zA-Z]+")


def chosen(names: Literal["default"] | Sequence[str]) -> list[str]:
    """The metrics' names in table order. Raises UserError for one that is not in the table."""
    if names == "default":
        return list(METRICS)
    for name in names:
        if name not in METRICS:
            raise UserError(
                f"evaluate.metrics names {name!r}, which is not a metric.{did_you_mean(name, METRICS)} "
                f"Known: {', '.join(METRICS)}, or default for all."
            )
    return [name for name in METRICS if name in names]


def function(name: str) -> Function:
    """The callable behind a metric's name."""
    module, _, attribute = METRICS[name].entry.partition(":")
    return cast(Function, getattr(importlib.import_module(module), attribute))


def exact_match(cases: Sequence[Case]) -> Values:
    """1 where the answer is the same as the teacher's (distil.text.same_answer)."""
    return [None if case.teacher is None else float(same_answer(case.answer, case.teacher)) for case in cases]


def accuracy(cases: Sequence[Case]) -> Values:
    """1 where the answer is the reference, compared as in `exact_match`."""
    return [None if case.reference is None else float(same_answer(case.answer, case.reference)) for case in cases]


def field_accuracy(cases: Sequence[Case]) -> Values:
    """Share of the reference's fields that the answer has right, invented fields counted as wrong; None without a JSON object."""
    return [field_share(case.answer, case.reference) for case in cases]


def field_agreement(cases: Sequence[Case]) -> Values:
    """As `field_accuracy`, against the teacher's answer."""
    return [field_share(case.answer, case.teacher) for case in cases]


def rouge_l(cases: Sequence[Case]) -> Values:
    """F1 of the longest common subsequence of words (Lin 2004), lower case, with the teacher's answer."""
    return [None if case.teacher is None else rouge_l_f1(case.answer, case.teacher) for case in cases]


def rouge_l_f1(answer: str, target: str) -> float:
    """2 LCS / (words of both); two texts without words are equal (1)."""
    left, right = WORD.findall(answer.lower()), WORD.findall(target.lower())
    if not left and not right:
        return 1.0
    return 2 * common_subsequence(left, right) / (len(left) + len(right))


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): one big-integer step per word of `right`."""
    positions: dict[str, int] = {}
    for index, word in enumerate(left):
        positions[word] = positions.get(word, 0) | 1 << index
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        matches = row & positions.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(left) - row.bit_count()


def length_ratio(cases: Sequence[Case]) -> Values:
    """Characters of the answer over those of the teacher's; None where the teacher said nothing.

    Ratios above 4 count as 4: one long answer to a one-word question would otherwise outweigh a hundred others.
    """
    values: Values = []
    for case in cases:
        teacher = (case.teacher or "").strip()
        values.append(min(MAX_RATIO, len(case.answer.strip()) / len(teacher)) if teacher else None)
    return values


def numbers(text: str) -> set[str]:
    """Numbers in a text as plain digits: thousands separators and trailing zeros of decimals are gone (1,250.50 -> 1250.5)."""
    found = set()
    for match in NUMBER.findall(text):
        plain = re.sub(r",(?=\d{3}(?!\d))", "", match).replace(",", ".")
        whole, dot, decimals = plain.partition(".")
        found.add(f"{whole}.{decimals.rstrip('0')}".rstrip(".") if dot and "." not in decimals else plain)
    return found


def number_mismatch(cases: Sequence[Case]) -> Values:
    """1 where the answer has a number that is in neither the prompt, the teacher's answer nor the reference."""
    values: Values = []
    for case in cases:
        known = numbers(f"{case.prompt}\n{case.teacher}\n{case.reference or ''}")
        values.append(None if case.teacher is None else float(bool(numbers(case.answer) - known)))
    return values


def unsupported(cases: Sequence[Case]) -> Values:
    """1 where the answer has a number, or a capitalised name inside a sentence, that neither prompt nor reference has.

    The same measure for teacher and student (it does not look at the teacher's answer), so that the two can be compared.
    """
    values: Values = []
    for case in cases:
        source = f"{case.prompt}\n{case.reference or ''}"
        known = source.casefold()
        invented = numbers(case.answer) - numbers(source)
        names = {name for name in NAME.findall(case.answer) if name.casefold() not in known}
        values.append(float(bool(invented or names)))
    return values


def valid_json(cases: Sequence[Case]) -> Values:
    """1 where the answer is a JSON object; None where neither the reference nor the teacher's answer is one."""
    return [float(parse_object(case.answer) is not None) if _wants_object(case) else None for case in cases]


def _wants_object(case: Case) -> bool:
    return parse_object(case.reference) is not None or parse_object(case.teacher) is not None


def truncated(cases: Sequence[Case]) -> Values:
    """1 where the answer hit the token limit."""
    return [float(is_cut_off(case.finish_reason)) for case in cases]
