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

PURPOSES = ("collect", "expand", "curate", "judge", "evaluate", "serve", "train", "import")


@distil_command("distil ledger --purpose collect --last 20")
@click.argument("words", nargs=-1, metavar="[show [CALL_ID] | export FILE | backup FILE | prune]")
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
@click.option(
    "--reconcile",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Settle what may have been paid by a provider's cost export (CSV of OpenAI, Anthropic, OpenRouter).",
)
@click.option(
    "--forgive", is_flag=True, help="Count what may have been paid as not paid, by your word. It stays on record."
)
def command(
    context: Context,
    words: tuple[str, ...],
    purpose: str | None,
    last: int,
    call_id: str | None,
    prune: bool,
    before: datetime | None,
    forgive: bool,
    **files: Path | None,
) -> None:
    """Show, export, back up or prune the paid calls, and settle what may have been paid. Contains no API key."""
    from distil.calls.ledger.store import Ledger
    from distil.errors import UserError

    if not context.project.ledger.exists():
        raise UserError(
            f"{context.project.root} has no ledger yet: no request has been sent. Start with `distil collect`."
        )
    if before and not prune and "prune" not in words:
        raise UserError("--before goes with --prune: distil ledger --prune --before 2026-01-31")
    said = _as_options(words)
    call_id, prune = call_id or said.get("show"), prune or "prune" in said
    export, backup, reconcile = files["export"], files["backup"], files["reconcile"]
    export = export or (Path(said["export"]) if "export" in said else None)
    backup = backup or (Path(said["backup"]) if "backup" in said else None)
    if backup:
        return _back_up(context, backup)
    with Ledger(context.project.ledger) as ledger:
        if call_id:
            _body(context, ledger.body(call_id))
        elif export:
            _export(context, ledger, export, purpose)
        elif prune:
            _prune(context, ledger, before, purpose)
        elif reconcile or forgive:
            _settle(context, ledger, reconcile)
        else:
            _show(context, ledger, purpose, last)


def _as_options(words: tuple[str, ...]) -> dict[str, str]:
    """`distil ledger export FILE` means `distil ledger --export FILE`; `show` alone is the list. Raises UserError."""
    from distil.errors import UserError, did_you_mean

    if not words or words == ("show",):
        return {}
    word, *rest = words
    wants = {"show": 1, "export": 1, "backup": 1, "prune": 0}
    if word not in wants:
        raise UserError(f"There is no `distil ledger {word}`.{did_you_mean(word, wants)} Expected {', '.join(wants)}.")
    if len(rest) != wants[word]:
        form = {"show": " [CALL_ID]", "prune": ""}.get(word, " FILE")
        raise UserError(f"Found `distil ledger {' '.join(words)}`, expected `distil ledger {word}{form}`.")
    return {word: rest[0] if rest else ""}


def _back_up(context: Context, target: Path) -> None:
    from distil.calls.ledger.backup import back_up

    copied = back_up(context.project.ledger, target)
    calls = f"{copied.calls:,} call{'' if copied.calls == 1 else 's'}"
    message = (
        f"Wrote {calls}, {dollars(copied.usd)}, to {target}. To go back, copy it over ledger.sqlite while nothing runs."
    )
    context.emit(copied, lambda: echo(message))


def _settle(context: Context, ledger: Ledger, file: Path | None) -> None:
    from distil.calls.ledger.invoice import read_invoice

    settled = ledger.settle(read_invoice(file) if file is not None else None)
    left = ledger.uncertain()

    def show() -> None:
        for one in settled:
            requests = f"{one.requests:,} request{'' if one.requests == 1 else 's'}"
            if one.invoice_usd is None:
                echo(
                    f"{one.model}: {requests} that may have cost {dollars(one.maybe_usd)} count as not paid, by your word."
                )
                continue
            echo(
                f"{one.model}: the invoice has {dollars(one.invoice_usd)}, the ledger knew of {dollars(one.known_usd)}; so of "
                f"{requests} that may have cost {dollars(one.maybe_usd)}, {dollars(one.paid_usd)} count as paid."
            )
        if not settled:
            echo("Nothing is open: no request may have been paid without an answer in the days of this invoice.")
        if left.requests:
            echo(f"Still open: {left}.")

    context.emit({"settled": [one._asdict() for one in settled], "uncertain": left}, show)


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
        beside = ledger.spent(purpose) - usd
        if beside > 1e-12:
            echo(f"Beside these, {dollars(beside)} for second replies (collect.hedge) and for what an invoice settled.")
        if newest:
            lines = []
            for c in newest:
                took = "" if c.latency_s is None else f"{c.latency_s:.2f} s"
                lines.append((c.id, c.created[:19], c.model, c.status, took, dollars(c.usd)))
            table(f"Latest {len(newest)}", ("call", "time (UTC)", "model", "status", "took", "$"), lines, left=4)
        if uncertain.requests:
            echo(f"! {uncertain}", fg="yellow")
            echo("  Settle it: distil ledger --reconcile INVOICE.csv (the provider's cost export), or --forgive")
        table_usd = sum(t.table_usd for t in totals)
        if abs(table_usd - usd) > 0.005 * max(usd, table_usd):
            echo(f"The providers' own figures count; by the known prices it would be {dollars(table_usd)}.")

    context.emit(value, show)
