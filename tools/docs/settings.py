"""distil.yaml as a page: every key with its type, bounds, default and meaning, read from the sections' classes."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from distil.calls.config import TeacherConfig
from distil.config import Config
from distil.config_file import scalar
from tools.docs.markdown import block, code, text

NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
BOUNDS = {
    "ge": "at least",
    "gt": "above",
    "le": "at most",
    "lt": "below",
    "min_length": "at least",
    "max_length": "at most",
}


class Key(typing.NamedTuple):
    """One key that can be set."""

    path: str
    """As `--set` takes it; entries of a list are numbered from 0: teachers.0.model."""
    kind: str
    default: str | None
    """In YAML; None: it has to be given."""
    meaning: str


def page() -> str:
    """The whole page."""
    example = (
        "prompts: {path: questions.csv}\nteachers:\n  - model: openai/gpt-5-mini\nstudent: {model: Qwen/Qwen3-0.6B}"
    )
    parts = [
        "# Settings",
        "Every key of `distil.yaml` with its type, default and meaning, written from the code. There is one section for each "
        "stage; only `prompts.path` and a `teachers` entry with its `model` have to be given. Unknown keys are refused with a "
        "suggestion. `distil config show` lists what applies in a project, `distil config set KEY=VALUE` writes a value and "
        "leaves all else as it is, and `--set KEY=VALUE` holds for one command.",
        block(example, "yaml"),
    ]
    for name, field in Config.model_fields.items():
        model, path = _model(field.annotation), name
        if model is None:
            parts += [f"## {name}", *_lines(_key(name, field))]
            continue
        parts += [f"## {name} {{ #{name} }}", text(field.description or "")]
        if typing.get_origin(field.annotation) is list:
            path = f"{name}.0"
            parts.append(f"A list; the keys of its second entry are `{name}.1.model` and so on.")
        for key in keys(model, path):
            parts += _lines(key)
    return "\n\n".join(parts) + "\n"


def keys(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    """The keys of a section, those of its nested sections included."""
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}"
        key, below = _key(path, field), _model(field.annotation)
        if below is TeacherConfig:
            yield key._replace(kind=key.kind.replace("section", "model"))
            continue
        if below is None or key.default != "{}":
            yield key
        if below is not None:
            yield from keys(below, f"{path}.0" if _is_list(field.annotation) else path)


def _key(path: str, field: FieldInfo) -> Key:
    bounds = [
        f"{BOUNDS[name]} {value:g}" if isinstance(value, (int, float)) else ""
        for item in field.metadata
        for name in BOUNDS
        if (value := getattr(item, name, None)) is not None
    ]
    unit = " long" if _is_list(field.annotation) and bounds else ""
    kind = ", ".join([_kind(field.annotation), *bounds]) + unit
    return Key(path, kind, _default(field), field.description or "")


def _default(field: FieldInfo) -> str | None:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return None
    return "{}" if isinstance(value, BaseModel) else scalar(value)


def _kind(annotation: object) -> str:
    """A type in words."""
    if isinstance(annotation, type) and annotation in NAMES:
        return NAMES[annotation]
    if isinstance(annotation, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        return _kind(annotation.__value__)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(inner[0])
    if origin is typing.Literal:
        return " | ".join("null" if value is None else scalar(value) for value in inner)
    if origin in (typing.Union, types.UnionType):
        ordered = [part for part in inner if part is not type(None)]
        return " or ".join([*dict.fromkeys(map(_kind, ordered)), *(["null"] if len(ordered) < len(inner) else [])])
    if origin in (list, tuple):
        return f"list of {_kind(inner[0])}" if inner else "list"
    if origin is dict:
        return f"mapping of {_kind(inner[0])} to {_kind(inner[1])}" if inner else "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return getattr(annotation, "__name__", str(annotation)).lower()


def _is_list(annotation: object) -> bool:
    inner = typing.get_args(annotation)
    return typing.get_origin(annotation) is list or any(map(_is_list, inner))


def _model(annotation: object) -> type[BaseModel] | None:
    """The section that an annotation holds, in a list or not, if it holds one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in typing.get_args(annotation) if (found := _model(inner)) is not None), None)


def _lines(key: Key) -> Iterator[str]:
    default = "has to be given" if key.default is None else f"default {code(key.default)}"
    yield f"### {code(key.path)} {{ #{key.path.replace('.0', '').replace('.', '-')} }}"
    yield f"{text(key.kind)} · {default}"
    if key.meaning:
        yield re.sub(r"\bdocs/(\w+\.md)\b", r"[\1](../\1)", text(key.meaning))
    if re.search(r"\bmodel\b", key.kind):
        yield "Its keys are those of an entry of [teachers](#teachers)."
