"""answers.jsonl again from the ledger, at no cost: after it was deleted, or when a newer parser reads more out of a reply.

Asks nothing and needs no key. Called by stage.py and `distil collect --rebuild`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from distil.collect.ledger_view import LedgerView
from distil.collect.live import MOST_TRIES_OF_EMPTY, is_empty
from distil.collect.ordered_writer import OrderedWriter
from distil.collect.questions import Question
from distil.records import Answer
from distil.runs.jsonl import read_lines


def from_ledger(book: LedgerView, ask: Question) -> Answer | None:
    """The answer to one ask as the ledger has it: the first reply that is not empty."""
    for again in range(MOST_TRIES_OF_EMPTY):
        entry = book.find(ask.request(again=again))
        reply = entry.reply() if entry is not None else None
        if reply is None:
            return None
        if not is_empty(reply):
            return ask.answer(reply)
    return None


def carry_over(
    asks: Iterator[Question], answers: OrderedWriter, failures: OrderedWriter, only: OrderedWriter | None = None
) -> None:
    """Keeps the lines of earlier runs for what this run did not settle (--limit, --only failed, stopped half-way)."""
    old = {spool: _offsets(spool) if only in (None, spool) else {} for spool in (answers, failures)}
    if not any(old.values()):
        return
    for ask in asks:
        if answers.has(ask.number) or failures.has(ask.number):
            continue
        for spool in (answers, failures):
            offset = old[spool].get(ask.answer_id)
            if offset is not None:
                spool.copy(ask.number, offset)
                break


def _offsets(spool: OrderedWriter) -> Mapping[str, int]:
    """Answer id -> byte offset of its line in the file as it was."""
    if not spool.path.exists():
        return {}
    found, offset = {}, 0
    ids = (str(line.get("answer_id") or line.get("id")) for _, line in read_lines(spool.path))
    with spool.path.open("rb") as file:
        for raw in file:
            if raw.strip():
                found[next(ids)] = offset
            offset += len(raw)
    return found
