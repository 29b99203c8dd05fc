"""`distil evaluate`: is the student good enough?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, table

if TYPE_CHECKING:
    from distil.runs.schemas.summary import Summary

COLORS = {"SHIP": "green", "SHIP WITH FALLBACK": "yellow", "DO NOT SHIP": "red"}


@distil_command("distil evaluate logits --project mytask")
@click.argument("name", required=False)
def command(context: Context, name: str | None) -> None:
    """Compare student NAME (default: the last one trained) with its teacher and the baseline on held-out prompts."""
    from distil.cli.students import pick_student
    from distil.evaluate import stage

    config = context.config()
    student = pick_student(context.project, name)
    summary = stage.run(
        context.project, config.evaluate, name=student, teachers=config.teachers, student=config.student
    )
    context.emit(summary, lambda: show(summary))


def show(summary: Summary) -> None:
    """A table of metrics by model, the verdict, and notes."""
    rows = summary.rows()
    title = f"{summary.name} on {summary.test_prompts:,} held-out prompts, {summary.confidence:.0%} intervals"
    table(title, list(rows[0]) if rows else ("metric",), [list(row.values()) for row in rows])
    click.echo(
        click.style(summary.verdict.decision, fg=COLORS[summary.verdict.decision], bold=True)
        + f": {summary.verdict.sentence}"
    )
    for note in summary.notes:
        click.secho(f"- {note}", dim=True)
