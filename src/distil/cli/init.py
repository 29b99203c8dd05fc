"""`distil init`: a project folder with a commented distil.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from distil.cli.options import Context, distil_command, echo


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
    metavar="NAME",
    help="Start from a bundled task with its own prompts, teacher and student: triage.",
)
def command(
    context: Context, folder: Path, teacher: str | None, student: str | None, prompts: Path | None, template: str | None
) -> None:
    """Make a project folder DIR with a commented distil.yaml."""
    from distil.new_project import new_project

    project = new_project(
        folder, teacher=teacher, student=student, prompts=prompts, template=template, overrides=context.overrides
    )
    created = {"project": project.root, "config": project.config, "next": f"distil plan --project {folder}"}

    def show() -> None:
        echo(f"Made {project.config}. Review it, then run: {created['next']}")

    context.emit(created, show)
