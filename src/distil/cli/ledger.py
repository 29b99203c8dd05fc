"""`distil ledger`: show, export, back up or prune the paid calls."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, distil_command, dollars, echo, table

if TYPE_CHECKING:
    from distil.calls.ledger.store import Ledger

PURPOSES = ("collect", "expand", "judge", "evaluate", "serve", "train", "import")


@distil_command("distil ledger --purpose collect --last 20")
@click.option("--purpose", type=click.Choice(PURPOSES), help="Only calls with this purpose.")
@click.option(
    "--last",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="How many recent calls to list.",
)
@click.option("--show", "call_id", metavar="CALL_ID", help="Show one call: its request and the raw reply.")
@click.option(
    "--export", "export", type=click.Path(path_type=Path), metavar="FILE", help="Write all calls as JSON Lines."
)
@click.option(
    "--backup",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Copy the whole ledger to FILE, also while a run writes to it. Never overwrites.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Permanently delete the stored bodies (prices and tokens stay; nothing is paid again). answers.jsonl is then the "
    "only copy of the answers.",
)
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="With --prune: only bodies older than this day, such as 2026-01-31.",
)
def command(
    context: Context,
    purpose: str | None,
    last: int,
    call_id: str | None,
    export: Path | None,
    backup: Path | None,
    prune: bool,
    before: datetime | None,
) -> None:
    """Show, export, back up or prune the paid calls. The ledger never contains an API key."""
    from distil.calls.ledger.store import Ledger
    from distil.errors import UserError

    if not context.project.ledger.exists():
        raise UserError(
            f"{context.project.root} has no ledger yet: no request has been sent. Start with `distil collect`."
        )
    if before and not prune:
        raise UserError("--before goes with --prune: distil ledger --prune --before 2026-01-31")
    if backup:
        return _back_up(context, backup)
    with Ledger(context.project.ledger) as ledger:
        if call_id:
            _body(context, ledger.body(call_id))
        elif export:
            _export(context, ledger, export, purpose)
        elif prune:
            _prune(context, ledger, before, purpose)
        else:
            _show(context, ledger, purpose, last)


def _back_up(context: Context, target: Path) -> None:
    from distil.calls.ledger.backup import back_up

    copied = back_up(context.project.ledger, target)
    calls = f"{copied.calls:,} call{'' if copied.calls == 1 else 's'}"
    message = (
        f"Wrote {calls}, {dollars(copied.usd)}, to {target}. To go back, copy it over ledger.sqlite while nothing runs."
    )
    context.emit(copied, lambda: echo(message))


def _prune(context: Context, ledger: Ledger, before: datetime | None, purpose: str | None) -> None:
    from distil.errors import UserError

    answers = context.project.answers
    if purpose in (None, "collect", "import") and not answers.exists():
        raise UserError(
            f"{answers} does not exist, so the bodies in the ledger are the only copy of the answers. Write it first "
            "(`distil collect --rebuild`), or prune another purpose (--purpose expand)."
        )
    count = ledger.prune(before=before.date().isoformat() if before else None, purpose=purpose)
    message = f"Deleted the bodies of {count:,} calls; their prices and tokens stay."
    if count and answers.exists():
        message += f" Keep {answers}: it can't be made again."
    context.emit({"pruned": count}, lambda: echo(message))


def _body(context: Context, body: tuple[dict[str, object], bytes]) -> None:
    import json

    request, raw = body
    text = raw.decode("utf-8", errors="replace")

    def show() -> None:
        echo(json.dumps(request, ensure_ascii=False, indent=2))
        echo(text)

    context.emit({"request": request, "reply": text}, show)


def _export(context: Context, ledger: Ledger, path: Path, purpose: str | None) -> None:
    from distil.runs.jsonl import write_records

    count = write_records(path, ledger.calls(purpose))
    context.emit({"exported": count, "file": path}, lambda: echo(f"Wrote {count:,} calls to {path}."))


def _show(context: Context, ledger: Ledger, purpose: str | None, last: int) -> None:
    totals, uncertain = ledger.totals(purpose), ledger.uncertain(purpose)
    newest = list(deque(ledger.calls(purpose), maxlen=max(0, last)))
    count, usd = sum(t.calls for t in totals), sum(t.usd for t in totals)
    value = {
        "totals": [{**t._asdict(), "usage": t.usage.model_dump()} for t in totals],
        "calls": count,
        "usd": usd,
        "uncertain": uncertain,
        "newest": [c.model_dump(mode="json") for c in newest],
    }

    def show() -> None:
        rows = []
        for t in totals:
            counts = (f"{n:,}" for n in (t.calls, t.usage.input_tokens, t.usage.output_tokens))
            rows.append((t.purpose, t.model, t.tier, *counts, dollars(t.usd)))
        columns = ("purpose", "model", "tier", "answered", "tokens in", "tokens out", "$")
        table(f"{count:,} answered calls, {dollars(usd)}", columns, rows, left=3)
        if newest:
            lines = []
            for c in newest:
                took = "" if c.latency_s is None else f"{c.latency_s:.2f} s"
                lines.append((c.id, c.created[:19], c.model, c.status, took, dollars(c.usd)))
            table(f"Latest {len(newest)}", ("call", "time (UTC)", "model", "status", "took", "$"), lines, left=4)
        if uncertain.requests:
            echo(f"! {uncertain}", fg="yellow")

    context.emit(value, show)
