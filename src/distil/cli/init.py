"""`distil init`: a project folder with a commented distil.yaml."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from distil.cli.options import Context, distil_command, echo

STARTER_FILE = "prompts.jsonl"
STARTER_PROMPTS = (
    "Explain what a message queue is to a new colleague.",
    "Summarize this complaint in one sentence: the parcel came two weeks late and the box was open.",
    "Write a Python function that checks whether a word is a palindrome.",
)
TEMPLATES = ("triage",)


@distil_command("distil init mytask --teacher openai/gpt-5-mini --student Qwen/Qwen3-0.6B --prompts questions.csv")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--teacher",
    metavar="MODEL",
    help="For example openai/gpt-5-mini, anthropic/..., http://host:8000/v1#name, local/PATH.",
)
@click.option("--student", metavar="MODEL", help="Hugging Face id or folder, such as Qwen/Qwen3-0.6B.")
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your prompts: JSONL, JSON, CSV, TXT, Parquet, a data set or logs; they are checked at once.",
)
@click.option(
    "--template",
    type=click.Choice(TEMPLATES),
    help="Start from a bundled task with its own prompts, teacher and student.",
)
def command(
    context: Context, folder: Path, teacher: str | None, student: str | None, prompts: Path | None, template: str | None
) -> None:
    """Make a project folder DIR with a commented distil.yaml."""
    from distil.config import override_config
    from distil.config_file import write_config
    from distil.errors import UserError
    from distil.runs.artifacts import Project

    project = Project(folder)
    if project.config.exists():
        raise UserError(f"{project.config} already exists. Edit it, or choose another folder: distil init DIR.")
    data = _sections(folder, template, str(prompts.resolve()) if prompts else STARTER_FILE)
    recorded = _recorded_file(teacher, project.root) if teacher else None
    if teacher:
        data["teachers"] = [{"model": f"recorded/{recorded.name}" if recorded else teacher}]
    if student:
        data["student"] = {"model": student}
    config = override_config(data, "distil init", context.overrides)
    if prompts is not None:
        from distil.prompts.stage import check

        check((project.root / config.prompts.path).resolve(), config.prompts.attachments)
    text = write_config(config)
    project.root.mkdir(parents=True, exist_ok=True)
    if recorded is not None and recorded.parent != project.root:
        shutil.copyfile(recorded, project.root / recorded.name)
    if not prompts:
        _write_prompts(project.root / STARTER_FILE, template)
    project.config.write_text(text, encoding="utf-8")
    created = {"project": project.root, "config": project.config, "next": f"distil plan --project {folder}"}

    def show() -> None:
        echo(f"Made {project.config}. Review it, then run: {created['next']}")

    context.emit(created, show)


def _recorded_file(teacher: str, root: Path) -> Path | None:
    """The file of a recorded teacher, which the project takes along; None for any other teacher. Raises UserError."""
    from distil.errors import UserError

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
    from distil.bundled.triage import SYSTEM

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
        from distil.bundled.triage import write_prompts

        write_prompts(path)
        return
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in STARTER_PROMPTS), encoding="utf-8")
