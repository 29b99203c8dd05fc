"""`distil cost`: the bill before and after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, dollars, echo, table

if TYPE_CHECKING:
    from distil.runs.schemas.cost import CostSummary, Option, Swing


BAR = 14  # characters: a cell that is never wrapped


@distil_command("distil cost --set cost.queries_per_month=1000000 --set cost.student_host.usd_per_hour=0.6")
@click.argument("name", required=False, shell_complete=completion.students)
@click.option("--what-if", is_flag=True, help="Also by share that the student answers, and with assumptions changed.")
def command(context: Context, name: str | None, what_if: bool) -> None:
    """Show what you spent, what a month will cost, and when student NAME (default: as in `distil status`) pays back."""
    from distil.cli.students import pick_evaluable
    from distil.cost import stage

    config = context.config()
    known = context.project.students() or context.project.evaluated()
    student = pick_evaluable(context, name) if name is not None or known else None
    summary = stage.run(context.project, config.cost, config.teachers, name=student)
    context.emit(summary, lambda: show(summary, what_if=what_if))


def show(summary: CostSummary, *, what_if: bool = False) -> None:
    """The summary as tables, then what it rests on and the warnings."""
    spent = [(purpose, dollars(usd)) for purpose, usd in sorted(summary.spent.items())]
    table("Spent so far", ("purpose", "$"), [*spent, ("one-time total", dollars(summary.one_time_usd))])
    t = summary.traffic
    columns = ("", "coverage", "student", "teacher", "total", "saves", "payback")
    title = f"A month of {t.queries_per_month:,} requests, {t.input_tokens:,.0f} + {t.output_tokens:,.0f} tokens each"
    table(title, columns, [_row(option, summary) for option in summary.options])
    for line in _sentences(summary):
        echo(line)
    echo("")
    if what_if and summary.shares:
        _show_shares(summary)
        _show_tornado(summary)
    if summary.latency:
        rows = [(each.way, f"{each.p50_s:.2f} s", f"{each.p95_s:.2f} s") for each in summary.latency]
        table("Seconds to an answer", ("", "p50", "p95"), rows)
    table("This rests on", ("", ""), summary.assumptions.items(), left=2)
    for warning in summary.warnings:
        echo(f"! {warning}", fg="yellow")


def _row(option: Option, summary: CostSummary) -> tuple[str, ...]:
    hosts = {each.host for each in summary.options if each.host}
    about = [option.host] * (len(hosts) > 1 and bool(option.host)) + [option.routing] * bool(option.routing)
    name = f"{option.name} ({', '.join(about)})" if about else option.name
    source = f" {option.coverage_source}" if 0 < option.coverage < 1 else ""
    known = (option.student_usd, option.teacher_usd, option.total_usd, option.saving_usd)
    student, teacher, total, saving = ("?" if usd is None else dollars(usd) for usd in known)
    if option.not_allowed:
        saving, payback = "-", option.not_allowed
    elif option.payback_date is None or option.payback in ("-", "never", "unknown"):
        payback = option.payback
    else:
        payback = f"{option.payback}, {option.payback_date}"
    if option.saving_low_usd is not None and option.saving_high_usd is not None:
        saving += f" ({dollars(option.saving_low_usd)} to {dollars(option.saving_high_usd)})"
    return name, f"{option.coverage:.0%}{source}", student, teacher, total, saving, payback


def _sentences(summary: CostSummary) -> Iterator[str]:
    t = summary.traffic
    if summary.teacher_month_usd is None:
        yield f"Teacher {summary.teacher}: its price is unknown."
    else:
        price = "your own machines"
        if summary.price_input is not None and summary.price_output is not None:
            legs = f"{dollars(summary.price_input)} / {dollars(summary.price_output)}"
            price = f"{legs} per million tokens ({summary.price_source})"
        within = ""
        if summary.teacher_month_low_usd is not None and summary.teacher_month_high_usd is not None:
            within = f" ({dollars(summary.teacher_month_low_usd)} to {dollars(summary.teacher_month_high_usd)})"
        month = f"{dollars(summary.teacher_month_usd)}{within} a month"
        yield f"Teacher {summary.teacher}: {price}; {month}, based on {t.measured_calls:,} calls, each at its own price."
    if summary.cheapest_hour_usd is not None and summary.dearest_hour_usd is not None:
        low, high = dollars(summary.cheapest_hour_usd), dollars(summary.dearest_hour_usd)
        yield f"Its price depends on the hour: {low} a month if all requests came in the cheapest, {high} in the dearest."
    for change in summary.price_changes:
        legs = f"{dollars(change.price_input)} / {dollars(change.price_output)}"
        month = dollars(change.teacher_month_usd)
        yield f"From {change.date} on its price is {legs}: {month} a month (--set cost.month={change.date[:7]} plans with it)."
    if summary.break_even_coverage is not None:
        share = f"{summary.break_even_coverage:.0%}"
        yield f"With fallback, it is cheaper than the teacher at a coverage of {share} or more."
    if summary.break_even_queries is not None:
        yield f"It is cheaper from {summary.break_even_queries:,} requests a month on."


def _show_shares(summary: CostSummary) -> None:
    most = max(max(s.tried_first_usd, s.routed_before_usd) for s in summary.shares)
    rows = [
        (f"{s.share:.0%}", _bar(s.tried_first_usd, most), dollars(s.tried_first_usd), dollars(s.routed_before_usd))
        for s in summary.shares
    ]
    columns = ("student", "", "tried first", "routed before")
    table("A month, by the share that the student answers", columns, rows, left=2)


def _show_tornado(summary: CostSummary) -> None:
    ends = [0.0, *(each.low_usd for each in summary.tornado), *(each.high_usd for each in summary.tornado)]
    rows = [
        (
            swing.factor,
            _range(swing, summary.tornado_usd, min(ends), max(ends)),
            *map(dollars, (swing.low_usd, swing.high_usd)),
        )
        for swing in summary.tornado
    ]
    table("What it saves if an assumption is wrong", ("", "│ 0, ● now", "from", "to"), rows, left=2)


def _range(swing: Swing, now: float | None, low: float, high: float) -> str:
    """The saving between the ends of an assumption as a line of BAR characters from `low` to `high`."""

    def place(value: float) -> int:
        return round((BAR - 1) * (value - low) / (high - low)) if high > low else 0

    drawn = [" "] * BAR
    for position in range(place(swing.low_usd), place(swing.high_usd) + 1):
        drawn[position] = "─"
    drawn[place(0.0)] = "│"
    if now is not None:
        drawn[place(now)] = "●"
    return "".join(drawn).rstrip()


def _bar(value: float, most: float) -> str:
    return "█" * round(BAR * value / most) if most > 0 else ""
