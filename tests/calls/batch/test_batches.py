"""Batches of all vendors against loopback servers: matched by custom_id, asked again where they failed, never bought twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.calls.batch import net
from distil.calls.batch.apis import BATCH_APIS
from distil.calls.batch.job import custom_id, intent_of, key_of
from distil.calls.batch.run import BatchRun
from distil.calls.identity import endpoint_of, identify
from distil.errors import BudgetReached, UserError, WorkFailed
from tests.calls.batch.desk import LOST, VENDORS, Desk, make_server
from tests.wire.ask import question
from tests.wire.openai import OpenAIServer
from tests.wire.server import Trouble


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.batch.run.FIRST_POLL_S", 0.01)


@pytest.fixture(params=VENDORS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with make_server(request.param) as server:
        yield Desk(server, tmp_path, request.param)


def results(seen_path: str) -> bool:
    return seen_path.endswith(("content", "results", ":download"))


def test_answers_in_any_order_find_their_rows_at_half_price(desk: Desk) -> None:
    rows = [desk.row(f"question {n}") for n in range(7)]
    run, ledger = desk.go(lambda batches: batches.buy(rows))
    assert run.answered == 7 and not run.problems and desk.created == 1
    for n, row in enumerate(rows):
        assert desk.text(ledger, row) == f"An answer to: question {n}"
    calls = list(ledger.calls("collect"))
    assert {call.tier for call in calls} == {"batch"} and {call.price_input for call in calls} == {0.5}
    assert run.usd == pytest.approx(
        sum(
            (call.usage.input_tokens + call.usage.cache_write_tokens / 4) * 0.5 + call.usage.output_tokens * 2
            for call in calls
        )
        / 1e6
    )
    assert desk.batch_folder.open_jobs() == [] and not list(desk.batch_folder.folder.glob("*.rows.jsonl"))


def test_batch_and_live_requests_have_the_same_keys(desk: Desk) -> None:
    row = desk.row("one")
    live = identify(desk.opened, question("one", desk.model), endpoint_of(desk.opened)).key
    assert key_of(custom_id("0123456789ab", row.key)) == row.key == live
    assert intent_of(custom_id("0123456789ab", row.key)) == "0123456789ab"


def test_failed_and_expired_rows_go_into_another_batch(desk: Desk) -> None:
    desk.desk.fail.add("bad")
    desk.desk.expire.add("late")
    rows = [desk.row("good"), desk.row("bad"), desk.row("late")]

    def heal(done: int, total: int, note: str) -> None:
        if desk.created == 2:
            desk.desk.fail.clear()
            desk.desk.expire.clear()

    run, ledger = desk.go(lambda batches: batches.buy(rows), show=heal)
    assert run.answered == 3 and not run.problems
    assert ledger.answered() == {row.key for row in rows}
    good = [body for body in desk.server.answered if "good" in str(body)]
    assert len(good) == 1


def test_rows_that_never_work_end_in_the_list_and_cost_nothing(desk: Desk) -> None:
    desk.desk.fail.add("bad")
    bad, good = desk.row("bad"), desk.row("good")
    run, ledger = desk.go(lambda batches: batches.buy([bad, good]))
    assert run.answered == 1 and set(run.problems) == {bad.key} and desk.created == 3
    stored = ledger.find(bad.key)
    assert stored is not None and stored.call.status == "failed" and stored.call.usd == 0 and not stored.open


def test_killed_after_create_the_batch_is_not_bought_twice(desk: Desk) -> None:
    rows = [desk.row(f"question {n}") for n in range(3)]

    async def killed(batches: BatchRun) -> None:
        job = desk.batch_folder.new(desk.model, desk.opened.endpoint, rows)

        async def noted(upload_id: str) -> None:
            desk.batch_folder.save(job, upload_id=upload_id)

        await batches._api.submit(job, desk.batch_folder.rows(job), desk.batch_folder.upload_path(job), noted)
        # and its id was never noted

    desk.go(killed)
    assert [job.state for job in desk.batch_folder.open_jobs()] == ["intended"]
    assert set(desk.batch_folder.held()) == {row.key for row in rows}
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
    _, ledger = desk.go(lambda batches: desk.until_created(batches, rows))
    stored = ledger.find(rows[0].key)
    assert stored is not None and stored.open and stored.call.tier == "batch"
    run, ledger = desk.go(
        lambda batches: batches.buy([row for row in rows if row.key not in set(desk.batch_folder.held())])
    )
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
    monkeypatch.setattr(f"{BATCH_APIS[desk.vendor].replace(':', '.')}.max_rows", 3)
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
    desk.server.trouble_for = lambda seen: next(troubles, None) if results(seen.path) else None
    run, ledger = desk.go(lambda batches: batches.buy([desk.row(f"question {n}") for n in range(5)]))
    assert run.answered == 5 and desk.created == 1 and run.usd == pytest.approx(ledger.spent())


def test_a_web_page_in_place_of_results_stops_the_run(desk: Desk) -> None:
    desk.desk.inline = False  # Gemini's answers as a file
    garbage = iter([Trouble(200, b"<html>maintenance</html>")])
    desk.server.trouble_for = lambda seen: next(garbage, None) if results(seen.path) else None
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
