"""Small tools for values of unknown shape: a row, a place for messages, JSON inside text, names of columns."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.text import parse_json

_SIGNS = re.compile(r"[^a-z0-9]+")


class Row(NamedTuple):
    """One row of a source."""

    where: str
    """`file, line 3`: the start of every message about this row."""
    fields: JsonObject
    """Column or key -> value."""


@functools.lru_cache(maxsize=4_096)
def plain_name(key: str) -> str:
    """The name of a column as it is looked up: `User Query` and `user-query` are user_query."""
    return _SIGNS.sub("_", key.strip().lower()).strip("_")


def by_name(fields: Mapping[str, object]) -> dict[str, str]:
    """Plain name -> the key as it is written; of two that differ in case only, the first."""
    names: dict[str, str] = {}
    for key in fields:
        names.setdefault(plain_name(str(key)), key)
    return names


def parsed(value: object) -> object:
    """The object or list that a text is, else the value itself: tables and traces hold JSON as text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        found = parse_json(value)
        return value if found is None else found
    return value


def present(fields: Mapping[str, object]) -> JsonObject:
    """The fields that say something: nothing, and the NaN of a table's empty cell, are left out."""
    return {str(key): value for key, value in fields.items() if not is_absent(value)}


def is_absent(value: object) -> bool:
    """None, or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def mapping(value: object) -> JsonObject:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[JsonObject]:
    """The objects of a list; empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first_text(fields: Mapping[str, object], names: Iterable[str]) -> str | None:
    """The first of the named fields that is a text with something in it."""
    return next((value for name in names if isinstance(value := fields.get(name), str) and value.strip()), None)


def nest(flat: Mapping[str, object]) -> JsonObject:
    """`{"a.0.b": 1}` as `{"a": [{"b": 1}]}`: numbers as keys make lists, in their order."""
    tree: JsonObject = {}
    for key in sorted(flat, key=lambda name: name.count(".")):
        node, parts = tree, key.split(".")
        for part in parts[:-1]:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):  # a value and more below it: gen_ai.prompt beside gen_ai.prompt.0
                inner = node[part] = {"value": inner}
            node = inner
        node[parts[-1]] = flat[key]
    return {key: _listed_by_number(value) for key, value in tree.items()}


def _listed_by_number(value: object) -> object:
    if not isinstance(value, dict):
        return value
    inner = {key: _listed_by_number(item) for key, item in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def described(value: object) -> str:
    """What was found, for a message."""
    if isinstance(value, (str, list, dict)) and not (value.strip() if isinstance(value, str) else value):
        return "an empty " + {"str": "text", "list": "list", "dict": "object"}[type(value).__name__]
    return "null" if value is None else f"a JSON {type(value).__name__}"


def unreadable(row: Row, problem: str) -> UserError:
    """The error for a row that can't be read."""
    return UserError(f"{row.where}: {problem}")
