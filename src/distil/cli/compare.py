"""`distil compare`: students on the same prompts, paired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, echo, table

if TYPE_CHECKING:
    from distil.evaluate.compare import Comparison
    from distil.runs.schemas.interval import Difference


@distil_command("distil compare sft logits", several_projects=True)
@click.argument("names", nargs=-1, required=True, metavar="A B [C ...]", shell_complete=completion.students)
def command(context: Context, names: tuple[str, ...]) -> None:
    """Compare evaluated students on the prompts that all answered: paired differences, corrected for their number.

    Give --project twice to compare students of two projects with the same prompts: one NAME is then taken from each.
    """
    from distil.config import load_config
    from distil.evaluate import compare

    for project in context.projects:
        load_config(project, context.overrides)
    comparison = compare.run(context.projects, names)
    context.emit(comparison, lambda: show(comparison))


def show(comparison: Comparison) -> None:
    """Means of all students, differences of each two, then the conclusion."""
    title = f"{', '.join(comparison.students)} on {comparison.shared_prompts:,} prompts"
    if len(comparison.students) == 2:
        (pair,) = comparison.pairs
        rows = []
        for row in pair.differences:
            label = comparison.metrics[row.metric].label
            both = (_mean(comparison, name, row.metric) for name in (pair.a, pair.b))
            rows.append((label, *both, *_numbers(row)))
        table(title, ("metric", pair.a, pair.b, "difference", "interval", "p (Holm)"), rows)
    else:
        names = comparison.students
        means = [
            (info.label, *(_mean(comparison, name, metric) for name in names))
            for metric, info in comparison.metrics.items()
        ]
        table(title, ("metric", *names), means)
        label = comparison.metrics[comparison.metric].label
        rows = [(f"{pair.a} - {pair.b}", *_numbers(pair.differences[0])) for pair in comparison.pairs]
        table(f"{label}, each two", ("students", "difference", "interval", "p (Holm)"), rows)
    echo(comparison.sentence)
    for note in comparison.notes:
        echo(f"- {note}", dim=True)


def _mean(comparison: Comparison, name: str, metric: str) -> str:
    interval = comparison.means[name].get(metric)
    return "-" if interval is None else f"{interval.mean:.3f}"


def _numbers(row: Difference) -> tuple[str, str, str]:
    """Difference, interval and corrected p value."""
    interval = row.difference
    bounds = "" if interval.low is None or interval.high is None else f"[{interval.low:+.3f}, {interval.high:+.3f}]"
    return f"{interval.mean:+.3f}", bounds, "" if row.p_holm is None else f"{row.p_holm:.3g}"
