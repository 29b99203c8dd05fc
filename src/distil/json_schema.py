"""Whether a JSON value follows a JSON schema: of a response_format, or of a tool's parameters. The only user of jsonschema.

Also what a response_format requires, in the shapes of OpenAI (chat and responses), Together, Fireworks, TGI, llama.cpp and vLLM.

Nothing is fetched: a `$ref` to another address can't be followed, and counts as a schema that can't be checked.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

MAX_WORDS = 200


class Requirement(NamedTuple):
    """What a program that sent this response_format relies on."""

    json: bool = False
    """The answer is JSON: an object, unless the schema says otherwise."""
    schema: Mapping[str, object] | None = None
    """That it follows."""
    strict: bool = False
    """OpenAI's structured outputs: every key is named by the schema."""
    pattern: str | None = None
    """A regular expression that the whole answer matches."""
    choices: list[str] | None = None
    """The answer is one of these."""


def requirement_of(response_format: Mapping[str, object] | None) -> Requirement:
    """What a response_format requires; nothing for one that is None, text, or in a shape that is not known here.

    `{"type": "json_schema", "json_schema": {"schema": ...}}`, the flat form of the responses API, `{"type": "json_object"}` with
    or without `schema`, `{"type": "json" | "regex", "value": ...}`, `{"type": "regex", "pattern": ...}`, vLLM's
    `{"json" | "regex" | "choice": ...}` and a bare schema.
    """
    if not response_format:
        return Requirement()
    given = response_format.get("structured_outputs", response_format)
    if not isinstance(given, Mapping):
        return Requirement()
    kind = given.get("type")
    outer = given.get("json_schema")
    holder = outer if isinstance(outer, Mapping) else given
    schema = holder.get("schema", outer if isinstance(outer, Mapping) else None)
    if isinstance(outer, Mapping) or kind in ("json_schema", "json_object", "json"):
        schema = given.get("value") if kind == "json" and schema is None else schema
        return Requirement(True, schema if isinstance(schema, Mapping) else None, holder.get("strict") is True)
    return _constraint(given)


def _constraint(given: Mapping[str, object]) -> Requirement:
    """A regular expression, choices, or a schema without anything around it."""
    kind = given.get("type")
    pattern = given.get("pattern", given.get("value")) if kind == "regex" else given.get("regex")
    if isinstance(pattern, str):
        return Requirement(pattern=pattern)
    choices = given.get("choice", given.get("choices", given.get("value") if kind in ("choice", "choices") else None))
    if isinstance(choices, list) and choices and all(isinstance(choice, str) for choice in choices):
        return Requirement(choices=choices)
    schema = given.get("json")
    if isinstance(schema, Mapping):
        return Requirement(True, schema)
    bare = (
        kind not in ("text", "regex", "grammar", "choice", "choices", None) or "properties" in given or "enum" in given
    )
    return Requirement(True, given) if bare else Requirement()


def fault_of(schema: Mapping[str, object], value: object) -> str | None:
    """What is wrong with a value, in one line that names the place; None when it follows the schema.

    Raises ValueError for a schema that is none.
    """
    return _checker(json.dumps(schema, sort_keys=True))(value)


def check_schema(schema: Mapping[str, object]) -> None:
    """Raises ValueError for a schema that is none."""
    _checker(json.dumps(schema, sort_keys=True))


@functools.lru_cache(maxsize=1024)
def _checker(text: str) -> Callable[[object], str | None]:
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    schema = json.loads(text)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(error.message[:MAX_WORDS]) from None
    validator = kind(schema, registry=Registry())

    def fault(value: object) -> str | None:
        try:
            error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        except (Unresolvable, RecursionError) as problem:
            raise ValueError(f"it can't be followed ({type(problem).__name__}: {str(problem)[:MAX_WORDS]})") from None
        if error is None:
            return None
        place = ".".join(str(part) for part in error.absolute_path)
        return f"{place}: {error.message[:MAX_WORDS]}" if place else error.message[:MAX_WORDS]

    return fault
