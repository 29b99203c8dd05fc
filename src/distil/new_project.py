"""A new project: its folder with a commented distil.yaml, and the prompts and answers that it is started with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from distil.bundled.triage import SYSTEM, write_prompts
from distil.config import override_config
from distil.config_file import write_config
from distil.errors import UserError, did_you_mean
from distil.prompts.stage import check
from distil.runs.artifacts import Project

STARTER_FILE = "prompts.jsonl"
STARTER_PROMPTS = (
    "Explain what a message queue is to a new colleague.",
    "Summarize this complaint in one sentence: the parcel came two weeks late and the box was open.",
    "Write a Python function that checks whether a word is a palindrome.",
)
TEMPLATES = ("triage",)


def new_project(
    folder: Path,
    *,
    teacher: str | None = None,
    student: str | None = None,
    prompts: Path | None = None,
    template: str | None = None,
    overrides: Sequence[str] = (),
) -> Project:
    """Makes the folder with its distil.yaml; prompts and recorded answers are checked at once.

    template: one of TEMPLATES. Raises UserError: there is a project already, or a setting or a file is wrong.
    """
    project = Project(folder)
    if project.config.exists():
        raise UserError(f"{project.config} already exists. Edit it, or choose another folder: distil init DIR.")
    if template is not None and template not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise UserError(f"There is no template {template!r}.{did_you_mean(template, TEMPLATES)} Templates: {known}.")
    data = _sections(folder, template, str(prompts.resolve()) if prompts else STARTER_FILE)
    recorded = _recorded_file(teacher, project.root) if teacher else None
    if teacher:
        data["teachers"] = [{"model": f"recorded/{recorded.name}" if recorded else teacher}]
    if student:
        data["student"] = {"model": student}
    config = override_config(data, "distil init", overrides)
    if prompts is not None:
        check((project.root / config.prompts.path).resolve(), config.prompts.attachments)
    text = write_config(config)
    project.root.mkdir(parents=True, exist_ok=True)
    if recorded is not None and recorded.parent != project.root:
        shutil.copyfile(recorded, project.root / recorded.name)
    if not prompts:
        _write_prompts(project.root / STARTER_FILE, template)
    project.config.write_text(text, encoding="utf-8")
    return project


def _recorded_file(teacher: str, root: Path) -> Path | None:
    """The file of a recorded teacher, which the project takes along; None for any other teacher. Raises UserError."""
    if not teacher.startswith("recorded/"):
        return None
    tried = [folder / name for name in (teacher.removeprefix("recorded/"), teacher) for folder in (Path.cwd(), root)]
    found = next((path.resolve() for path in tried if path.is_file()), None)
    if found is None:
        raise UserError(
            f"--teacher {teacher}: {tried[0]} is not there. Expected recorded/FILE.jsonl with one JSON object with a prompt and "
            "its answer on each line."
        )
    copy = root / found.name
    if copy.exists() and copy.resolve() != found and copy.read_bytes() != found.read_bytes():
        raise UserError(
            f"{copy} already exists and differs from {found}. Rename one of them, or choose another folder."
        )
    return found


def _sections(folder: Path, template: str | None, prompts: str) -> dict[str, object]:
    """The config's sections that are not left at their defaults."""
    if not template:
        teacher = {"model": "openai/gpt-5-mini"}
        return {"task": folder.resolve().name, "prompts": {"path": prompts}, "teachers": [teacher]}
    return {
        "task": "support-triage",
        "prompts": {"path": prompts, "system": SYSTEM},
        "teachers": [
            {"model": "bundled/teacher", "sampling": {"max_tokens": 80}, "price": {"input": 0.25, "output": 2.0}}
        ],
        "student": {"model": "bundled/student"},
        "train": {"learning_rate": 2.0e-3, "epochs": 4, "batch_size": 16},
        "cost": {"student_host": {"usd_per_hour": 0.08}},
    }


def _write_prompts(path: Path, template: str | None) -> None:
    """The template's prompts, or a starter file to replace; an existing file is left alone."""
    if path.exists():
        return
    if template:
        write_prompts(path)
        return
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in STARTER_PROMPTS), encoding="utf-8")
