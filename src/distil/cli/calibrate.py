"""`distil calibrate`: the fallback threshold and its guarantee, and what else the student and the teacher could share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, dollars, echo, show_rows, table
from distil.errors import GateNotReached

if TYPE_CHECKING:
    from distil.runs.schemas.calibration import Calibration, FrontierPoint

BAR = 40
"""Characters of the plot for a share of 1."""


@distil_command("distil calibrate logits --set serve.risk=0.05")
@click.argument("name", required=False, shell_complete=completion.students)
def command(context: Context, name: str | None) -> None:
    """Find the confidence above which student NAME may answer by itself, with a guarantee (default: as in `distil status`).

    Exits with 4 when nothing is certified: the gateway would let the teacher answer everything. With `serve.bad: judge` the
    judge's answers cost money, up to serve.judge_budget_usd; exits with 3 when that is reached.
    """
    from distil.cli.students import pick_student
    from distil.pipeline import calibrate_student

    result = calibrate_student(context.project, context.config(), pick_student(context, name))
    context.emit(result, lambda: show(result))
    if result.threshold is None:
        raise GateNotReached(f"Nothing is certified for {result.student} at a risk of {result.risk:g}.")


def show(result: Calibration) -> None:
    """Prints whether something is certified, what is promised, and the frontier."""
    if result.threshold is None:
        echo(f"NOT CERTIFIED: the teacher answers everything that {result.student} is asked.", fg="red", bold=True)
    else:
        echo(f"CERTIFIED: {result.student} answers about {result.coverage:.0%} of the requests.", fg="green", bold=True)
    show_rows("", result.rows())
    show_frontier(result)


def show_frontier(result: Calibration) -> None:
    """A row for each share of answers by the student; the bar shows how many of them are bad, up to `risk`."""
    if not result.frontier:
        return
    most = max(max(point.high for point in result.frontier), result.risk)
    rows = [
        (
            f"{point.share:.0%}",
            f"{point.bad:.1%}",
            f"{point.low:.1%} to {point.high:.1%}",
            f"{point.quality:.1%}",
            "?" if point.usd_per_month is None else dollars(point.usd_per_month),
            _seconds(point.p50_s),
            _seconds(point.p95_s),
            _bar(point, result.risk, most),
        )
        for point in result.frontier
    ]
    columns = (
        "student answers",
        "bad",
        "95%",
        "good overall",
        "$ a month",
        "p50 s",
        "p95 s",
        "bad, its interval, | risk",
    )
    table(
        f"What the test prompts show ({result.frontier_prompts:,}; estimates, nothing promised)", columns, rows, left=0
    )
    missing = [
        text
        for text, value in (
            ("the dollars: distil cost", result.frontier[0].usd_per_month),
            (f"the seconds: distil evaluate {result.student}", result.frontier[0].p50_s),
        )
        if value is None
    ]
    if missing:
        echo(f"Unknown are {' and '.join(missing)}.")


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _bar(point: FrontierPoint, risk: float, most: float) -> str:
    """Such as `  --o---|   `: the interval, the estimate, the risk of the promise."""
    marks = [" "] * (BAR + 1)
    places = [min(BAR, round(value / most * BAR)) for value in (point.low, point.high, point.bad, risk)]
    for place in range(places[0], places[1] + 1):
        marks[place] = "-"
    marks[places[3]] = "|"
    marks[places[2]] = "o"
    return "".join(marks)
