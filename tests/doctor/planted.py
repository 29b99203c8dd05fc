"""A small finished project, and faults to plant into copies of it: files only, no model runs.

Not a fixture file: `finished(folder)` makes the project, and each function of PLANTED changes a copy of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distil.bundled.paths import MODELS
from distil.collect.stage import settings_of
from distil.config import load_config
from distil.config_file import edit_config
from distil.models.saved_template import template_hash, tokenizer_hash
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json, write_lines
from distil.runs.manifest import stamp
from distil.runs.schemas.training_run import TrainingRun
from tests.report.sample import make_project

Row = dict[str, Any]
CONFIG = """task: support triage
prompts:
  path: prompts.jsonl
teachers:
  - model: openai/gpt-4o-mini
student:
  model: bundled/student
"""


def finished(folder: Path) -> Project:
    """400 training rows, 200 test prompts, one student with a healthy curve, evaluated and good."""
    project = make_project(folder, train=400, test=200, students=("sft",), right={"teacher": 0.97, "sft": 0.97})
    project.config.write_text(CONFIG)
    curve(project, [0.3 + 5 * 0.985**step for step in range(10, 401, 10)])
    model = project.model("sft")
    model.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "chat_template.jinja"):
        if (MODELS / "student" / name).exists():
            (model / name).write_bytes((MODELS / "student" / name).read_bytes())
    change_manifest(project, notes={"template": template_hash(model), "tokenizer": tokenizer_hash(model)})
    as_configured(project)
    return project


def as_configured(project: Project) -> None:
    """Manifests of stages that ran with distil.yaml as it is, on the files as they are."""
    config = load_config(project)
    for stage, name in (("prompts", None), ("collect", None), ("curate", None), ("train", "sft"), ("evaluate", "sft")):
        path = project.stage(stage, name) / "manifest.json"
        manifest = read_json(path)
        section = getattr(config, stage).model_dump(mode="json")
        manifest["config"] = settings_of(config.collect, config.teachers) if stage == "collect" else section
        manifest["outputs"] = {key: stamp(project.root / key).model_dump() for key in manifest["outputs"]}
        if stage == "train":
            manifest["notes"] |= {"student": config.student.model_dump(mode="json")}
        write_json(path, manifest)


def curve(project: Project, losses: list[Any], *, rates: list[float] | None = None, **columns: list[Any]) -> None:
    """metrics.jsonl of `sft` with these losses every ten steps, under a cosine schedule from 1.6e-3."""
    rows = []
    for number, loss in enumerate(losses):
        rate = rates[number] if rates else 1.6e-3 * (1 - number / len(losses))
        row = {"step": 10 * (number + 1), "epoch": 3 * (number + 1) / len(losses), "loss": loss, "learning_rate": rate}
        rows.append(row | {name: values[number] for name, values in columns.items()})
    write_lines(project.metrics("sft"), map(json.dumps, rows))


def change_manifest(project: Project, *, notes: Row | None = None, config: Row | None = None) -> None:
    """Other notes and settings in the manifest of `sft`."""
    path = project.stage("train", "sft") / "manifest.json"
    manifest = read_json(path)
    manifest["notes"] |= notes or {}
    manifest["config"] |= config or {}
    write_json(path, manifest)


def rows(project: Project, split: str, change: Callable[[int, Row], None]) -> None:
    """Changes lines of a split in place."""
    path = project.split(split)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):
        change(number, line)
    write_lines(path, map(json.dumps, lines))


def answers(project: Project, text: Callable[[int], str | None], split: str = "train") -> None:
    """Other answers in a split; None leaves one as it is."""

    def change(number: int, line: Row) -> None:
        if (said := text(number)) is not None:
            line["messages"][-1]["content"] = said

    rows(project, split, change)


def said(project: Project, model: str, text: Callable[[int, str], str]) -> None:
    """Other answers of a model in the evaluation of `sft`."""
    path = project.predictions("sft")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    mine = [line for line in lines if line["model"] == model]
    for number, line in enumerate(mine):
        line["text"] = text(number, line["text"])
    write_lines(path, map(json.dumps, lines))


def run(project: Project, **changes: Any) -> None:
    """run.json of an unfinished training of `sft`."""
    (project.stage("train", "sft") / "manifest.json").unlink(missing_ok=True)
    made = TrainingRun(
        host="elsewhere",
        pid=1,
        started="2026-11-29T04:00:00+00:00",
        updated="2026-11-29T05:00:00+00:00",
        step=40,
        steps=600,
        outcome="failed",
        memory=20 << 30,
        memory_limit=24 << 30,
        train={"method": "sft", "epochs": 3.0},
        student={"model": "bundled/student"},
    )
    made = TrainingRun.model_validate(made.model_dump() | changes)
    write_json(project.training_run("sft"), made.model_dump(mode="json"))


def keep(project: Project, *settings: str) -> None:
    """Settings in distil.yaml."""
    edit = edit_config(project.config.read_text(), settings, "distil.yaml")
    project.config.write_text(edit.after)


def label(number: int) -> str:
    return random.Random(number).choice(["refund", "delivery", "billing", "cancel"])


def field(name: str, value: str) -> Callable[[int, str], str]:
    """Answers whose JSON has this value in a field."""
    return lambda number, text: json.dumps(json.loads(text) | {name: value})
