"""`distil calibrate`: the fallback threshold and its guarantee."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command, show_rows


@distil_command("distil calibrate logits --set serve.risk=0.05")
@click.argument("name", required=False)
def command(context: Context, name: str | None) -> None:
    """Find the confidence above which student NAME may answer by itself, with a guarantee (default: as in `distil status`)."""
    from distil.cli.students import pick_student
    from distil.evaluate.similarity import cosines
    from distil.serve.calibration import calibrate

    config = context.config()
    result = calibrate.run(
        context.project,
        config.serve,
        name=pick_student(context, name),
        teachers=config.teachers,
        system=config.prompts.system,
        similarity=lambda a, b: cosines(a, b).tolist(),
    )
    context.emit(result, lambda: show_rows("", result.rows()))
