"""`distil evaluate`: is the student good enough?"""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command


@distil_command("distil evaluate logits --project mytask")
@click.argument("name", required=False)
def command(context: Context, name: str | None) -> None:
    """Compare a student with its teacher and the baseline on held-out prompts. NAME = which (default: the last one trained)."""
    from distil.cli.students import pick_student
    from distil.evaluate import stage

    config = context.config()
    result = stage.run(
        context.project,
        config.evaluate,
        name=pick_student(context.project, name),
        teachers=config.teachers,
        student=config.student,
    )
    context.emit(result, lambda: click.echo(str(result)))
