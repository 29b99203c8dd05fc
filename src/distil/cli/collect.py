"""`distil collect`: the teacher's answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, echo, say, show_rows, table

if TYPE_CHECKING:
    from distil.config import Config


@distil_command("distil collect --set collect.budget_usd=20 --limit 100")
@click.option("--only", type=click.Choice(["failed"]), help="Retry only the prompts that failed last time.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use only the first N prompts; with --active: ask N in all its rounds (default: half of the open ones).",
)
@click.option("--dry-run", is_flag=True, help="Send nothing; show what it would cost.")
@click.option("--rebuild", is_flag=True, help="Rebuild answers.jsonl from the ledger; send nothing.")
@click.option(
    "--from-log",
    "logs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Import a log of requests and replies first, at no cost (repeatable): of a provider or a tracing tool.",
)
@click.option(
    "--from-gateway",
    is_flag=True,
    help="Take in the requests that the gateway captured first, with the answers that it paid for.",
)
@click.option(
    "--any-model", is_flag=True, help="With --from-log: also import replies of models other than the first teacher."
)
@click.option(
    "--pilot",
    type=click.IntRange(min=10),
    metavar="N",
    help="Ask only N prompts and say how good the teacher is: on the prompts' references, else on its own second answers.",
)
@click.option(
    "--active",
    is_flag=True,
    help="Ask in rounds, each where a student of the answers so far is unsure; the first round is random.",
)
@click.option(
    "--rounds", type=click.IntRange(min=2, max=50), metavar="N", help="With --active: rounds in all (default: 4)."
)
def command(
    context: Context,
    only: str | None,
    limit: int | None,
    dry_run: bool,
    rebuild: bool,
    logs: tuple[Path, ...],
    from_gateway: bool,
    pilot: int | None,
    **options: int | bool | None,
) -> None:
    """Request the answers that the ledger does not have yet. Resumable; never pays twice for the same answer."""
    from distil.collect import stage
    from distil.collect.importing import import_logs
    from distil.errors import UserError
    from distil.pipeline import ensure

    any_model = bool(options["any_model"])
    if pilot is not None and (only or limit or dry_run or rebuild or logs or from_gateway):
        raise UserError("--pilot chooses its own prompts: leave out the other options.")
    if any_model and not logs:
        raise UserError("--any-model goes with --from-log: distil collect --from-log requests.jsonl --any-model")
    if rebuild and (only or limit or dry_run):
        raise UserError(
            "--rebuild only rewrites answers.jsonl from the ledger: leave out --only, --limit and --dry-run."
        )
    active, rounds = bool(options["active"]), options["rounds"]
    if active and (only or rebuild or logs or from_gateway or pilot is not None):
        raise UserError("--active chooses its own prompts: only --rounds, --limit and --dry-run go with it.")
    if rounds is not None and not active:
        raise UserError("--rounds goes with --active: distil collect --active --rounds 4")
    config = context.config()
    if from_gateway:
        _take_from_gateway(context, config)
    ensure(context.project, config, "prompts", before="collect")
    if pilot is not None:
        _show_pilot(context, config, pilot)
        return
    if active:
        count = None if rounds is None else int(rounds)
        _collect_actively(context, config, rounds=count, limit=limit, dry_run=dry_run)
        return
    if logs:
        imported = import_logs(context.project, config.teachers[0], logs, any_model=any_model)
        for line in imported.lines():
            say(line)
    result = stage.run(
        context.project,
        config.collect,
        config.teachers,
        only="failed" if only else None,
        limit=limit,
        dry_run=dry_run,
        rebuild=rebuild,
    )
    context.emit(result, lambda: show_rows("Forecast" if dry_run else "Collected", result.rows()))


def _collect_actively(
    context: Context, config: Config, *, rounds: int | None, limit: int | None, dry_run: bool
) -> None:
    from distil.active.result import COLUMNS
    from distil.active.run import plan, run
    from distil.active.sizes import ROUNDS

    count = rounds or ROUNDS
    if dry_run:
        ahead = plan(context.project, config, rounds=count, limit=limit)
        context.emit(ahead, lambda: show_rows("Forecast", ahead.rows()))
        return
    result = run(context.project, config, rounds=count, limit=limit)

    def show() -> None:
        table("Rounds", COLUMNS, result.table(), left=1)
        for line in result.lines():
            echo(line)

    context.emit(result, show)


def _show_pilot(context: Context, config: Config, count: int) -> None:
    from distil.pilot import run

    unchecked = config.curate.references_unchecked
    found = run(context.project, config.collect, config.teachers, count, unchecked=unchecked)

    def show() -> None:
        for each in found:
            show_rows("Pilot", each.rows())

    context.emit(found, show)


def _take_from_gateway(context: Context, config: Config) -> None:
    """The prompts are stale afterwards, also where this is interrupted, and are loaded again before anything is asked."""
    from distil.collect.gateway import take_answers
    from distil.collect.questions import check_teachers
    from distil.prompts import gateway

    check_teachers(config.teachers)
    taken = gateway.take_captured(context.project)
    answers = take_answers(context.project, config.teachers, config.collect.samples)
    for line in [*taken.lines(), *answers.lines()]:
        say(line)
