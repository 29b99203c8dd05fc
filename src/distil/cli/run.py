"""`distil run`: every stage that is missing or stale, in order."""

from __future__ import annotations

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, echo


@distil_command("distil run --project mytask --as small --set train.epochs=2")
@click.option(
    "--as",
    "name",
    metavar="NAME",
    shell_complete=completion.students,
    help="Name of the student (default: the last one trained by train.method).",
)
def command(context: Context, name: str | None) -> None:
    """Run every stage that is missing or stale, in order."""
    from distil.pipeline import run_missing
    from distil.stage_states import Step

    def announce(step: Step) -> None:
        echo(f"\n$ {step.command}", bold=True, nl=False, err=True)
        echo(f"   ({step.why})", dim=True, err=True)

    ran = run_missing(context.project, context.config(), name=name, on_step=announce)
    value = {"ran": [{"stage": s.stage, "name": s.name} for s in ran], "report": context.project.report}

    def show() -> None:
        echo("Nothing to do: every stage is up to date." if not ran else f"{len(ran)} stages done.")
        echo(f"Report: {context.project.report}")

    context.emit(value, show)
