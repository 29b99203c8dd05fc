"""Batches always end: unknown words wait, what is gone is let go, a bad line costs a row, a cancelled one waits for a person."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distil.calls.batch import net
from distil.calls.batch.api import BatchApi, BatchProvider, Progress, Result, progress
from distil.calls.batch.apis import open_api
from distil.calls.batch.intake import let_go
from distil.calls.batch.job import BatchJob
from distil.calls.batch.manage import forget
from distil.calls.ledger.store import Ledger
from distil.errors import BudgetReached, UserError, WorkFailed
from tests.calls.batch.desk import VENDORS, Desk, make_server
from tests.wire import anthropic
from tests.wire.openai import OpenAIServer
from tests.wire.server import Seen, Trouble, WireServer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.batch.run.FIRST_POLL_S", 0.01)
    monkeypatch.setattr(net, "MAX_WAIT_S", 0.01)


@pytest.fixture(params=VENDORS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with make_server(request.param) as server:
        yield Desk(server, tmp_path, request.param)


@pytest.fixture
def openai_desk(tmp_path: Path) -> Iterator[Desk]:
    with OpenAIServer() as server:
        yield Desk(server, tmp_path)


def open_rows(desk: Desk, count: int = 4) -> tuple[list[Any], BatchJob]:
    """A batch that is created, and then the process dies."""
    rows = [desk.row(f"question {n}") for n in range(count)]
    desk.desk.looks_until_done = 10**9
    desk.go(lambda batches: desk.until_created(batches, rows))
    desk.desk.looks_until_done = 1
    (job,) = desk.batch_folder.open_jobs()
    return rows, job


@pytest.mark.parametrize("word", ["queued", "paused", "", "QUEUED_FOR_REVIEW", "batch_state_unspecified"])
def test_a_word_that_ends_no_batch_waits(word: str) -> None:
    """The trial's bug 11: `queued` and `paused` were taken for the end, and four prompts were bought three times."""
    assert progress(word, 0, 4).state == "running"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("completed", "ended"),
        ("expired", "ended"),
        ("cancelled", "cancelled"),
        ("failed", "failed"),
        ("COMPLETED", "ended"),
        ("SUCCESS", "ended"),
        ("TIMEOUT_EXCEEDED", "ended"),
        ("CANCELLATION_REQUESTED", "running"),
        ("JOB_STATE_SUCCEEDED", "ended"),
        ("BATCH_STATE_EXPIRED", "ended"),
        ("JOB_STATE_CANCELLED", "cancelled"),
        ("canceling", "running"),
    ],
)
def test_the_words_that_end_a_batch_are_known(word: str, state: str) -> None:
    assert progress(word, 0, 4).state == state and not progress(word, 0, 4).unknown


def test_an_unknown_state_is_waited_for_and_said_once(desk: Desk) -> None:
    desk.desk.status = "paused" if isinstance(desk.server, OpenAIServer) else "PAUSED"
    seen = 0

    def show(done: int, total: int, note: str) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            desk.desk.status = None

    desk.desk.looks_until_done = 4
    run, _ = desk.go(lambda batches: batches.buy([desk.row("one")]), show=show)
    assert run.answered == 1 and desk.created == 1
    assert len([line for line in desk.told if "'paused'" in line and "it waits" in line]) == 1


def test_a_batch_that_is_gone_is_let_go_with_its_money_said(desk: Desk) -> None:
    """Deleted after 30 days, or of another project: 404 (bespokelabsai/curator#231)."""
    rows, job = open_rows(desk)
    desk.desk.batches.clear()
    run, ledger = desk.go(lambda batches: batches.resume())
    assert run.answered == 0 and desk.batch_folder.jobs() == []
    assert ledger.uncertain("collect") == (4, pytest.approx(0.04))
    (line,) = desk.told
    assert str(job.batch_id) in line and "4 of its 4 requests" in line and "$0.04" in line
    run, ledger = desk.go(lambda batches: batches.buy(desk.unasked(rows)))
    assert run.answered == 4 and ledger.uncertain("collect").requests == 4


def test_results_that_are_gone_leave_what_was_there(openai_desk: Desk) -> None:
    """The output file can be had, the error file is deleted."""
    desk = openai_desk
    desk.desk.fail.add("question 1")
    rows, _ = open_rows(desk)
    gone = Trouble(404, {"error": {"message": "No such File object: file-2", "type": "invalid_request_error"}})
    desk.server.trouble_for = lambda seen: gone if "error_file" in seen.path else None
    run, ledger = desk.go(lambda batches: batches.resume())
    assert run.answered == 3 and ledger.uncertain("collect") == (1, pytest.approx(0.01))
    assert "1 of its 4 requests" in desk.told[0]
    assert desk.unasked(rows) == [rows[1]]


def test_a_proxys_404_page_lets_no_batch_go(openai_desk: Desk) -> None:
    _, job = open_rows(openai_desk)
    openai_desk.server.trouble_for = lambda seen: Trouble(404, b"<html>no such page</html>")
    with pytest.raises((WorkFailed, UserError)):
        openai_desk.go(lambda batches: batches.resume())
    assert [open_job.batch_id for open_job in openai_desk.batch_folder.open_jobs()] == [job.batch_id]


def test_gone_batches_count_against_the_cap(openai_desk: Desk) -> None:
    rows, _ = open_rows(openai_desk)
    openai_desk.desk.batches.clear()
    with pytest.raises(BudgetReached):
        openai_desk.go(lambda batches: batches.buy(rows), cap_usd=0.045)
    assert openai_desk.created == 0


def test_one_unreadable_line_costs_one_row(desk: Desk) -> None:
    """BerriAI/litellm#37457: one bad line in the output, and the whole batch was never taken in."""
    desk.desk.garble.add("question 2")
    rows = [desk.row(f"question {n}") for n in range(4)]
    run, ledger = desk.go(lambda batches: batches.buy(rows))
    assert run.answered == 3 and desk.created == 1 and desk.batch_folder.jobs() == []
    assert list(run.problems) == [rows[2].key] and "can't be read" in run.problems[rows[2].key].why
    assert ledger.uncertain("collect") == (1, pytest.approx(0.01))
    assert len(ledger.garbled(rows[2].key)) == 1  # kept: a better reader need not pay again


def test_a_line_without_a_name_is_the_row_that_is_missing(openai_desk: Desk) -> None:
    desk = openai_desk
    rows, _ = open_rows(desk, 3)

    def spoil(seen: Seen) -> Trouble | None:
        if not seen.path.endswith("content"):
            return None
        raw = desk.desk.files[seen.path.split("/")[-2]].splitlines(keepends=True)
        return Trouble(200, b"\xff\xfe not json\n" + b"[1, 2]\n" + b"".join(raw[1:]))

    desk.server.trouble_for = spoil
    run, ledger = desk.go(lambda batches: batches.resume())
    assert run.answered == 2 and ledger.uncertain("collect").requests == 1
    assert desk.unasked(rows) == [rows[2]]  # the results come last row first


def test_a_batch_cancelled_by_hand_is_not_bought_again(desk: Desk) -> None:
    """The answered rows are kept; for the others the user is told what to type, and types it."""
    rows, job = open_rows(desk)
    desk.desk.stop(desk.newest(), 1)
    run, ledger = desk.go(lambda batches: batches.buy(desk.unasked(rows)))
    assert run.answered == 1 and desk.created == 1 and ledger.uncertain("collect").requests == 0
    assert f"distil batches forget {job.batch_id}" in desk.told[0] and "1 of its 4 answers" in desk.told[0]
    assert desk.unasked(rows) == []
    run, _ = desk.go(lambda batches: batches.buy(desk.unasked(rows)))
    assert run.answered == 0 and desk.created == 1
    with Ledger(desk.folder / "ledger.sqlite") as ledger:
        assert forget(desk.batch_folder, str(job.batch_id), ledger)[1:] == (3, 0.0)
    assert desk.batch_folder.jobs() == [] and len(desk.unasked(rows)) == 3
    run, ledger = desk.go(lambda batches: batches.buy(desk.unasked(rows)))
    assert run.answered == 3 and desk.created == 2 and len(ledger.answered()) == 4


@pytest.mark.parametrize("reason", ["error", None, "network_error"])
def test_an_answer_that_broke_off_is_none(openai_desk: Desk, reason: str | None) -> None:
    """Report 8 in a batch: asked again, and listed with what it may have cost when that does not help."""
    openai_desk.server.finish_reason = reason  # type: ignore[union-attr, assignment]
    row = openai_desk.row("one")
    run, ledger = openai_desk.go(lambda batches: batches.buy([row]))
    assert run.answered == 0 and openai_desk.created == 3 and row.key in run.problems
    assert ledger.uncertain("collect") == (3, pytest.approx(0.03)) and len(ledger.garbled(row.key)) == 3


def test_three_answered_one_failed_one_missing(openai_desk: Desk) -> None:
    """public-bugs 29 (kaapi #723): three kept, two asked again, the money right."""
    desk = openai_desk
    rows, _ = open_rows(desk, 5)
    desk.desk.fail.add("question 3")

    def drop_last(seen: Seen) -> Trouble | None:
        if not seen.path.endswith("output_file_id/content") or "batch_1" not in seen.path:
            return None
        raw = desk.desk.files[seen.path.split("/")[-2]].splitlines(keepends=True)
        return Trouble(200, b"".join(raw[1:]))  # the results come last row first: question 4 is missing

    desk.server.trouble_for = drop_last
    first, ledger = desk.go(lambda batches: batches.resume())
    assert first.answered == 3 and [row.key for row in desk.unasked(rows)] == [rows[3].key, rows[4].key]
    assert ledger.spent() == pytest.approx(first.usd) and ledger.uncertain().requests == 0
    desk.desk.fail.clear()
    second, ledger = desk.go(lambda batches: batches.buy(desk.unasked(rows)))
    assert second.answered == 2 and len(ledger.answered()) == 5
    assert ledger.spent() == pytest.approx(first.usd + second.usd)


ODD: tuple[Any, ...] = (
    None,
    7,
    -1,
    1e300,
    True,
    "x",
    "",
    [],
    {},
    [[1]],
    [None],
    {"data": 3},
    {"message": ["y"]},
    1 << 70,
)


def spoiled(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced by each odd one, at every depth."""
    yield from ODD
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        for odd in spoiled(value[key]):
            copy = json.loads(json.dumps(value))
            copy[key] = odd
            yield copy


def test_no_shape_of_a_reply_crashes(desk: Desk) -> None:
    """Every part of a real batch object and of real result rows is replaced: each is read, as progress or as a row."""
    api, _ = asyncio.run(opened(desk))
    desk.desk.fail.add("question 1")
    open_rows(desk, 2)
    for batch in batch_objects(desk):
        for odd in spoiled(batch):
            if isinstance(odd, dict):
                assert isinstance(api.read(odd), Progress)
    for row in result_rows(desk):
        for odd in spoiled(row):
            if isinstance(odd, dict):
                assert isinstance(api.result(odd), Result)
    assert isinstance(api.result(b"\xff{"), Result)


async def opened(desk: Desk) -> tuple[BatchApi, BatchProvider]:
    async with open_api(desk.opened, 0.01, set) as pair:
        return pair


def batch_objects(desk: Desk) -> list[Any]:
    """A running and an ended batch as the server shows them."""
    shown = anthropic.shown if desk.vendor == "anthropic" else desk.desk.shown
    batch, found = desk.newest(), []
    found.append(shown(batch))
    desk.desk.stop(batch, 2)
    found.append(shown(batch))
    return found


def result_rows(desk: Desk) -> list[Any]:
    batch = desk.newest()
    if desk.vendor == "google":
        return [*batch["results"]]
    if desk.vendor == "anthropic":
        return [json.loads(line) for line in batch["results"].splitlines()]
    files = [batch["output_file_id"], batch["error_file_id"]]
    return [json.loads(line) for name in files for line in desk.desk.files[name].splitlines()]


class OtherHost(WireServer):
    """Where a provider keeps its files; it must not see a key."""

    def routes(self) -> list[Any]:
        return []


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "together", "google"])
def test_a_download_is_followed_without_the_key(vendor: str, tmp_path: Path) -> None:
    """The trial's bug 9a: a 302 on the results sent `x-api-key` to another host."""
    with make_server(vendor) as server, OtherHost() as other:
        desk = Desk(server, tmp_path, vendor)
        desk.desk.inline = False
        rows, _ = open_rows(desk, 2)
        content: dict[str, bytes] = {}

        def away(seen: Seen) -> Trouble | None:
            if not seen.path.endswith(("content", "results", ":download")):
                return None
            name = seen.path.split("/")[-2] if not seen.path.endswith(":download") else seen.path.split("/")[-1][:-9]
            batch = desk.newest()
            raw = batch.get("results") if vendor == "anthropic" else None
            content["raw"] = raw or desk.desk.files.get(name) or desk.desk.files[f"files/{name}"]
            return Trouble(302, {}, {"Location": f"{other.origin}/bucket/{name}?signature=1"})

        server.trouble_for = away
        other.trouble_for = lambda seen: Trouble(200, content["raw"])
        run, _ = desk.go(lambda batches: batches.resume())
        assert run.answered == len(rows) and other.seen
        secrets = {"authorization", "x-api-key", "x-goog-api-key"}
        assert not secrets & {name for seen in other.seen for name in seen.headers}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_prompts_are_never_sent_on(openai_desk: Desk, status: int) -> None:
    desk = openai_desk
    with OtherHost() as other:
        moved = Trouble(status, {}, {"Location": f"{other.origin}/v1/files"})
        desk.server.trouble_for = lambda seen: moved if seen.path.endswith("/files") else None
        with pytest.raises(UserError, match="sends requests on to"):
            desk.go(lambda batches: batches.buy([desk.row("one")]))
        assert other.seen == [] and desk.batch_folder.jobs() == []


def test_a_lost_batch_is_found_on_a_later_page(desk: Desk) -> None:
    """More batches than one page holds lie above it."""
    _, job = open_rows(desk, 2)
    size = 101 if desk.vendor in ("openai", "anthropic", "mistral") else 3
    newest = desk.newest()
    for number in range(size):
        name = newest["name"][:-1] + str(100 + number) if desk.vendor == "google" else f"other_{number}"
        copy = json.loads(json.dumps({k: v for k, v in newest.items() if not isinstance(v, bytes)}))
        changed = {"id": name, "name": name, "display": "x", "metadata": {}, "input_file_id": "file-x"}
        copy |= {key: value for key, value in changed.items() if key in copy}
        copy |= {"request_counts": {"processing": 7}} if desk.vendor == "anthropic" else {}
        desk.desk.batches[name] = copy
    desk.batch_folder.save(job, state="intended", batch_id=None)
    run, _ = desk.go(lambda batches: batches.resume())
    assert run.answered == 2 and desk.batch_folder.jobs() == []


def test_letting_go_twice_counts_the_money_once(openai_desk: Desk) -> None:
    """Killed after the ledger and before the file: the next run finds the batch gone again."""
    _, job = open_rows(openai_desk)
    kept = {path: path.read_bytes() for path in openai_desk.batch_folder.folder.iterdir()}
    for _ in range(2):
        for path, raw in kept.items():
            path.write_bytes(raw)
        with Ledger(openai_desk.folder / "ledger.sqlite") as ledger:
            let_go(ledger, openai_desk.batch_folder, job, "gone")
            assert ledger.uncertain() == (4, pytest.approx(0.04))


def test_rows_deleted_by_hand_say_what_to_type(openai_desk: Desk) -> None:
    _, job = open_rows(openai_desk)
    openai_desk.batch_folder.rows_path(job).unlink()
    with pytest.raises(UserError, match=f"distil batches forget {job.batch_id}"):
        openai_desk.go(lambda batches: batches.resume())
    with Ledger(openai_desk.folder / "ledger.sqlite") as ledger:
        forget(openai_desk.batch_folder, str(job.batch_id), ledger)
    assert openai_desk.batch_folder.jobs() == []
