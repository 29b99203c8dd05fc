"""`distil plan`: the forecast, before anything is spent, and the changes of distil.yaml that it advises."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, agreed, distil_command, dollars, echo, table, width
from distil.errors import UserError

if TYPE_CHECKING:
    from distil.plan import Cell, Forecast


@distil_command("distil plan --project mytask --machine 8xH100 --set student.model=Qwen/Qwen3-0.6B")
@click.option("--machine", metavar="NAME", help="Plan for another machine: 8xH100, 'RTX 4090', or 4xMI300X:192 (GiB).")
@click.option("--apply", "write", is_flag=True, help="Write the advised changes into distil.yaml, after showing them.")
@click.option("--yes", is_flag=True, help="With --apply: don't ask.")
def command(context: Context, machine: str | None, write: bool, yes: bool) -> None:
    """Before you spend: API or logits? Data, dollars, hours, memory, payback; what will not fit, and what to set instead."""
    from distil.models.sizing import named_machine
    from distil.pipeline import ensure
    from distil.plan import make

    config = context.config()
    if write and context.overrides:
        raise UserError(
            "`distil plan --apply` writes what is advised for distil.yaml, and --set holds for one command only: the advice "
            f"would be for a config that is not in the file. Keep it first: distil config set {shlex.join(context.overrides)}"
        )
    named = named_machine(machine) if machine is not None else None
    ensure(context.project, config, "prompts", before="plan")
    forecast = make(context.project, config, named)
    if not write:
        context.emit(forecast, lambda: show(forecast))
        return
    lines = apply(context, forecast, yes=yes)
    context.emit({"config": context.project.config, "changed": lines}, lambda: None)


def apply(context: Context, forecast: Forecast, *, yes: bool) -> list[str]:
    """Shows the difference, asks, and writes it. Returns the lines that changed: none where nothing was advised or wanted."""
    from distil.config_file import edit_config, write_edit

    path = context.project.config
    settings = [setting for change in forecast.changes for setting in change.settings]
    edit = edit_config(path.read_text(encoding="utf-8"), settings, str(path))
    if not context.as_json:
        for change in forecast.changes:
            paragraph("- ", f"{change.why}: {', '.join(change.settings)}")
        for line in edit.lines:
            echo(line, fg="red" if line.startswith("-") else "green")
        if not edit.lines:
            echo(f"{path} needs no change.")
    if not edit.lines or not agreed(path, yes=yes):
        return []
    write_edit(path, edit)
    if not context.as_json:
        echo(f"Written to {path}.")
    return edit.lines


def show(forecast: Forecast) -> None:
    """The forecast as tables, then the reasons and the advice."""
    table("Plan (estimates; nothing has been spent)", ("", ""), _rows(forecast), left=2)
    for reason in forecast.reasons:
        paragraph("- ", reason)
    paragraph("- ", f"examples: {forecast.examples}")
    for line in forecast.advice:
        paragraph("! ", line, fg="yellow")
    if forecast.changes:
        paragraph("> ", "`distil plan --apply` shows these changes of distil.yaml and writes them.", fg="green")
    for line in forecast.terms:
        paragraph("§ ", line)
    show_places(forecast)
    show_providers(forecast)


def _rows(forecast: Forecast) -> list[tuple[str, str]]:
    spent = f", {dollars(forecast.spent_usd)} of it spent" if forecast.spent_usd else ""
    hours = "an unknown time" if forecast.training_hours is None else f"about {_duration(forecast.training_hours)}"
    size = "?"
    if forecast.student_parameters is not None:
        guess = ", guessed from its name" if forecast.size_source == "the name" else ""
        size = f"{forecast.student_parameters / 1e6:,.0f}M parameters{guess}"
    rows = [
        ("method", f"{forecast.method}-based"),
        ("prompts", f"{forecast.prompts:,}"),
        ("teacher calls", f"{forecast.teacher_calls:,}"),
        ("collecting", "?" if forecast.collect_usd is None else f"about {dollars(forecast.collect_usd)}{spent}"),
    ]
    for tier in forecast.tiers:
        if tier.low_usd is not None:
            between = f"{dollars(tier.low_usd)} to {dollars(tier.high_usd)}"
        else:
            between = f"at most {dollars(tier.high_usd)}"
        rows.append((f"  {tier.tier}", f"{dollars(tier.usd)}, {between}"))
    memory = "?" if forecast.memory_gib is None else f"about {gib(forecast.memory_gib)} on {forecast.machine}"
    rows += [
        ("student", size),
        ("training", f"{forecast.training_tokens:,} tokens, {hours}"),
        ("memory", memory),
        ("cost per month, teacher", _month(forecast)),
        ("cost per month, student", _after(forecast.month_after_usd)),
        ("pays back", forecast.payback),
    ]
    return rows


def _month(forecast: Forecast) -> str:
    if forecast.month_before_usd is None:
        return "? (its price is not known)"
    within = ""
    if forecast.month_low_usd is not None and forecast.month_high_usd is not None:
        within = f" ({dollars(forecast.month_low_usd)} to {dollars(forecast.month_high_usd)})"
    return f"{dollars(forecast.month_before_usd)}{within}"


def _after(usd: float | None) -> str:
    return "? (set cost.student_host)" if usd is None else dollars(usd)


def show_places(forecast: Forecast) -> None:
    """Machines by ways of training: the largest pass that fits, hours and dollars."""
    from distil.models.sizing import ADAPTER_UTILISATION, GPU_UTILISATION, PRICES_FROM

    if not forecast.places:
        return
    echo("")
    rows = [
        (place.machine, _cell(place.full), _cell(place.lora), "-" if place.qlora is None else _cell(place.qlora))
        for place in forecast.places
    ]
    title = "Where the student can be trained (tokens of the largest pass, time, dollars)"
    table(title, ("machine", "full", "LoRA", "QLoRA"), rows, left=4)
    for line in (
        "several GPUs: full training is split over them (train.fsdp), an adapter is trained on each; c: only with "
        "train.gradient_checkpointing; no: what one process would need",
        f"speed: {GPU_UTILISATION:.0%} of the data sheet's bfloat16, {ADAPTER_UTILISATION:.0%} for adapters (Llama on an H200); "
        f"dollars: {PRICES_FROM}; others may be half as dear",
    ):
        paragraph("- ", line, dim=True)


def _cell(cell: Cell) -> str:
    if not cell.fits:
        return f"no: {gib(cell.gib)}"
    parts = [f"{cell.batch_tokens:,}{'c' if cell.checkpointing else ''}"]
    parts.append("?" if cell.hours is None else _duration(cell.hours))
    return ", ".join([*parts, *([] if cell.usd is None else [dollars(cell.usd)])])


def show_providers(forecast: Forecast) -> None:
    """Where else the student could be trained, and until when."""
    from distil.calls.fine_tuning.table import COLUMNS, sources

    echo("")
    rows = [choice.cells() for choice in forecast.providers]
    table("Fine-tuning at a provider (distil train --provider NAME)", COLUMNS, rows, left=len(COLUMNS))
    for choice in forecast.providers:
        if choice.closings:
            paragraph("! ", f"{choice.provider}: {'; '.join(choice.closings)}.", fg="yellow")
    for line in sources():
        paragraph("- ", line, dim=True)


def paragraph(mark: str, text: str, *, fg: str | None = None, dim: bool = False) -> None:
    """A line of any length, wrapped at words; a command inside may break only there."""
    lines = textwrap.wrap(text, max(20, width() - len(mark)), break_on_hyphens=False, break_long_words=False)
    for number, line in enumerate(lines):
        echo((mark if number == 0 else " " * len(mark)) + line, fg=fg, dim=dim)


def gib(value: float) -> str:
    """134 GiB, 9.6 GiB, 0.85 GiB: never 1.3e+02."""
    return f"{value:,.0f} GiB" if value >= 100 else f"{value:.1f} GiB" if value >= 1 else f"{value:.2f} GiB"


def _duration(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours / 24:,.0f} days"
