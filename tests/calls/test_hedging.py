"""Hedging: stragglers no longer hold up a run, both replies are charged, and few requests are sent twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from distil.calls.client import Client
from distil.calls.config import Limits
from distil.calls.ledger.rescue import append, recover_rescued
from distil.calls.ledger.rows import HedgedRow, HedgeRow, IntentRow
from distil.calls.ledger.schema import connect
from distil.calls.ledger.store import Ledger
from distil.calls.limits.budget import Budget, Reservation
from distil.calls.request import Reply, Request
from distil.errors import BudgetReached
from tests.calls.asking import MODEL, all_of, ask, teacher, with_client
from tests.wire import openai as wire

FEW = Limits(concurrency=16)
DAY = "2026-08-04T10:00:00.000+00:00"


class SlowServer(wire.OpenAIServer):
    """Answers in 20 ms, and where `slow` says so (question, how often it was asked) after `slow_s`; all of it is billed."""

    def __init__(self) -> None:
        super().__init__(delay_s=0.02)
        self.slow: Callable[[int, int], bool] = lambda number, times: number % 100 == 99 and times == 1
        self.slow_s = 30.0
        self.status: int | None = None
        """Instead of a late answer."""
        self.asked: Counter[int] = Counter()

    async def refuse_or_complete(self, request: web.Request) -> web.Response:
        number = int((await request.json())["messages"][-1]["content"].split()[-1])
        self.asked[number] += 1
        if not self.slow(number, self.asked[number]):
            return await super().refuse_or_complete(request)
        if self.status is None:
            response = await super().refuse_or_complete(request)
            await asyncio.sleep(self.slow_s)
            return response
        await asyncio.sleep(self.slow_s)
        return web.json_response({"error": {"message": "no", "type": "x"}}, status=self.status)

    @property
    def twice(self) -> int:
        return sum(count > 1 for count in self.asked.values())

    @property
    def bill(self) -> float:
        """Dollars of everything that it answered, at the price of `teacher`."""
        asked = sum(max(1, len(json.dumps(body["messages"])) // 4) for body in self.answered)
        return (asked + 2 * sum(max(1, len(self.answer(body)) // 4) for body in self.answered)) / 1e6


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowServer]:
    monkeypatch.setenv("OPENAI_API_KEY", wire.KEY)
    with SlowServer() as running:
        yield running


def questions(count: int) -> Iterator[Request]:
    return (ask(f"question {number}", hedge=4.0) for number in range(count))


def run(
    server: SlowServer, path: Path, count: int, then_s: float = 0.0, limits: Limits | None = None, **options: Any
) -> tuple[dict[str, Reply], float]:
    """({question: reply}, dollars that the client counted); the client stays open for so long after the last answer."""

    async def work(client: Client) -> tuple[dict[str, Reply], float]:
        replies = {
            str(request.messages[-1].content): result for request, result in await all_of(client, questions(count))
        }
        assert all(isinstance(reply, Reply) for reply in replies.values())
        await asyncio.sleep(then_s)
        if then_s:  # nothing is out any more: the budget has counted what the ledger holds
            assert client._budget.reserved_usd == pytest.approx(0.0, abs=1e-9)
            assert client._budget.spent_usd == pytest.approx(client.ledger.spent())
        return replies, client.stats.usd

    made: tuple[dict[str, Reply], float] = with_client(
        path, [teacher(server, limits=limits or Limits())], work, **options
    )
    return made


def test_one_in_a_hundred_no_longer_holds_up_a_run(slow: SlowServer, tmp_path: Path) -> None:
    started = time.monotonic()
    replies, _ = run(slow, tmp_path, 400, budget_usd=1.0)
    assert time.monotonic() - started < 15
    assert 4 <= slow.twice <= 20 and max(slow.asked.values()) == 2
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        lost = ledger.uncertain()
        assert len(ledger.answered()) == 400 and 4 <= lost.requests <= slow.twice
        assert ledger.spent() <= slow.bill <= ledger.spent() + lost.usd, "what was cut off may have been paid, and was"
    asked = slow.asked.total()
    again, _ = run(slow, tmp_path, 400)
    assert slow.asked.total() == asked, "a second run asks nothing"
    assert {words: reply.text for words, reply in again.items()} == {words: r.text for words, r in replies.items()}


def test_both_replies_are_in_the_ledger_and_charged(slow: SlowServer, tmp_path: Path) -> None:
    slow.slow_s = 1.5
    numbers = iter(range(10_000))
    slow.answer = lambda body: f"answer {next(numbers)}"  # no two are equal
    replies, counted = run(slow, tmp_path, 200, then_s=2.0, limits=FEW, budget_usd=1.0)
    assert slow.twice >= 2 and len(slow.answered) == 200 + slow.twice
    slow.answer = lambda body: "answer 999"  # for `bill`: all are about as long
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.uncertain().requests == 0
        assert ledger.spent("collect") == pytest.approx(counted)
        second = [row for row in ledger.attempts() if row[2] == "hedge"]
        assert len(second) == slow.twice and all(usd is not None and usd > 0 for *_, usd in second)
        assert ledger.spent() == pytest.approx(
            sum(r.usd for r in replies.values()) + sum(usd or 0.0 for *_, usd in second)
        )
        assert ledger.spent() == pytest.approx(slow.bill, rel=0.1)
        for reply in replies.values():
            assert json.loads(ledger.body(reply.call_id)[1])["choices"][0]["message"]["content"] == reply.text


def test_a_provider_that_became_slow_is_not_asked_twice(slow: SlowServer, tmp_path: Path) -> None:
    slow.slow, slow.slow_s = lambda number, times: number >= 200, 3.0
    run(slow, tmp_path, 250, then_s=3.3, limits=Limits(concurrency=48))
    assert 1 <= slow.twice <= 12
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.uncertain().requests == 0


@pytest.mark.parametrize("first_fails", [True, False], ids=["one", "both"])
def test_a_request_of_which_one_or_both_fail(first_fails: bool, slow: SlowServer, tmp_path: Path) -> None:
    slow.status, slow.slow_s = 500, 1.0
    failing = 1 if first_fails else 2  # where both fail, a third is sent
    slow.slow = lambda number, times: number == 99 and times <= failing
    replies, counted = run(slow, tmp_path, 100, then_s=1.2, limits=FEW, budget_usd=1.0)
    assert slow.asked[99] == (2 if first_fails else 3) and len(replies) == 100
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.uncertain().requests == 0 and ledger.spent() == pytest.approx(counted)
        assert counted == pytest.approx(sum(reply.usd for reply in replies.values()))


def test_the_cap_holds_with_second_requests(slow: SlowServer, tmp_path: Path) -> None:
    slow.slow = lambda number, times: number % 40 == 39 and times == 1
    slow.slow_s, cap = 3.0, 0.06
    slow.answer = lambda body: "words " * 30
    with pytest.raises(BudgetReached):
        run(slow, tmp_path, 5000, limits=FEW, budget_usd=cap)
    assert slow.twice > 3
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert 0.5 * cap < ledger.spent() + ledger.uncertain().usd <= cap
    assert slow.bill <= cap


def test_cut_off_both_may_have_been_paid(slow: SlowServer, tmp_path: Path) -> None:
    slow.slow = lambda number, times: number == 99

    async def work(client: Client) -> None:
        await all_of(client, questions(60))
        late = asyncio.create_task(client.complete(ask("question 99", hedge=4.0)))
        while slow.asked[99] < 2:
            await asyncio.sleep(0.01)
        late.cancel()
        await asyncio.wait({late})
        assert late.cancelled() and client.stats.in_flight == 0
        assert client._budget.reserved_usd == pytest.approx(0.0, abs=1e-9)
        assert client._budget.uncertain_usd == pytest.approx(client.ledger.uncertain().usd)

    with_client(tmp_path, [teacher(slow)], work, budget_usd=1.0)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.uncertain().requests == 2 and slow.asked[99] == 2


def test_without_hedging_nothing_is_sent_twice(slow: SlowServer, tmp_path: Path) -> None:
    slow.slow_s = 1.0
    with_client(tmp_path, [teacher(slow)], lambda client: all_of(client, (ask(f"question {n}") for n in range(100))))
    assert slow.twice == 0


def test_a_process_that_dies_has_booked_both(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    row = HedgeRow("call_1", DAY, "hedge", "twice", 0.3)
    with Ledger(path) as ledger:
        intent = IntentRow("call_1", "collect", MODEL, "e", "standard", 0, "a run that died", 0.3, DAY)
        ledger.start().put([intent, row]).result()
    with Ledger(path) as ledger:
        assert (ledger.uncertain().requests, ledger.uncertain().usd) == (2, 0.6)
        assert sum(one.requests for one in ledger.settle(None)) == 1
        ledger.start().put([HedgedRow("call_1", DAY, 2.0, 0.2, b"reply")]).result()  # it came, whatever was settled
        assert ledger.spent("collect") == 0.2
        ledger.start().put([HedgedRow("call_1", DAY, None, None, None)]).result()
        assert ledger.spent("collect") == 0.0


def test_a_second_reply_survives_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.start().put([HedgeRow("call_1", DAY, "hedge", "twice", 0.3)]).result()
    append(path, [HedgedRow("call_1", DAY, 2.0, 0.2, b"reply")])
    db = connect(path, 1.0)
    assert recover_rescued(db, path) == 1
    assert db.execute("SELECT settled_usd, reply FROM attempt").fetchall() == [(0.2, b"reply")]
    db.close()


def test_money_for_a_second_request_must_be_free() -> None:
    async def main() -> None:
        budget = Budget(1.0)
        assert budget.take_free(Reservation(0.6))
        assert not budget.take_free(Reservation(0.6)) and budget.reserved_usd == 0.6
        waiting = asyncio.create_task(budget.reserve(0.6))
        await asyncio.sleep(0)
        assert not budget.take_free(Reservation(0.1)), "those who wait come first"
        waiting.cancel()
        await asyncio.wait({waiting})
        assert budget.take_free(Reservation(0.1))

    asyncio.run(main())
