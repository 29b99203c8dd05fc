"""`distil export`: a student for other tools, or the data in their formats."""

from __future__ import annotations

from pathlib import Path

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, show_rows
from distil.errors import UserError
from distil.formats import FORMATS


@distil_command("distil export logits --to safetensors --out my-model")
@click.argument("name", required=False, shell_complete=completion.students)
@click.option(
    "--to",
    "kind",
    type=click.Choice(["safetensors", "adapter", "gguf"]),
    default="safetensors",
    show_default=True,
    help="Format of the student.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "f32", "f16", "q8_0"]),
    help="float32, bfloat16 or float16 for safetensors (default: as trained); f32, f16 or q8_0 for gguf (default: f16).",
)
@click.option(
    "--data",
    "data_format",
    metavar="FORMAT",
    help=f"Export the curated examples instead of a student: {', '.join(FORMATS)}.",
)
@click.option(
    "--check",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Only check a file that is there already, whoever wrote it, against the rules of --data.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Output folder, or a file for gguf (default: work/train/NAME/export or gguf, or work/curate/export).",
)
@click.option(
    "--accept-difference",
    is_flag=True,
    help="Export although the copy's distributions differ by more than rounding; the figures are kept in parity.json.",
)
def command(
    context: Context,
    name: str | None,
    kind: str,
    dtype: str | None,
    data_format: str | None,
    check: Path | None,
    out: Path | None,
    accept_difference: bool,
) -> None:
    """Export a student (the copy is checked against the original), or the data in another trainer's format."""
    if check is not None:
        _check(context, data_format, check)
        return
    config = context.config()
    if data_format:
        from distil.curate import export

        if name is not None:
            raise UserError(f"--data exports the curated examples, which no student has a part in: leave out {name!r}.")
        result = export.run(context.project, data_format, out, settings=config.curate.model_dump(mode="json"))
        context.emit(result, lambda: show_rows("Exported", result.rows()))
        return
    from distil.cli.students import pick_student
    from distil.train import exporting

    exported = exporting.run(
        context.project,
        pick_student(context, name),
        kind=kind,
        out=out,
        dtype=dtype,
        accept=accept_difference,
    )
    context.emit(exported, lambda: show_rows("Exported", exported.rows()))


def _check(context: Context, data_format: str | None, path: Path) -> None:
    """Prints what the file holds. Raises UserError with what its reader would refuse."""
    from distil.formats import find_format
    from distil.formats.check import check_file

    if data_format is None:
        raise UserError(f"--check {path}: by which rules? Add --data with one of {', '.join(FORMATS)}.")
    report = check_file(find_format(data_format), path, "validation" if "valid" in path.name else "train")
    report.require(str(path))
    context.emit(report, lambda: show_rows(f"{path.name}: fits {report.format}", report.table()))
