"""`distil forecast`: a bill replayed, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, dollars, echo, table

if TYPE_CHECKING:
    from distil.forecast.result import Between, Replay, SliceForecast


@distil_command(
    "distil forecast requests.jsonl.gz --set cost.student_host.input=0.1 --set cost.student_host.output=0.4"
)
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOGS...")
@click.option(
    "--rows",
    type=click.IntRange(min=1, max=20_000),
    default=3_000,
    show_default=True,
    metavar="N",
    help="Requests whose texts are looked at, at random; the bill is always of all.",
)
@click.option("--model", default="", metavar="MODEL", help="The model of requests that name none.")
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="MODEL=IN,OUT",
    help="$ per million tokens of a model that the price table does not have; a third number is for cached input.",
)
def command(context: Context, logs: tuple[Path, ...], rows: int, model: str, prices: tuple[str, ...]) -> None:
    """Replay LOGS of requests and answers: what a student would take over, and what it would save. Nothing is sent.

    Logs of any shape that `distil collect --from-log` reads. It needs no project.
    """
    from distil.forecast.options import options_of
    from distil.forecast.replay import forecast

    options = options_of(context.project, context.overrides, prices)._replace(rows=rows, model=model)
    replay = forecast(logs, options)
    context.emit(replay, lambda: show(replay))


def show(replay: Replay) -> None:
    """The bill, the kinds of requests, what it would save, what to do, and what all that rests on."""
    _show_bill(replay)
    _show_slices(replay)
    rows = list(_money(replay))
    table("What it would save", ("", ""), rows, left=2)
    for one in replay.slices:
        if one.collect:
            echo(f"Collect first: {one.collect:,} more answers of {one.name!r} (the log has {one.examples:,}).")
    if replay.next:
        echo("Next:")
        for line in replay.next:
            echo(f"  {line}")
    else:
        echo("Nothing here is shown to be distillable, so there is nothing to collect yet.")
    echo("")
    table("This rests on", ("", ""), replay.assumptions.items(), left=2)
    for warning in replay.warnings:
        echo(f"! {warning}", fg="yellow")


def _show_bill(replay: Replay) -> None:
    rows = []
    for model in replay.models:
        usd = "?" if model.usd is None else dollars(model.usd)
        if model.usd is not None and model.low_usd != model.high_usd:
            usd += f" ({dollars(model.low_usd or 0)} to {dollars(model.high_usd or 0)})"
        tokens = f"{model.input_tokens:,} + {model.output_tokens:,}"
        listed = f"{model.priced_as} ({model.source})" if model.priced_as else "unknown"
        rows.append(
            (model.model or "(no name)", f"{model.requests:,}", tokens, f"{model.cached_tokens:,}", usd, listed)
        )
    table("The log as it is", ("model", "requests", "tokens in + out", "cached", "$", "price of"), rows)


def _show_slices(replay: Replay) -> None:
    rows = []
    for number, one in enumerate(replay.slices, start=1):
        usd = "?" if one.month_usd is None else dollars(one.month_usd)
        rows.append(
            (str(number), one.name, f"{one.share:.0%}", usd, one.answers, one.distillable,
             _share(one.answered) if one.distillable in ("yes", "partly") else "-", _share(one.quality))
        )  # fmt: skip
    columns = ("", "requests", "share", "$ a month", "answers", "distillable", "answered", "right if all")
    table("Kinds of requests", columns, rows, left=2)
    for number, one in enumerate(replay.slices, start=1):
        echo(f"{number}. {one.distillable}: {one.why}.{_more(one)}")
    echo("")


def _more(one: SliceForecast) -> str:
    said = ""
    if one.ceiling is not None:
        said += f" Asked again, the teacher says the same in {_share(one.ceiling)}."
    if one.gain is not None:
        said += f" Twice the examples: {one.gain.value:+.3f} ({one.gain.low:+.3f} to {one.gain.high:+.3f})."
    if one.fields:
        worst = sorted(one.fields.items(), key=lambda field: field[1])[:4]
        said += f" Fields: {', '.join(f'{name} {share:.0%}' for name, share in worst)}."
    return said


def _share(found: Between | None) -> str:
    return "?" if found is None else f"{found.value:.0%} ({found.low:.0%} to {found.high:.0%})"


def _usd(found: Between | None) -> str:
    if found is None:
        return "?"
    within = "" if found.low == found.high else f" ({dollars(found.low)} to {dollars(found.high)})"
    return f"{dollars(found.value)}{within}"


def _money(replay: Replay) -> Iterator[tuple[str, str]]:
    money = replay.money
    yield "the month as it is", _usd(money.teacher_usd)
    yield (
        "answered by a student",
        f"{_share(replay.answered)} of the requests, {replay.quality_target:.0%} of them right",
    )
    if replay.cannot_tell:
        possible = "" if money.possible_usd is None else f", {dollars(money.possible_usd)} of the month"
        yield (
            "of which it can't be told",
            f"{replay.cannot_tell:.0%} of the requests{possible}; they count as the teacher's",
        )
    yield "taken over from the teacher", _usd(money.avoided_usd)
    yield "the student's own month", "?" if money.student_usd is None else dollars(money.student_usd)
    yield "saves a month", _usd(money.saving_usd)
    yield "spent once", "?" if money.one_time_usd is None else dollars(money.one_time_usd)
    yield "pays back", money.payback
    if money.break_even_queries is not None:
        yield "saves from", f"{money.break_even_queries:,} requests a month on"
    if money.student_usd is None and money.most_usd:
        yield "saves as long as", f"the student costs less than {dollars(money.most_usd)} a month"
