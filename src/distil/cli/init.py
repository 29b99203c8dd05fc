"""`distil init`: a project folder with a commented distil.yaml; in a terminal three questions fill what no option said."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from distil.cli.options import Context, as_typed, distil_command, echo, say


@distil_command("distil init mytask --teacher openai/gpt-5-mini --student Qwen/Qwen3-0.6B --prompts questions.csv")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--teacher",
    metavar="MODEL",
    help="For example openai/gpt-5-mini, anthropic/..., http://host:8000/v1#name, local/PATH, recorded/FILE.jsonl.",
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
    metavar="NAME",
    help="Start from a task: triage (with its own teacher and student), extraction, classification, summarizing, chat.",
)
@click.option("--all", "whole", is_flag=True, help="Write every key with its meaning, not only what is worth a look.")
@click.option("--yes", is_flag=True, help="Ask nothing; what no option says is left at its default.")
def command(
    context: Context,
    folder: Path,
    teacher: str | None,
    student: str | None,
    prompts: Path | None,
    template: str | None,
    whole: bool,
    yes: bool,
) -> None:
    """Make a project folder DIR with a commented distil.yaml. In a terminal it asks for what no option says."""
    from distil.cli.questions import Wanted, ask
    from distil.config import load_config
    from distil.new_project import check_folder, new_project, remarks
    from distil.runs.artifacts import Project

    project = Project(folder)
    check_folder(project)
    wanted = Wanted(teacher, student, prompts, template)
    if not yes and not context.as_json and sys.stdin.isatty() and sys.stdout.isatty():
        wanted = ask(project, wanted)
    others = sorted(path.name for path in project.root.iterdir()) if project.root.exists() else []
    new_project(folder, **wanted._asdict(), overrides=context.overrides, whole=whole)
    here = project.root == Path.cwd()
    following = f"{as_typed()} plan" + ("" if here else f" --project {shlex.quote(str(folder))}")
    said = remarks(project, load_config(project))
    created = {"project": project.root, "config": project.config, "next": following, "remarks": said}

    def show() -> None:
        if others:
            say(f"{folder} was there already, with {_named(others)}; nothing of it was changed.")
        for remark in said:
            say(remark)
        echo(f"Made {project.config}. Review it, then run: {following}")

    context.emit(created, show)


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
