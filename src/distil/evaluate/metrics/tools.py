"""Are the tool calls right? In two stages: the right tools, and the right arguments as JSON values. Against the teacher's calls.

The order of the calls in one answer does not count (they are meant to run side by side); a missing or an extra call does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.evaluate.metrics.table import Case, Values
from distil.fields import compare_objects
from distil.text import Json, read_call

MAX_CALLS = 50
"""Calls of an answer that are looked at."""


class Call(NamedTuple):
    """One tool call as it is compared."""

    name: str
    """The tool."""
    arguments: dict[str, Json] | None
    """None where the arguments are not a JSON object."""


def read_calls(calls: Sequence[Mapping[str, object]]) -> list[Call]:
    """Tool calls in OpenAI's shape; arguments may be JSON text or an object already."""
    found = map(read_call, calls[:MAX_CALLS])
    return [Call(name, value if isinstance(value, dict) else None) for name, value in found]


def _applies(case: Case) -> bool:
    """Where the teacher called a tool, or the answer does and the teacher did not (an extra call)."""
    return case.teacher is not None and bool(case.teacher_tool_calls or case.tool_calls)


def tool_calls(cases: Sequence[Case]) -> Values:
    """1 where the answer makes exactly the teacher's calls: the same tools with the same arguments, in any order."""
    return [None if not _applies(case) else float(_same_calls(case)) for case in cases]


def _same_calls(case: Case) -> bool:
    found, wanted = read_calls(case.tool_calls), read_calls(case.teacher_tool_calls)
    return len(found) == len(wanted) and _matched(found, wanted) >= len(wanted) - 1e-9


def tool_name(cases: Sequence[Case]) -> Values:
    """F1 of the called tools as multisets: 1 for the right tools as often as the teacher, whatever the arguments."""
    values: Values = []
    for case in cases:
        if not _applies(case):
            values.append(None)
            continue
        found = Counter(call.name for call in read_calls(case.tool_calls))
        wanted = Counter(call.name for call in read_calls(case.teacher_tool_calls))
        values.append(2 * (found & wanted).total() / (found.total() + wanted.total()))
    return values


def tool_arguments(cases: Sequence[Case]) -> Values:
    """Share of the arguments that are right, over the calls of the right tools; None where no tool is the teacher's.

    An invented argument costs as much as a wrong one, and arguments that are not a JSON object count 0.
    """
    values: Values = []
    for case in cases:
        found, wanted = read_calls(case.tool_calls), read_calls(case.teacher_tool_calls)
        shared = (Counter(call.name for call in found) & Counter(call.name for call in wanted)).total()
        applies = case.teacher is not None and shared
        values.append(_matched(found, wanted) / shared if applies else None)
    return values


def _matched(found: Sequence[Call], wanted: Sequence[Call]) -> float:
    """Sum of the arguments' shares over pairs of calls of one tool, the best pairs first."""
    shares = [
        (_share(call, target), i, j)
        for i, call in enumerate(found)
        for j, target in enumerate(wanted)
        if call.name == target.name
    ]
    total, used_found, used_wanted = 0.0, set(), set()
    for share, i, j in sorted(shares, key=lambda row: (-row[0], row[1], row[2])):
        if i not in used_found and j not in used_wanted:
            used_found.add(i)
            used_wanted.add(j)
            total += share
    return total


def _share(call: Call, target: Call) -> float:
    if call.arguments is None or target.arguments is None:
        return float(call.arguments is None and target.arguments is None)
    return compare_objects(call.arguments, target.arguments).share
