"""`distil plan`: the forecast, before anything is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distil.cli.options import Context, distil_command, dollars, echo, table

if TYPE_CHECKING:
    from distil.plan import Forecast


@distil_command("distil plan --project mytask --set student.model=Qwen/Qwen3-0.6B")
def command(context: Context) -> None:
    """Before you spend: API or logits? Data, dollars, hours, memory, payback; what will not fit, and what to set instead."""
    from distil.pipeline import ensure
    from distil.plan import make

    config = context.config()
    ensure(context.project, config, "prompts", before="plan")
    forecast = make(context.project, config)
    context.emit(forecast, lambda: show(forecast))


def show(forecast: Forecast) -> None:
    """The forecast as one table, then the advice."""
    hours = "?" if forecast.training_hours is None else _duration(forecast.training_hours)
    spent = f", {dollars(forecast.spent_usd)} of it spent" if forecast.spent_usd else ""
    memory = "?" if forecast.memory_gib is None else f"about {forecast.memory_gib:.2g} GiB on {forecast.machine}"
    rows = [
        ("method", f"{forecast.method}-based"),
        ("prompts", f"{forecast.prompts:,}"),
        ("teacher calls", f"{forecast.teacher_calls:,}"),
        ("collecting", "?" if forecast.collect_usd is None else f"about {dollars(forecast.collect_usd)}{spent}"),
        ("training", f"{forecast.training_tokens:,} tokens, about {hours}"),
        ("memory", memory),
        ("cost per month, teacher", "?" if forecast.month_before_usd is None else dollars(forecast.month_before_usd)),
        (
            "cost per month, student",
            "? (see cost.student_host)" if forecast.month_after_usd is None else dollars(forecast.month_after_usd),
        ),
        ("pays back", forecast.payback),
    ]
    table("Plan (estimates; nothing has been spent)", ("", ""), rows, left=2)
    for reason in forecast.reasons:
        echo(f"- {reason}")
    for line in forecast.advice:
        echo(f"! {line}", fg="yellow")
    for line in forecast.terms:
        echo(f"§ {line}")
    show_providers(forecast)


def show_providers(forecast: Forecast) -> None:
    """Where else the student could be trained, and until when."""
    from distil.calls.fine_tuning.table import COLUMNS, sources

    echo("")
    rows = [choice.cells() for choice in forecast.providers]
    table("Fine-tuning at a provider (distil train --provider NAME)", COLUMNS, rows, left=len(COLUMNS))
    for choice in forecast.providers:
        if choice.closings:
            echo(f"! {choice.provider}: {'; '.join(choice.closings)}.", fg="yellow")
    for line in sources():
        echo(f"- {line}", dim=True)


def _duration(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} seconds"
    return f"{hours * 60:.0f} minutes" if hours < 2 else f"{hours:,.1f} hours"
