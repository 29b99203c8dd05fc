"""`distil compare`: two students on the same prompts, paired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, echo, table

if TYPE_CHECKING:
    from distil.evaluate.compare import Comparison


@distil_command("distil compare sft logits")
@click.argument("a")
@click.argument("b")
def command(context: Context, a: str, b: str) -> None:
    """Compare two evaluated students, A and B, on the prompts both answered: paired differences with intervals."""
    from distil.evaluate import compare

    context.config()
    comparison = compare.run(context.project, a, b)
    context.emit(comparison, lambda: show(comparison))


def show(comparison: Comparison) -> None:
    """One row per metric, then the conclusion."""
    rows = []
    for difference in comparison.differences:
        interval = difference.difference
        bounds = "" if interval.low is None or interval.high is None else f"[{interval.low:+.3f}, {interval.high:+.3f}]"
        info = comparison.metrics.get(difference.metric)
        means = [f"{comparison.means[name][difference.metric].mean:.3f}" for name in (comparison.a, comparison.b)]
        p_holm = "" if difference.p_holm is None else f"{difference.p_holm:.3g}"
        label = info.label if info else difference.metric
        rows.append((label, *means, f"{interval.mean:+.3f}", bounds, p_holm))
    title = f"{comparison.a} vs. {comparison.b} on {comparison.shared_prompts:,} prompts"
    table(title, ("metric", comparison.a, comparison.b, "difference", "interval", "p (Holm)"), rows)
    echo(comparison.sentence)
