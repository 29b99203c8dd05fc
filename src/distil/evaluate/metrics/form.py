"""Does the answer have the form that it should have? JSON, schema, list, code; refused, cut off, empty."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from distil.endings import ending
from distil.errors import UserError
from distil.evaluate.metrics.table import Case, Values
from distil.final_answer import is_label
from distil.json_schema import fault_of, requirement_of
from distil.quantities import whole_quantity
from distil.refusals.score import find_refusal
from distil.text import json_answer, parse_answer, parse_object

_LIST_LINE = re.compile(r"^[ \t]{0,12}(?:[-*+•]|\(?\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
LIST_LINES = 3
"""So many list lines make an answer a list."""


def valid_json(cases: Sequence[Case]) -> Values:
    """1 where the answer is a JSON object; None where neither format, reference nor teacher's answer asks for one."""
    return [float(parse_object(case.answer) is not None) if _wants_object(case) else None for case in cases]


def _wants_object(case: Case) -> bool:
    required = requirement_of(case.response_format)
    if required.json and (required.schema is None or required.schema.get("type") == "object"):
        return True
    return parse_object(case.reference) is not None or parse_object(case.teacher) is not None


def schema_invalid(cases: Sequence[Case]) -> Values:
    """1 where the answer is not the JSON that its schema asks for; None without a schema.

    Raises UserError for a schema that is none.
    """
    values: Values = []
    for case in cases:
        schema = requirement_of(case.response_format).schema
        values.append(None if schema is None else float(not _is_valid(schema, case.answer, case.prompt_id)))
    return values


def _is_valid(schema: Mapping[str, object], answer: str, prompt_id: str) -> bool:
    is_json, value = json_answer(answer)
    try:
        problem = fault_of(schema, value)
    except ValueError as error:
        raise UserError(
            f"The response_format of prompt {prompt_id or '?'} is not a JSON schema: {error}. "
            "Correct it in the prompts, or leave schema_invalid out of evaluate.metrics."
        ) from None
    return is_json and problem is None


def form_of(text: str) -> str:
    """json | code | list | table | short | prose: what an answer looks like."""
    if parse_answer(text) is not None:
        return "json"
    if is_label(text) or whole_quantity(text) is not None:
        return "short"
    if "```" in text:
        return "code"
    lines = text.splitlines()
    if sum(line.strip().startswith("|") for line in lines) >= LIST_LINES:
        return "table"
    return "list" if len(_LIST_LINE.findall(text)) >= LIST_LINES else "prose"


def bad_format(cases: Sequence[Case]) -> Values:
    """1 where the answer does not have the form of the teacher's: JSON, code block, table, list, or a short answer.

    Only what a reader or a program trips over: JSON for JSON (and none where none was), code where there was code, several lines
    where there was a list or table, at most one line where the teacher needed a label or number. Prose may have lists in it.
    None where the teacher called a tool.
    """
    return [None if case.teacher is None or case.teacher_tool_calls else float(_differs(case)) for case in cases]


def _differs(case: Case) -> bool:
    wanted, found = form_of(case.teacher or ""), form_of(case.answer)
    if wanted in ("json", "code"):
        return found != wanted
    if wanted in ("list", "table"):
        several = found in ("list", "table", "code") or _LIST_LINE.search(case.answer) is not None
        return not several and len(case.answer.split("\n", LIST_LINES)) < LIST_LINES
    if wanted == "short":
        return found != "short" and ("\n" in case.answer.strip() or found in ("json", "code"))
    return found in ("json", "table")


def refusal(cases: Sequence[Case]) -> Values:
    """1 where the model declined to answer, or its provider withheld the answer."""
    return [float(ending(case.finish_reason) == "refused" or find_refusal(case.answer) is not None) for case in cases]


def truncated(cases: Sequence[Case]) -> Values:
    """1 where the answer is not whole: it hit the token limit, or broke off."""
    return [float(ending(case.finish_reason) in ("cut", "fault")) for case in cases]


def empty(cases: Sequence[Case]) -> Values:
    """1 where there is neither text nor a tool call."""
    return [float(not case.answer.strip() and not case.tool_calls) for case in cases]
