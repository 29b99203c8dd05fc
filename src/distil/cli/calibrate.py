"""`distil calibrate`: the fallback threshold and its promise."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command, show_rows


@distil_command("distil calibrate logits --set serve.risk=0.05")
@click.argument("name", required=False)
def command(context: Context, name: str | None) -> None:
    """Find from which confidence on the student NAME may answer itself, and state the promise (default: the last one trained)."""
    from distil.cli.students import pick_student
    from distil.evaluate.similarity import cosines
    from distil.serve.calibration import calibrate

    config = context.config()
    result = calibrate.run(
        context.project,
        config.serve,
        name=pick_student(context.project, name),
        similarity=lambda a, b: cosines(a, b).tolist(),
    )
    context.emit(result, lambda: show_rows("", result.rows()))
