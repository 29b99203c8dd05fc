"""`distil until SHIP --budget 40`: answers are bought in rounds until the verdict is proven, or cannot be for the money."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from distil.cli import completion
from distil.cli.evaluate import COLORS
from distil.cli.options import Context, Dollars, distil_command, dollars, echo, here, say, table

if TYPE_CHECKING:
    from distil.runs.schemas.until import Target, UntilRound, UntilSummary
    from distil.until.run import Until
    from distil.until.wish import Forecast


@distil_command("distil until SHIP --budget 40 --project mytask")
@click.argument("target", metavar="SHIP")
@click.option(
    "--budget",
    type=Dollars(),
    required=True,
    metavar="USD",
    help="Hard cap on all that `until` ever pays in this project; takes the place of the stages' budget_usd.",
)
@click.option("--accept", type=click.Choice(["fallback"]), help="Be content with SHIP WITH FALLBACK.")
@click.option(
    "--as",
    "name",
    metavar="NAME",
    shell_complete=completion.students,
    help="Name of the student (default: as in `distil run`).",
)
@click.option("--keep-caps", is_flag=True, help="Each stage also keeps to its own budget_usd in distil.yaml.")
@click.option("--yes", is_flag=True, help="Do not ask before spending.")
@click.option("--dry-run", is_flag=True, help="Send nothing; show the rounds and what they would cost.")
def command(
    context: Context, target: str, budget: float, accept: str | None, name: str | None, yes: bool, **options: bool
) -> None:
    """Collect, train and evaluate in rounds until SHIP is proven, or shown to be out of reach for the money.

    Every look is paid from one error budget, so that SHIP stays as sure as after a single look. Resumes wherever it was stopped.
    """
    from distil.errors import GateNotReached
    from distil.pipeline import ensure
    from distil.stage_states import current_student
    from distil.until.run import Until
    from distil.until.wish import Wish

    wanted = _target(target, accept)
    config = context.config()
    ensure(context.project, config, "prompts", before="until")
    student = name or current_student(context.project, config)
    wish = Wish(wanted, budget, student, keep_caps=options["keep_caps"])
    until = Until(context.project, config, wish._replace(typed=here(wish.command, context.project)))
    if options["dry_run"]:
        forecast = until.forecast()
        context.emit(forecast, lambda: show_forecast(forecast, budget))
        return
    if not until.done and not yes and not _agreed(context, until, budget):
        say("Nothing was sent.")
        return
    summary = until.run(lambda found: say(_line(found)))
    context.emit(summary, lambda: show(summary))
    if summary.outcome != "proven":
        raise GateNotReached(f"{wanted} was not reached: {summary.outcome}.")


def _target(text: str, accept: str | None) -> Target:
    """Raises UserError for anything but SHIP."""
    from distil.errors import UserError

    if text.strip().upper() != "SHIP":
        raise UserError(
            f"`distil until` goes on until a verdict is proven, and found {text!r}. Expected: distil until SHIP --budget USD, "
            "with --accept fallback where SHIP WITH FALLBACK is enough."
        )
    return "SHIP WITH FALLBACK" if accept else "SHIP"


def _agreed(context: Context, until: Until, budget: float) -> bool:
    """Shows the rounds and asks, where somebody can answer."""
    forecast = until.forecast()
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or context.as_json or forecast.usd[-1] <= forecast.spent:
        return True
    show_forecast(forecast, budget)
    return click.confirm(f"Spend up to {dollars(budget)}?", err=True)


def show_forecast(forecast: Forecast, budget: float) -> None:
    """The rounds and their dollars."""
    rows = [
        (number, f"{size:,}", dollars(usd), f"{share:.1%}")
        for number, (size, usd, share) in enumerate(
            zip(forecast.sizes, forecast.usd, forecast.shares, strict=True), start=1
        )
    ]
    basis = "measured prices" if forecast.measured else "a guess until the first answers show what one costs"
    if forecast.sizes[0] < forecast.first:
        basis += f"; this buys too little: a first round has {forecast.first:,} answers"
    table(f"Rounds for {dollars(budget)} ({basis})", ("round", "answers", "dollars so far", "of the error"), rows)


def _line(found: UntilRound) -> str:
    return f"Round {found.number}: {found.decision}: {found.sentence} ({dollars(found.usd)} so far)"


def show(summary: UntilSummary) -> None:
    """A table of the rounds, and how they ended."""
    rows = [
        (
            found.number,
            f"{found.asked:,}",
            f"{found.rows:,}",
            dollars(found.usd),
            _interval(found.student.mean if found.student else None, None, None),
            *_shortfall(found),
            found.decision,
        )
        for found in summary.rounds
    ]
    last = summary.rounds[-1]
    columns = ("round", "answers", "training rows", "dollars", "score", "worse by", "allowed", "verdict")
    table(f"{summary.plan.student}: {last.name or 'no deciding metric'}", columns, rows)
    color = COLORS[last.decision] if summary.outcome == "proven" else COLORS["DO NOT SHIP"]
    echo(summary.outcome.upper(), fg=color, bold=True, nl=False)
    echo(f": {summary.sentence}")
    for step in summary.next_steps:
        echo(f"- {step}", dim=True)


def _shortfall(found: UntilRound) -> tuple[str, str]:
    if found.shortfall is None:
        return "-", "-"
    return _interval(found.shortfall.mean, found.shortfall.low, found.shortfall.high), f"{100 * found.margin:.1f}"


def _interval(mean: float | None, low: float | None, high: float | None) -> str:
    """In points."""
    if mean is None:
        return "-"
    span = "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * mean:.1f}{span}"
