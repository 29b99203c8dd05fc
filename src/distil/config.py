"""distil.yaml: one section per stage, composed from what the stages declare. Unknown keys are refused with a suggestion.

Loaded by the command line and by pipeline.py; a stage gets its own section and unpacks it. `write_config` makes the commented
file of `distil init` from the docstrings under the fields, so that file and code cannot disagree.
"""

from __future__ import annotations

import json
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from distil.calls.config import TeacherConfig
from distil.collect.config import CollectConfig
from distil.cost.config import CostConfig
from distil.curate.config import CurateConfig
from distil.errors import UserError, did_you_mean
from distil.evaluate.config import EvaluateConfig
from distil.models.config import StudentConfig
from distil.prompts.config import PromptsConfig
from distil.runs.artifacts import Project
from distil.runs.section import Section
from distil.serve.config import ServeConfig
from distil.signals.config import SignalsConfig
from distil.train.config import TrainConfig

COMMENT_WIDTH = 120


class Config(Section):
    """The whole of distil.yaml."""

    task: str = "my-task"
    """A name for the task; it is on the report."""
    prompts: PromptsConfig
    """Where the prompts come from."""
    teachers: list[TeacherConfig] = Field(min_length=1)
    """Who answers; several make an ensemble."""
    collect: CollectConfig = CollectConfig()
    """Asking the teachers."""
    curate: CurateConfig = CurateConfig()
    """Filtering, duplicates, splitting."""
    student: StudentConfig = StudentConfig()
    """What learns."""
    signals: SignalsConfig = SignalsConfig()
    """The teacher's cached distributions (only for train.signal: cached)."""
    train: TrainConfig = TrainConfig()
    """How it learns."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """How good is good enough."""
    cost: CostConfig = CostConfig()
    """What production looks like."""
    serve: ServeConfig = ServeConfig()
    """The gateway."""


def load_config(project: Project, overrides: Sequence[str] = ()) -> Config:
    """Reads distil.yaml and applies `a.b=value` overrides. Raises UserError: no file, bad YAML, unknown key, wrong value."""
    if not project.config.exists():
        raise UserError(
            f"{project.root} is not a Distil project: it has no distil.yaml. Make one with `distil init DIR`, or name the folder "
            "with --project DIR."
        )
    try:
        data = yaml.safe_load(project.config.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(
            f"{project.config}{where}: not valid YAML ({getattr(error, 'problem', error)}). Check indentation and quotes there."
        ) from None
    if not isinstance(data, dict):
        raise UserError(
            f"{project.config}: found a {type(data).__name__}, expected sections such as `prompts:` and `teachers:`."
        )
    for override in overrides:
        _apply(data, override)
    return parse_config(
        data, " with ".join([str(project.config), *(f"--set {o.partition('=')[0]}" for o in overrides)])
    )


def parse_config(data: dict[str, Any], source: str) -> Config:
    """Validates a config given as plain data; `source` names it in errors."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: " + "; ".join(_faults(error))) from None


def _apply(data: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set {override!r} is not understood. Expected KEY=VALUE, such as --set train.epochs=2.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    here: Any = data
    keys = path.strip().split(".")
    for index, key in enumerate(keys[:-1]):
        here = _child(here, key, ".".join(keys[: index + 1]))
    if isinstance(here, list):
        here[_position(here, keys[-1], path)] = value
    else:
        here[keys[-1]] = value


def _child(here: Any, key: str, path: str) -> Any:
    if isinstance(here, list):
        return here[_position(here, key, path)]
    if here.get(key) is None:
        here[key] = {}
    if not isinstance(here[key], (dict, list)):
        raise UserError(f"--set {path}: {path!r} is a value ({here[key]!r}), it has no keys below it.")
    return here[key]


def _position(items: list[Any], key: str, path: str) -> int:
    if not key.isdigit() or int(key) >= len(items):
        raise UserError(
            f"--set {path}: expected a position from 0 to {len(items) - 1} in a list, found {key!r} (teachers.0.model=...)."
        )
    return int(key)


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors()[:4]:
        path = [str(part) for part in fault["loc"]]
        if fault["type"] == "extra_forbidden":
            parent = ".".join(path[:-1])
            known = _known_keys(path[:-1])
            place = f"in section {parent!r}" if parent else "at the top level"
            hint = did_you_mean(path[-1], known) or f" Known keys: {', '.join(known)}."
            yield f"unknown key {path[-1]!r} {place}.{hint}"
        elif fault["type"] == "missing":
            yield f"key {'.'.join(path)!r} is missing and has no default"
        elif fault["type"] == "model_type":
            yield f"{'.'.join(path)}: found {fault['input']!r}, expected a section with keys: {', '.join(_known_keys(path))}"
        else:
            message = fault["msg"][:1].lower() + fault["msg"][1:]
            yield f"{'.'.join(path)}: {message} (found {fault['input']!r})"


def _known_keys(path: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        inner = _section_type(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section_type(annotation: Any) -> type[BaseModel] | None:
    """The model inside Model, Model | None or list[Model]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list):
        for argument in typing.get_args(annotation):
            if (found := _section_type(argument)) is not None:
                return found
    return None


def write_config(config: Config) -> str:
    """The text of a commented distil.yaml: every key with its value and, as comment, its docstring."""
    lines = [
        "# Distil: every key is here with its meaning; delete what you do not need. `distil plan` says what it will cost."
    ]
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        lines.append("")
        if isinstance(value, Section):
            lines += [f"# {field.description}", f"{name}:", *_section_lines(value, "  ")]
        elif isinstance(value, list):
            lines += [f"# {field.description}", f"{name}:"]
            for item in value:
                lines += ["  -", *_section_lines(item, "    ")]
        else:
            lines += _commented("", f"{name}: {_scalar(value)}", field.description)
    return "\n".join(lines) + "\n"


def _section_lines(section: BaseModel, indent: str) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines += [*_commented(indent, f"{name}:", field.description), *_section_lines(value, indent + "  ")]
        else:
            lines += _commented(indent, f"{name}: {_scalar(value)}", field.description)
    return lines


def _commented(indent: str, text: str, description: str | None) -> list[str]:
    """The line with its comment behind it where that fits, in lines above it where it does not."""
    comment = " ".join((description or "").split())
    line = f"{indent}{text}"
    if not comment:
        return [line]
    if len(line) + len(comment) + 4 <= COMMENT_WIDTH:
        return [f"{line}  # {comment}"]
    return [*(f"{indent}# {part}" for part in textwrap.wrap(comment, COMMENT_WIDTH - len(indent) - 2)), line]


def _scalar(value: Any) -> str:
    """A value in YAML flow style on one line (JSON is YAML, except that plain words need no quotes)."""
    if (
        isinstance(value, str)
        and value
        and yaml.safe_load(value) == value
        and not set(value) & set(":#{}[],&*!|>'\"%@`\n")
    ):
        return value
    if isinstance(value, list):
        return json.dumps([v.model_dump() if isinstance(v, BaseModel) else v for v in value], ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
