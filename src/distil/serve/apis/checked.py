"""A body is checked against its model, and what is wrong becomes one line that names the parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from distil.serve.wire import BadRequest, JsonObject
from distil.text import load_json, nested_deeper

MOST_DEPTH = 100
"""Nesting of a body; deeper than any request is, and far from Python's own limit."""
MOST_TOKENS = 10_000_000
SEEDS = (-(1 << 63), (1 << 63) - 1)
ASKS_NOTHING: tuple[object, ...] = (None, False, [], {}, ["text"], "auto", "none")
"""Values with which a parameter that only some servers know changes nothing."""


@dataclass(frozen=True)
class Defaults:
    """What holds for every request to a gateway."""

    served: str
    """The name of the model."""
    temperature: float
    """Where a request names none."""
    max_tokens: int
    """Where a request names none."""


class Body(BaseModel):
    """Base of the bodies: no value is converted, and parameters that other servers know are kept, to be refused by name."""

    model_config = ConfigDict(strict=True, extra="allow", use_attribute_docstrings=True, protected_namespaces=())


HAS_TEXT: JsonObject = {"contains": {"anyOf": [
    {"required": ["content"], "properties": {"content": {"type": "string", "pattern": r"\S"}}},
    {"required": ["content"], "properties": {"content": {"type": "array"}}},
    {"required": ["tool_calls"], "properties": {"tool_calls": {"type": "array", "minItems": 1}}},
]}}  # fmt: skip
"""JSON schema of what `parse.turns` demands of all turns together."""
Shape = TypeVar("Shape", bound=Body)


def read_object(raw: bytes) -> JsonObject:
    """The JSON object of a body. Raises BadRequest for anything else."""
    try:
        body = load_json(raw)
        if b"NaN" in raw or b"Infinity" in raw:  # rarely, and then mostly inside a text
            json.loads(raw, parse_constant=_no_number)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError as error:  # not JSON, not UTF-8, or a number of thousands of digits
        raise BadRequest(f"The body is not valid JSON: {str(error)[:200]}.") from None
    if not isinstance(body, dict):
        raise BadRequest(f"The body is a JSON {type(body).__name__}, expected an object.")
    if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH and nested_deeper(body, MOST_DEPTH):
        raise BadRequest(f"The body is nested more than {MOST_DEPTH} levels deep.")
    return body


def checked(body: JsonObject, shape: type[Shape], served: str) -> Shape:
    """The body as its model. Raises BadRequest that names the parameter; 404 for another model than the one served."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("You must provide a model parameter.", param="model")
    if model != served:
        raise no_such_model(model, served)
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise invalid(error, body) from None


def no_such_model(asked: str, served: str) -> BadRequest:
    """What a client hears that asks for another model than the one served."""
    message = f"The model {asked[:200]!r} does not exist here. Served: {served}."
    return BadRequest(message, param="model", code="model_not_found", status=404)


def invalid(error: ValidationError, given: object, place: str = "") -> BadRequest:
    """The most specific fault, with the parameter's path as a client writes it: `messages.0.role`."""
    faults = [(_path(fault["loc"], given, fault["type"] == "missing"), fault["msg"]) for fault in error.errors()[:20]]
    path, message = max(faults, key=lambda fault: len(fault[0]))  # the first of the deepest
    message = re.sub(r" dictionary( or instance of \w+)?", " object", message)
    steps = [place, *path] if place else path
    where = ".".join(steps)[:200] or "the body"
    return BadRequest(f"{where}: {message[:1].lower()}{message[1:300]}.", param=".".join(steps[:2])[:200] or None)


def _path(steps: tuple[int | str, ...], given: object, missing: bool) -> list[str]:
    """pydantic's path without the names of the alternatives that it tried, which the body does not have."""
    kept = []
    for at, step in enumerate(steps):
        held, below = _below(given, step)
        if held:
            given = below
        elif not (missing and at == len(steps) - 1):
            continue
        kept.append(str(step))
    return kept


def _below(given: object, step: int | str) -> tuple[bool, object]:
    """Whether a part of the body holds a step of a path, and what is there."""
    if isinstance(given, dict):
        return step in given, given.get(step)
    if isinstance(given, list) and isinstance(step, int) and step < len(given):
        return True, given[step]
    return False, None


def unsupported(names: Iterator[str] | list[str]) -> None:
    """Raises BadRequest that names the first of the parameters."""
    for name in names:
        raise BadRequest(f"The parameter {name[:60]!r} is not supported here. Leave it out.", param=name[:60])


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
