"""Signals `json_form`, `json_schema` and `fence`: whether an answer has the form that its prompt requires, and its correction.

A requirement is what a program relies on: a `response_format` in the shape of any provider (distil.json_schema), or JSON that
nearly all answers are. What a prompt says in prose is not read, except for the word JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.errors import UserError
from distil.json_schema import Requirement, fault_of, requirement_of
from distil.records import Answer, Prompt
from distil.text import json_answer, normalize_answer, one_line, parse_answer, parse_json, strip_fence

JSON_MAJORITY = 0.8
JSON_MIN_ANSWERS = 5
UNNAMED = 0.5
"""Value of keys that a schema neither names nor forbids: valid, and hardly meant."""


def json_form(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Not JSON: 1 where the prompt requires it; the share of answers that are JSON where only the others say so."""
    if answer.tool_calls:
        return None
    required, value = requirement_of(prompt.response_format), parse_answer(answer.text)
    if required.json:
        if value is None and not _is_scalar(answer.text, required):
            return Found(1, "not JSON, though the prompt's response_format asks for it")
        if isinstance(value, list) and required.schema is None:
            return Found(1, "a JSON list, though the prompt's response_format asks for an object")
        return None
    if value is not None or corpus.answers < JSON_MIN_ANSWERS or corpus.json_share < JSON_MAJORITY:
        return None
    asked = any("json" in turn.text.lower() for turn in prompt.messages)
    detail = f"not JSON, while {corpus.json_share:.0%} of the answers are"
    if asked:
        return Found(1, f"{detail}, and the prompt asks for it")
    return Found(corpus.json_share, detail) if corpus.json_share_at(prompt) >= JSON_MAJORITY else None


def json_schema(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Breaks the schema, the regular expression or the choices of the response_format.

    Raises UserError for a schema or an expression that is none.
    """
    required = requirement_of(prompt.response_format)
    if answer.tool_calls:
        return None
    if required.choices is not None:
        if normalize_answer(answer.text) in map(normalize_answer, required.choices):
            return None
        return Found(1, f"none of the choices of the prompt ({one_line(', '.join(required.choices), 80)})")
    if required.pattern is not None:
        matches = _compiled(required.pattern, prompt).fullmatch(answer.text.strip())
        return (
            None
            if matches
            else Found(1, f"does not match the prompt's regular expression {one_line(required.pattern, 80)}")
        )
    if required.schema is None:
        return None
    is_json, value = json_answer(answer.text)
    if not is_json or (value is None and required.schema.get("type") in ("object", "array")):
        return None  # not JSON at all: json_form says so
    try:
        fault = fault_of(required.schema, value)
    except ValueError as error:
        raise UserError(
            f"The response_format of prompt {prompt.id} is not a JSON schema: {error}. Correct it in the prompts, or leave the "
            "filter schema out: curate.filters: [default, -schema]."
        ) from None
    if fault is not None:
        return Found(1, f"breaks the schema of the prompt: {one_line(fault, 200)}")
    return unnamed_keys(required.schema, value, strict=required.strict)


def unnamed_keys(schema: Mapping[str, object], value: object, *, strict: bool = False) -> Found | None:
    """Keys of an object that its schema neither names nor forbids: 0.5, or 1 where the schema is strict and so names all."""
    named = schema.get("properties")
    open_ended = {"additionalProperties", "patternProperties", "anyOf", "oneOf", "allOf", "$ref", "if"} & set(schema)
    if not isinstance(value, dict) or not isinstance(named, Mapping) or open_ended:
        return None
    extra = [key for key in value if key not in named]
    if not extra:
        return None
    return Found(1 if strict else UNNAMED, f"has keys that the schema does not name: {one_line(', '.join(extra), 80)}")


def fence(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """JSON in a code fence where JSON alone is required, or where most answers are JSON without one."""
    inside = strip_fence(answer.text)
    if inside is answer.text or parse_json(inside) is None:
        return None
    if requirement_of(prompt.response_format).json:
        return Found(1, "JSON in a code fence, though the prompt's response_format asks for JSON alone")
    if corpus.json_share >= JSON_MAJORITY and corpus.fenced_share < corpus.json_share / 2:
        return Found(1, f"JSON in a code fence, as {corpus.fenced_share:.0%} of the answers are")
    return None


def without_fence(pair: Pair) -> Pair:
    """The answer without the code fence around it."""
    return pair._replace(answer=pair.answer.model_copy(update={"text": strip_fence(pair.answer.text).strip()}))


def _is_scalar(text: str, required: Requirement) -> bool:
    """Whether the schema is one of a bare value, such as {"enum": ["a", "b"]}, and the answer is JSON."""
    if required.schema is None or required.schema.get("type") in ("object", "array"):
        return False
    return json_answer(text)[0]


def _compiled(pattern: str, prompt: Prompt) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise UserError(
            f"The regular expression in the response_format of prompt {prompt.id} can't be read: {error}. Correct it in the "
            "prompts, or leave the filter schema out: curate.filters: [default, -schema]."
        ) from None
