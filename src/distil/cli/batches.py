"""`distil batches`: what is open at the providers, cancel it, let it go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, dollars, echo, table

if TYPE_CHECKING:
    from distil.calls.batch.manage import BatchStatus


@distil_command("distil batches cancel batch_68f2")
@click.argument("action", type=click.Choice(["list", "cancel", "forget"]), default="list", required=False)
@click.argument("batch_id", metavar="[ID]", required=False)
@click.option("--offline", is_flag=True, help="List them as they were last seen, without asking the providers.")
def command(context: Context, action: str, batch_id: str | None, offline: bool) -> None:
    """List the batches that are not finished, with the money at stake; cancel one at its provider, or forget it.

    \b
    distil batches             state, age, rows and money of each
    distil batches cancel ID   stop it; what was answered is kept, and fetched by the next `distil collect`
    distil batches forget ID   let it go: its prompts are asked again by the next `distil collect`
    """
    from distil.errors import UserError

    if action != "list" and batch_id is None:
        raise UserError(f"Which batch? Type: distil batches {action} ID. `distil batches` lists them.")
    if action == "list" and batch_id is not None:
        raise UserError(
            f"`distil batches` lists all. Did you mean: distil batches cancel {batch_id}, or forget {batch_id}?"
        )
    if action == "cancel":
        _cancel(context, str(batch_id))
    elif action == "forget":
        _forget(context, str(batch_id))
    else:
        _list(context, offline)


def _list(context: Context, offline: bool) -> None:
    from distil.calls.batch.job import BatchFolder
    from distil.calls.batch.manage import statuses

    folder = BatchFolder(context.project.batches)
    teachers = context.config().teachers if folder.jobs() and not offline else []
    found = statuses(folder, teachers, context.project.root, offline=offline)
    value = {"batches": [status.model_dump() for status in found], "most_usd": sum(status.most_usd for status in found)}

    def show() -> None:
        if not found:
            return echo("No batch is unfinished.")
        columns = ("batch", "model", "state", "age", "answered", "at most")
        table(f"{len(found):,} unfinished", columns, [_row(status) for status in found], left=3)
        for status in found:
            if status.note:
                echo(f"{status.id}: {status.note}")
        echo("`distil collect` waits for the open ones and fetches the answers; nothing is paid for twice.")

    context.emit(value, show)


def _row(status: BatchStatus) -> tuple[str, ...]:
    answered = f"{status.answered:,} of {status.rows:,}"
    return status.id, status.model, status.state, _age(status.age_s), answered, dollars(status.most_usd)


def _age(seconds: float) -> str:
    """12 min, 5 h, 3 days."""
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def _cancel(context: Context, name: str) -> None:
    from distil.calls.batch.job import BatchFolder
    from distil.calls.batch.manage import cancel

    job = cancel(BatchFolder(context.project.batches), name, context.config().teachers, context.project.root)
    echo_lines = (
        f"The provider was asked to cancel the batch {name} ({job.rows:,} requests). What it has answered is charged and kept: "
        f"`distil collect` fetches it. Then `distil batches forget {name}` lets the others be asked again."
    )
    context.emit({"cancelled": name, "rows": job.rows}, lambda: echo(echo_lines))


def _forget(context: Context, name: str) -> None:
    from distil.calls.batch.job import BatchFolder
    from distil.calls.batch.manage import forget
    from distil.calls.ledger.store import Ledger

    with Ledger(context.project.ledger) as ledger:
        _, count, usd = forget(BatchFolder(context.project.batches), name, ledger)
    paid = (
        f" At most {dollars(usd)} may be charged for them all the same: a batch that is let go is not cancelled."
        if usd
        else ""
    )
    text = f"Forgot the batch {name}.{paid} {count:,} prompts will be asked again by `distil collect`."
    context.emit({"forgotten": name, "asked_again": count, "maybe_usd": usd}, lambda: echo(text))
