"""`distil curate`: from answers to a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, echo, show_rows

if TYPE_CHECKING:
    from distil.curate.stage import CurateResult
    from distil.runs.schemas.evidence import Reason, Sample

TITLES = {
    "dropped": "Dropped",
    "corrected": "Corrected and kept",
    "suspicious": "Suspicious, but kept",
    "not_chosen": "Not chosen",
}


@distil_command("distil curate --set curate.near_duplicates=0.8")
@click.option(
    "--learning-curve",
    is_flag=True,
    help="Would more data help? Trains on quarters, halves and all of the curated rows, and forecasts. Resumes.",
)
def command(context: Context, learning_curve: bool) -> None:
    """Filter the answers, remove duplicates, split without leakage; each dropped answer is listed with the reason."""
    from distil.curate import stage
    from distil.pipeline import curation_judge, ensure

    config = context.config()
    if learning_curve:
        from distil.cli.learning_curve import show_curve

        ensure(context.project, config, "curate", before="curate --learning-curve")
        show_curve(context)
        return
    ensure(context.project, config, "collect", before="curate")
    result = stage.run(
        context.project,
        config.curate,
        judge=curation_judge(context.project, config),
        teachers=[t.model for t in config.teachers],
        student=config.student,
        max_length=config.train.max_length,
    )
    context.emit(result, lambda: _show(result))


def _show(result: CurateResult) -> None:
    from distil.cli.options import width

    show_rows("Curated", result.rows())
    for line, bold in reason_lines(result.reasons, width()):
        echo(line, bold=bold)


def reason_lines(reasons: Sequence[Reason], columns: int) -> list[tuple[str, bool]]:
    """(line, bold) of the list of reasons: each with its count and its examples, cut to the width of the terminal."""
    lines: list[tuple[str, bool]] = []
    for kind, title in TITLES.items():
        rows = [reason for reason in reasons if reason.kind == kind]
        if not rows:
            continue
        names = max(len(row.name) for row in rows)
        counts = max(len(f"{row.count:,}") for row in rows)
        lines.append((title, True))
        for row in rows:
            head = f"  {row.name:<{names}}  {row.count:>{counts},}  "
            for example in row.examples:
                lines.append((cut(head + _example(example), columns), False))
                head = " " * len(head)
        lines.append(("", False))
    return lines


def _example(sample: Sample) -> str:
    """What is shown of an example: its words, with the reason where the words alone don't tell."""
    if not sample.text:
        return sample.reason
    quoted = "“" in sample.reason
    return f"“{sample.text}”" if quoted else f"{sample.reason}: “{sample.text}”"


def cut(text: str, columns: int) -> str:
    """One line of at most so many columns; Chinese and emoji take two."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= columns else set_cell_size(text, columns - 1).rstrip() + "…"
