"""Batches of both vendors against loopback servers: matched by custom_id, asked again where they failed, never bought twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distil.calls.batch import anthropic_api, net, openai_api
from distil.calls.batch.intake import BatchBudget
from distil.calls.batch.job import BatchFolder, BatchRow, custom_id, intent_of, key_of
from distil.calls.batch.run import BatchRun, Show, open_batches
from distil.calls.config import Price, TeacherConfig
from distil.calls.identity import endpoint_of, identify
from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.calls.providers.catalog import Opened, open_teacher
from distil.errors import BudgetReached, UserError, WorkFailed
from tests.wire import anthropic, openai
from tests.wire.anthropic import AnthropicServer
from tests.wire.ask import question
from tests.wire.openai import OpenAIServer
from tests.wire.server import Trouble

PRICE = Price(input=1.0, output=4.0, batch_factor=0.5)
Server = OpenAIServer | AnthropicServer
LOST = Trouble(502, b"<html>bad gateway</html>", after=True)


class Desk:
    """One vendor's server with the project's folder and ledger beside it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        model, key = (
            ("openai/gpt-4o-mini", openai.KEY)
            if isinstance(server, OpenAIServer)
            else ("anthropic/claude-haiku-4-5", anthropic.KEY)
        )
        variable = f"{model.split('/')[0].upper()}_API_KEY"
        teacher = TeacherConfig(model=model, base_urls=[server.url], price=PRICE)
        self.opened: Opened = open_teacher(teacher, environ={variable: key})
        self.model = model
        self.folder = folder
        self.batch_folder = BatchFolder(folder / "batches")

    def row(self, text: str, most_usd: float = 0.01) -> BatchRow:
        identity = identify(self.opened, question(text, self.model), endpoint_of(self.opened))
        assert identity.wire is not None
        return BatchRow(identity.key, 0, identity.wire.body, most_usd)

    def go(
        self, do: Callable[[BatchRun], Any], cap_usd: float | None = None, show: Show = lambda done, total, note: None
    ) -> tuple[BatchRun, Ledger]:
        ledger = Ledger(self.folder / "ledger.sqlite")
        budget = BatchBudget(self.model, price_of(self.model, PRICE, "batch"), cap_usd)

        async def run() -> BatchRun:
            async with open_batches(self.opened, ledger, self.batch_folder, budget, show=show) as batches:
                await do(batches)
                return batches

        try:
            return asyncio.run(run()), ledger
        finally:
            ledger.close()

    def keys_in_flight(self) -> set[str]:
        return {row.key for job in self.batch_folder.open_jobs() for row in self.batch_folder.rows(job)}

    @property
    def created(self) -> int:
        return len(self.server.posts("/batches"))

    def text(self, ledger: Ledger, row: BatchRow) -> str:
        stored = ledger.find(row.key)
        assert stored is not None and stored.reply is not None
        return self.opened.replicas[0].parse(200, {}, stored.reply).text


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.batch.run.FIRST_POLL_S", 0.01)


@pytest.fixture(params=["openai", "anthropic"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    server: Server = OpenAIServer() if request.param == "openai" else AnthropicServer()
    with server:
        yield Desk(server, tmp_path)


def failing(desk: Desk) -> set[str]:
    return desk.server.desk.fail if isinstance(desk.server, OpenAIServer) else desk.server.fail


def expiring(desk: Desk) -> set[str]:
    return desk.server.desk.expire if isinstance(desk.server, OpenAIServer) else desk.server.expire


def test_answers_in_any_order_find_their_rows_at_half_price(desk: Desk) -> None:
    rows = [desk.row(f"question {n}") for n in range(7)]
    run, ledger = desk.go(lambda batches: batches.buy(rows))
    assert run.answered == 7 and not run.problems and desk.created == 1
    for n, row in enumerate(rows):
        assert desk.text(ledger, row) == f"An answer to: question {n}"
    calls = list(ledger.calls("collect"))
    assert {call.tier for call in calls} == {"batch"} and {call.price_input for call in calls} == {0.5}
    assert run.usd == pytest.approx(
        sum(call.usage.input_tokens * 0.5 + call.usage.output_tokens * 2 for call in calls) / 1e6
    )
    assert desk.batch_folder.open_jobs() == [] and not list(desk.batch_folder.folder.glob("*.rows.jsonl"))


def test_batch_and_live_requests_have_the_same_keys(desk: Desk) -> None:
    row = desk.row("one")
    live = identify(desk.opened, question("one", desk.model), endpoint_of(desk.opened)).key
    assert key_of(custom_id("0123456789ab", row.key)) == row.key == live
    assert intent_of(custom_id("0123456789ab", row.key)) == "0123456789ab"


def test_failed_and_expired_rows_go_into_another_batch(desk: Desk) -> None:
    failing(desk).add("bad")
    expiring(desk).add("late")
    rows = [desk.row("good"), desk.row("bad"), desk.row("late")]

    def heal(done: int, total: int, note: str) -> None:
        if desk.created == 2:
            failing(desk).clear()
            expiring(desk).clear()

    run, ledger = desk.go(lambda batches: batches.buy(rows), show=heal)
    assert run.answered == 3 and not run.problems
    assert ledger.answered() == {row.key for row in rows}
    good = [body for body in desk.server.answered if "good" in str(body)]
    assert len(good) == 1


def test_rows_that_never_work_end_in_the_list_and_cost_nothing(desk: Desk) -> None:
    failing(desk).add("bad")
    bad, good = desk.row("bad"), desk.row("good")
    run, ledger = desk.go(lambda batches: batches.buy([bad, good]))
    assert run.answered == 1 and set(run.problems) == {bad.key} and desk.created == 3
    stored = ledger.find(bad.key)
    assert stored is not None and stored.call.status == "failed" and stored.call.usd == 0 and not stored.open


def test_killed_after_create_the_batch_is_not_bought_twice(desk: Desk) -> None:
    rows = [desk.row(f"question {n}") for n in range(3)]

    async def noted(upload_id: str) -> None:
        pass

    async def killed(batches: BatchRun) -> None:
        job = desk.batch_folder.new(desk.model, desk.opened.endpoint, rows)
        await batches._api.submit(job, desk.batch_folder.rows(job), desk.batch_folder.upload_path(job), noted)
        # and its id was never noted

    desk.go(killed)
    assert [job.state for job in desk.batch_folder.open_jobs()] == ["intended"]
    assert desk.keys_in_flight() == {row.key for row in rows}
    run, ledger = desk.go(lambda batches: batches.resume())
    assert run.answered == 3 and desk.created == 1 and len(desk.server.answered) == 3
    assert ledger.answered() == {row.key for row in rows}


def test_killed_before_create_the_batch_is_bought_once(desk: Desk) -> None:
    rows = [desk.row("one")]
    desk.batch_folder.new(desk.model, desk.opened.endpoint, rows)
    run, _ = desk.go(lambda batches: batches.buy(rows))
    assert run.answered == 1 and desk.created == 1 and len(desk.server.answered) == 1


def test_a_lost_reply_to_create_is_looked_up_and_not_repeated(desk: Desk) -> None:
    rows = [desk.row("one"), desk.row("two")]
    desk.server.troubles.extend([None, LOST] if isinstance(desk.server, OpenAIServer) else [LOST])
    run, _ = desk.go(lambda batches: batches.buy(rows))
    assert run.answered == 2 and desk.created == 1 and len(desk.server.answered) == 2


def test_killed_while_it_waits_the_next_run_goes_on_waiting(desk: Desk) -> None:
    rows = [desk.row("one")]

    async def interrupted(batches: BatchRun) -> None:
        task = asyncio.create_task(batches.buy(rows))
        while not [job for job in desk.batch_folder.open_jobs() if job.state == "created"]:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    _, ledger = desk.go(interrupted)
    stored = ledger.find(rows[0].key)
    assert stored is not None and stored.open and stored.call.tier == "batch"
    run, ledger = desk.go(lambda batches: batches.buy([row for row in rows if row.key not in desk.keys_in_flight()]))
    assert run.answered == 1 and desk.created == 1 and len(ledger.answered()) == 1


def test_results_that_are_taken_in_twice_are_counted_once(desk: Desk) -> None:
    rows = [desk.row("one"), desk.row("two")]

    async def twice(batches: BatchRun) -> None:
        finish, desk.batch_folder.finish = desk.batch_folder.finish, lambda job: None  # type: ignore[method-assign]
        await batches.buy(rows)
        desk.batch_folder.finish = finish  # type: ignore[method-assign]

    first, ledger = desk.go(twice)
    spent = ledger.spent()
    again, ledger = desk.go(lambda batches: batches.resume())
    assert again.answered == 2 and ledger.spent() == pytest.approx(spent) == pytest.approx(first.usd)


def test_the_budget_holds_over_open_batches(desk: Desk) -> None:
    rows = [desk.row(f"question {n}", most_usd=0.4) for n in range(4)]
    with pytest.raises(BudgetReached, match=r"collect\.budget_usd"):
        desk.go(lambda batches: batches.buy(rows), cap_usd=0.3)
    assert desk.created == 0
    run, ledger = desk.go(lambda batches: batches.buy(rows), cap_usd=1.0)
    assert run.answered == 4 and desk.created >= 2  # two rows fit at once; the real price leaves room for the others
    assert ledger.spent() < 1.0


def test_files_keep_the_vendors_limits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_api.OpenAIBatches, "max_rows", 3)
    monkeypatch.setattr(anthropic_api.AnthropicBatches, "max_rows", 3)
    run, _ = desk.go(lambda batches: batches.buy([desk.row(f"question {n}") for n in range(7)]))
    assert run.answered == 7 and desk.created == 3


def test_a_wrong_key_stops_at_once_and_leaves_nothing_behind(desk: Desk) -> None:
    desk.opened.replicas[0]._key = "wrong"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="API key"):
        desk.go(lambda batches: batches.buy([desk.row("one")]))
    assert desk.batch_folder.open_jobs() == [] and desk.server.answered == []


def test_an_address_where_nobody_is_is_told_after_two_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        desk = Desk(server, tmp_path)
    pauses: list[float] = []

    async def no_wait(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(net.asyncio, "sleep", no_wait)
    with pytest.raises(WorkFailed, match="can't be reached"):
        desk.go(lambda run: run.buy([desk.row("hello")]))
    assert len(pauses) == 1 and desk.batch_folder.open_jobs() == []


def test_slow_and_failing_looks_are_repeated(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "MAX_WAIT_S", 0.01)
    looks = iter([Trouble(500, {}), Trouble(503, b""), Trouble(200, b"<html>")])
    desk.server.trouble_for = lambda seen: next(looks, None) if seen.method == "GET" else None
    run, _ = desk.go(lambda batches: batches.buy([desk.row("one")]))
    assert run.answered == 1


def test_cut_off_results_are_downloaded_again_counted_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "MAX_WAIT_S", 0.01)
    troubles = iter([Trouble(200, b'{"custom_id": "x"}\n' * 50, cut=True), Trouble(502, b"")])
    desk.server.trouble_for = lambda seen: next(troubles, None) if seen.path.endswith(("content", "results")) else None
    run, ledger = desk.go(lambda batches: batches.buy([desk.row(f"question {n}") for n in range(5)]))
    assert run.answered == 5 and desk.created == 1 and run.usd == pytest.approx(ledger.spent())


def test_a_web_page_in_place_of_results_stops_the_run(desk: Desk) -> None:
    garbage = iter([Trouble(200, b"<html>maintenance</html>")])
    desk.server.trouble_for = lambda seen: next(garbage, None) if seen.path.endswith(("content", "results")) else None
    with pytest.raises(WorkFailed, match="web page in place"):
        desk.go(lambda batches: batches.buy([desk.row("one")]))
    run, _ = desk.go(lambda batches: batches.resume())
    assert run.answered == 1 and desk.created == 1


def test_a_batch_that_openai_refuses_says_why(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        server.desk.reject = "Missing required parameter: 'model'."
        desk = Desk(server, tmp_path)
        with pytest.raises(WorkFailed, match="Missing required parameter"):
            desk.go(lambda batches: batches.buy([desk.row("one")]))
        assert desk.batch_folder.open_jobs() == []


def test_too_many_enqueued_tokens_make_the_batches_smaller(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        server.desk.enqueued_rows = 2
        desk = Desk(server, tmp_path)
        run, _ = desk.go(lambda batches: batches.buy([desk.row(f"question {n}") for n in range(5)]))
        assert run.answered == 5
