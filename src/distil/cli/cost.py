"""`distil cost`: the bill before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, dollars, echo, table

if TYPE_CHECKING:
    from distil.runs.schemas.cost import CostSummary


@distil_command("distil cost --set cost.queries_per_month=1000000 --set cost.student_host.usd_per_hour=0.6")
@click.argument("name", required=False)
def command(context: Context, name: str | None) -> None:
    """Show what you spent, what a month will cost, and when student NAME (default: as in `distil status`) pays back."""
    from distil.cli.students import pick_evaluable
    from distil.cost import stage

    config = context.config()
    known = context.project.students() or context.project.evaluated()
    student = pick_evaluable(context, name) if name is not None or known else None
    summary = stage.run(context.project, config.cost, config.teachers, name=student)
    context.emit(summary, lambda: show(summary))


def show(summary: CostSummary) -> None:
    """The summary as two tables, then the warnings."""
    spent = [(purpose, dollars(usd)) for purpose, usd in sorted(summary.spent.items())]
    table("Spent so far", ("purpose", "$"), [*spent, ("one-time total", dollars(summary.one_time_usd))])
    t = summary.traffic
    rows = []
    for option in summary.options:
        source = f" {option.coverage_source}" if 0 < option.coverage < 1 else ""
        student = "?" if option.total_usd is None else dollars(option.student_usd or 0.0)
        total, saving = ("?" if usd is None else dollars(usd) for usd in (option.total_usd, option.saving_usd))
        coverage = f"{option.coverage:.0%}{source}"
        rows.append((option.name, coverage, student, dollars(option.teacher_usd), total, saving, option.payback))
    title = f"A month of {t.queries_per_month:,} requests, {t.input_tokens:,.0f} + {t.output_tokens:,.0f} tokens each"
    table(title, ("", "coverage", "student", "teacher", "total", "saves", "payback"), rows)
    error = f" ± {dollars(summary.teacher_month_error_usd)}" if summary.teacher_month_error_usd else ""
    echo(
        f"Teacher {summary.teacher}: {dollars(summary.price_input)} / {dollars(summary.price_output)} per million tokens "
        f"({summary.price_source}); {dollars(summary.teacher_month_usd)}{error} a month, based on {t.measured_calls:,} calls."
    )
    if summary.break_even_coverage is not None:
        echo(
            f"With fallback, it is cheaper than the teacher at a coverage of {summary.break_even_coverage:.0%} or more."
        )
    for warning in summary.warnings:
        echo(f"! {warning}", fg="yellow")
