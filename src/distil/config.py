"""distil.yaml: one section per stage, each declared by its stage. Unknown keys are rejected with a suggestion.

A stage's setup code gets its section; nothing below it does. config_file.py writes and edits the file.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence

import yaml
from pydantic import BaseModel, Field, ValidationError

from distil.calls.config import TeacherConfig
from distil.collect.config import CollectConfig
from distil.cost.config import CostConfig
from distil.curate.config import CurateConfig
from distil.errors import UserError, did_you_mean
from distil.evaluate.config import EvaluateConfig
from distil.judging.settings import Settings
from distil.models.config import StudentConfig
from distil.prompts.config import PromptsConfig
from distil.runs.artifacts import Project
from distil.runs.section import Section
from distil.serve.config import ServeConfig
from distil.signals.config import SignalsConfig
from distil.train.config import TrainConfig

Node = dict[str, object] | list[object]  # a part of the YAML file
CHOICES = ("literal[", "constrained-", "dict[")
"""How what pydantic adds to a key's path begins where a value may be of several types."""


class Loader(yaml.SafeLoader):
    """Reads true and false as YAML 1.2 does. In YAML 1.1, off, on, yes and no are truth values, too, and `fallback: off` is not
    the word that was meant."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Config(Section):
    """All of distil.yaml."""

    task: str = "my-task"
    """Name of the task, shown in the report."""
    prompts: PromptsConfig
    """Where your prompts are."""
    teachers: list[TeacherConfig] = Field(min_length=1)
    """The models that answer; several form an ensemble."""
    collect: CollectConfig = CollectConfig()
    """Collecting the teacher's answers."""
    curate: CurateConfig = CurateConfig()
    """Filters, duplicates, splits."""
    student: StudentConfig = StudentConfig()
    """The model to train."""
    signals: SignalsConfig = SignalsConfig()
    """The teacher's cached distributions (only used with train.signal: cached)."""
    train: TrainConfig = TrainConfig()
    """How to train it."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """When the student is good enough."""
    cost: CostConfig = CostConfig()
    """Your production traffic and hosting."""
    serve: ServeConfig = ServeConfig()
    """The gateway in front of the student."""


def calibration_judge(config: Config) -> Settings | None:
    """The judge that `calibrate` may ask, or None: serve.judge, or else evaluate.judge, asked as the evaluation asks it."""
    model, section = config.serve.judge or config.evaluate.judge, config.evaluate
    if model is None:
        return None
    return Settings.of(
        model, mode=section.judge_mode, rubric=section.judge_rubric, repeats=1, confidence=section.confidence
    )


def load_config(project: Project, overrides: Sequence[str] = ()) -> Config:
    """Reads distil.yaml and applies `a.b=value` overrides. Raises UserError: no file, bad YAML, unknown key, bad value."""
    if not project.config.exists():
        raise UserError(
            f"{project.root} is not a Distil project: it has no distil.yaml. Create one with `distil init DIR`, or point to "
            "it with --project DIR."
        )
    return override_config(
        read_data(project.config.read_text(encoding="utf-8"), str(project.config)), str(project.config), overrides
    )


def read_data(text: str, source: str) -> dict[str, object]:
    """The sections of a distil.yaml as plain data. Raises UserError that names `source`."""
    try:
        data = yaml.load(text, Loader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", error)
        raise UserError(f"{source}{where}: not valid YAML ({problem}). Check the indentation and quotes.") from None
    if not isinstance(data, dict):
        raise UserError(
            f"{source}: found a {type(data).__name__}, expected sections such as `prompts:` and `teachers:`."
        )
    return {str(key): _unshared(value) for key, value in data.items()}


def _unshared(value: object) -> object:
    """A copy in which two names of one YAML anchor are two things: a setting changes only what it names."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def override_config(data: dict[str, object], source: str, overrides: Sequence[str]) -> Config:
    """The config in `data` (which is changed) with `a.b=value` overrides applied. Raises UserError that names `source`."""
    for override in overrides:
        place(data, *parse_override(override))
    return parse_config(data, " with ".join([source, *(f"--set {o.partition('=')[0]}" for o in overrides)]))


def parse_config(data: Mapping[str, object], source: str) -> Config:
    """Validates a config given as plain data; errors name `source`."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: " + "; ".join(_faults(error))) from None


def parse_override(override: str) -> tuple[list[str], object]:
    """The key's parts and the value of `a.b=value`. Raises UserError."""
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set: found {override!r}, expected KEY=VALUE, such as --set train.epochs=2.")
    try:
        return path.strip().split("."), yaml.load(text, Loader)
    except yaml.YAMLError:
        return path.strip().split("."), text


def place(data: dict[str, object], keys: Sequence[str], value: object) -> None:
    """Sets the value of one key, given by its parts, in the file's data. Raises UserError."""
    path = ".".join(keys)
    node: Node = data
    for index, key in enumerate(keys[:-1]):
        node = _child(node, key, ".".join(keys[: index + 1]))
    if isinstance(node, list):
        node[_position(node, keys[-1], path)] = value
    else:
        node[keys[-1]] = value


def _child(node: Node, key: str, path: str) -> Node:
    if isinstance(node, list):
        child = node[_position(node, key, path)]
    else:
        if node.get(key) is None:
            node[key] = {}
        child = node[key]
    if not isinstance(child, (dict, list)):
        raise UserError(f"--set {path}: {path!r} is a value ({child!r}) with no keys below it.")
    return child


def _position(items: list[object], key: str, path: str) -> int:
    if not key.isdigit() or int(key) >= len(items):
        raise UserError(
            f"--set {path}: expected a list position from 0 to {len(items) - 1}, as in teachers.0.model=..., found {key!r}."
        )
    return int(key)


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors()[:4]:
        path = [str(part) for part in fault["loc"] if not str(part).startswith(CHOICES)]
        if fault["type"] == "extra_forbidden":
            parent = ".".join(path[:-1])
            valid = _valid_keys(path[:-1])
            where = f"in section {parent!r}" if parent else "at the top level"
            hint = did_you_mean(path[-1], valid) or f" Valid keys: {', '.join(valid)}."
            yield f"unknown key {path[-1]!r} {where}.{hint}"
        elif fault["type"] == "missing":
            yield f"key {'.'.join(path)!r} is missing and has no default"
        elif fault["type"] == "model_type":
            yield f"{'.'.join(path)}: found {fault['input']!r}, expected a section with keys: {', '.join(_valid_keys(path))}"
        else:
            message = fault["msg"][:1].lower() + fault["msg"][1:]
            yield f"{'.'.join(path)}: {message} (found {fault['input']!r})"


def _valid_keys(path: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        inner = section_type(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def section_type(annotation: object) -> type[BaseModel] | None:
    """The model inside Model, Model | None or list[Model]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list):
        for argument in typing.get_args(annotation):
            if (section := section_type(argument)) is not None:
                return section
    return None
