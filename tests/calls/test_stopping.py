"""When a run waits, goes round what is dead, and stops: the cap, an empty account, a provider that is down."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from distil.calls.client import Client
from distil.calls.config import Limits
from distil.calls.faults import ProviderDown, QuotaExhausted
from distil.calls.ledger.store import Ledger
from distil.calls.request import Reply
from distil.errors import BudgetReached, UserError
from tests.calls.asking import all_of, ask, teacher, with_client
from tests.wire import openai as wire


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_kept(form: str, server: wire.OpenAIServer, tmp_path: Path) -> None:
    value = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    server.troubles.append(wire.rate_limited(value))
    with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    first, second = server.posts()
    assert 0.9 < second.time - first.time < 20


def test_waiting_in_the_queue_is_no_timeout(server: wire.OpenAIServer, tmp_path: Path) -> None:
    server.delay_s = 0.2

    async def work(client: Client) -> None:
        results = await all_of(client, (ask(f"question {number}") for number in range(12)))
        assert all(isinstance(result, Reply) and result.latency_s < 1.8 for _, result in results)

    with_client(tmp_path, [teacher(server, timeout_s=1.8, limits=Limits(concurrency=1))], work)


def test_no_money_at_the_provider_stops_and_keeps_answers(server: wire.OpenAIServer, tmp_path: Path) -> None:
    server.trouble_for = lambda seen: wire.OUT_OF_MONEY if len(server.answered) >= 20 else None
    kept: list[Reply] = []

    async def work(client: Client) -> None:
        async for _, result in client.map((number, ask(f"question {number}")) for number in range(500)):
            assert isinstance(result, Reply)
            kept.append(result)

    with pytest.raises(QuotaExhausted, match="kept"):
        with_client(tmp_path, [teacher(server)], work)
    assert len(kept) == len(server.answered) >= 20
    assert len(server.posts()) < 100
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert len(ledger.answered()) == len(kept)


def test_when_everything_fails_the_run_pauses_then_stops(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distil.calls.limits.outage.GIVE_UP_S", 3.0)
    server.trouble_for = lambda seen: wire.SERVER_ERROR

    async def work(client: Client) -> None:
        await all_of(client, (ask(f"question {number}") for number in range(300)))

    started = time.monotonic()
    with pytest.raises(ProviderDown, match="the same command continues"):
        with_client(tmp_path, [teacher(server)], work)
    assert time.monotonic() - started < 25
    assert len(server.posts()) < 100, "a pause and single tries, not a storm"


def test_a_provider_that_comes_back_is_used_again_at_full_speed(server: wire.OpenAIServer, tmp_path: Path) -> None:
    started = time.monotonic()
    server.trouble_for = lambda seen: wire.SERVER_ERROR if time.monotonic() - started < 1.0 else None

    async def work(client: Client) -> None:
        results = await all_of(client, (ask(f"question {number}") for number in range(150)))
        assert all(isinstance(result, Reply) for _, result in results)
        assert 1.0 < time.monotonic() - started < 25

    with_client(tmp_path, [teacher(server)], work)


def test_the_cap_holds_and_raising_it_goes_on(server: wire.OpenAIServer, tmp_path: Path) -> None:
    def paid() -> float:
        return sum((answered_cost(body) for body in server.answered), 0.0)

    def answered_cost(body: dict[str, Any]) -> float:
        tokens = max(1, len(body["messages"][-1]["content"]) // 4)
        return (tokens * 1 + max(1, (len(body["messages"][-1]["content"]) + 14) // 4) * 2) / 1e6

    kept: list[Reply] = []

    async def work(client: Client) -> None:
        async for _, result in client.map((number, ask(f"question number {number}")) for number in range(400)):
            assert isinstance(result, Reply)
            kept.append(result)

    cap = 0.002
    with pytest.raises(BudgetReached, match=r"--set collect\.budget_usd="):
        with_client(tmp_path, [teacher(server)], work, budget_usd=cap)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        spent = ledger.spent()
        assert 0.5 * cap < spent <= cap
        assert len(ledger.answered()) == len(kept) == len(server.answered)
    assert paid() <= cap
    with pytest.raises(BudgetReached):
        with_client(tmp_path, [teacher(server)], work, budget_usd=cap)
    assert len(server.answered) < 400
    with_client(tmp_path, [teacher(server)], work, budget_usd=1.0)
    assert len(server.answered) == 400


def test_another_purpose_has_its_own_budget(server: wire.OpenAIServer, tmp_path: Path) -> None:
    async def collect(client: Client) -> None:
        await all_of(client, (ask(f"question {number}") for number in range(20)))

    with_client(tmp_path, [teacher(server)], collect)
    judged = with_client(
        tmp_path, [teacher(server)], lambda client: client.complete(ask("judge", purpose="judge")), budget_usd=0.0005
    )
    assert isinstance(judged, Reply)


def test_replicas_are_balanced_and_dead_ones_left_out(server: wire.OpenAIServer, tmp_path: Path) -> None:
    with wire.OpenAIServer() as second:
        with wire.OpenAIServer() as third:
            pass
        server.delay_s = second.delay_s = 0.05

        async def work(client: Client) -> None:
            results = await all_of(client, (ask(f"question {number}") for number in range(200)))
            assert all(isinstance(result, Reply) for _, result in results)

        teachers = [teacher(server, base_urls=[server.url, second.url, third.url])]
        with_client(tmp_path, teachers, work)
        assert len(server.answered) > 60 and len(second.answered) > 60
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            refused = sum(kind == "connection" for _, _, kind, _, _ in ledger.attempts())
        assert 1 <= refused < 40
        assert len(server.answered) + len(second.answered) == 200


def test_a_self_hosted_teacher_without_key_names_the_setting(server: wire.OpenAIServer, tmp_path: Path) -> None:
    own = teacher(server, model=f"{server.url}#gpt-4o-mini", base_urls=[])
    request = ask().model_copy(update={"model": own.model})
    with pytest.raises(UserError, match=r"No key was sent.*`api_key_env`"):
        with_client(tmp_path, [own], lambda client: client.complete(request))
    named = own.model_copy(update={"api_key_env": "OPENAI_API_KEY"})
    assert with_client(tmp_path, [named], lambda client: client.complete(request)).text == "An answer to: hello"


def test_no_connection_is_told_in_plain_words(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distil.calls.limits.outage.UNREACHABLE_S", 0.0)
    gone = teacher(server, base_urls=["http://127.0.0.1:9/v1"])
    with pytest.raises(UserError, match=r"no connection to 127\.0\.0\.1:9: connection refused\. Check the network"):
        with_client(tmp_path, [gone], lambda client: client.complete(ask()))


def test_a_wrong_address_is_told_after_a_few_tries(server: wire.OpenAIServer, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await all_of(client, (ask(f"question {number}") for number in range(300)))

    with pytest.raises(UserError, match="can't be reached"):
        with_client(tmp_path, [teacher(server, base_urls=["http://127.0.0.1:9/v1"])], work)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert sum(kind == "connection" for _, _, kind, _, _ in ledger.attempts()) < 40


def test_one_missing_replica_does_not_end_a_run_at_its_start(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distil.calls.limits.outage.UNREACHABLE_S", 0.0)
    server.delay_s = 0.3

    async def work(client: Client) -> None:
        results = await all_of(client, (ask(f"question {number}") for number in range(30)))
        assert all(isinstance(result, Reply) for _, result in results)

    with_client(tmp_path, [teacher(server, base_urls=["http://127.0.0.1:9/v1", server.url])], work)


def test_a_server_that_vanishes_after_an_answer_is_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.limits.outage.UNREACHABLE_S", 0.0)
    monkeypatch.setattr("distil.calls.limits.outage.GIVE_UP_S", 1.5)
    monkeypatch.setenv("OPENAI_API_KEY", wire.KEY)
    own = wire.OpenAIServer().__enter__()

    async def work(client: Client) -> None:
        await client.complete(ask())
        own.__exit__(None, None, None)
        await all_of(client, (ask(f"question {number}") for number in range(30)))

    with pytest.raises(ProviderDown, match="has not answered"):
        with_client(tmp_path, [teacher(own)], work)


def test_a_full_flex_tier_does_not_slow_standard_requests(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distil.calls.session.BACKOFF_S", 0.01)
    server.delay_s = 0.02
    server.trouble_for = lambda seen: wire.SHED if b'"service_tier":"flex"' in seen.raw else None

    async def work(client: Client) -> None:
        asked = (ask(f"question {number}", tier="flex", flex_full="standard") for number in range(120))
        assert all(isinstance(result, Reply) for _, result in await all_of(client, asked))
        assert client.stats.admission.limit >= 8

    with_client(tmp_path, [teacher(server, limits=Limits(concurrency=16))], work)
