"""Sampled requests get fresh answers, and the gateway's dollar caps hold over everything and over each day."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from distil.calls.client import Client
from distil.calls.ledger.store import Ledger
from distil.calls.request import Request
from distil.records import Message
from distil.serve.apis.checked import Defaults
from distil.serve.day_budget import DayBudget
from distil.serve.fallback import Fallback
from distil.serve.parse import parse_request
from distil.serve.wire import ChatRequest, EngineFailed
from tests.serve.running import chat_body, teacher_of
from tests.wire.openai import OpenAIServer


def asked(text: str = "hello", **fields: Any) -> ChatRequest:
    raw = json.dumps(chat_body(text, **fields)).encode()
    return parse_request(raw, defaults=Defaults("student", 0.0, 20))


def answered(folder: Path, server: OpenAIServer, *requests: ChatRequest, **options: Any) -> list[str]:
    """The ledger's keys of the answers to requests that are sent one after another."""

    async def go() -> list[str]:
        teacher = Fallback(folder / "ledger.sqlite", teacher_of(server), None, **options)
        await teacher.start()
        try:
            return [(await teacher.answer(request)).call_id for request in requests]
        finally:
            await teacher.stop()

    return asyncio.run(go())


def test_a_sampled_request_gets_a_fresh_answer(tmp_path: Path) -> None:
    """Also after a restart; a seed, temperature 0 and none ask for the same answer again."""
    hot = asked(temperature=1.5)
    with OpenAIServer(key=None) as server:
        first = answered(tmp_path, server, hot, hot, hot)
        again = answered(tmp_path, server, hot, hot)
        assert len({*first, *again}) == 5 == len(server.posts())
        for same in (asked(), asked(temperature=0), asked(temperature=1.5, seed=3)):
            assert len(set(answered(tmp_path, server, same, same))) == 1
        assert len(server.posts()) == 8


def test_the_first_samples_are_those_that_collect_asks_for(tmp_path: Path) -> None:
    """Sample 0, 1, ...: what the gateway paid for is not paid for again."""
    with OpenAIServer(key=None) as server:
        keys = answered(tmp_path, server, *[asked(temperature=0.9)] * 3)
        teacher = teacher_of(server)

        async def known() -> list[str]:
            async with Client(ledger=tmp_path / "ledger.sqlite", teachers=[teacher]) as client:
                sampling = teacher.sampling.model_copy(update={"temperature": 0.9})
                turns = [Message(role="user", content="hello")]
                return [
                    client.key(Request(model=teacher.model, messages=turns, sampling=sampling, sample=n))
                    for n in range(3)
                ]

        assert asyncio.run(known()) == keys


def test_a_cache_is_asked_for(tmp_path: Path) -> None:
    hot = asked(temperature=1.5)
    with OpenAIServer(key=None) as server:
        assert len(set(answered(tmp_path, server, hot, hot, cache=True))) == 1
        assert len(server.posts()) == 1


def test_sampled_requests_at_once_are_different_ones(tmp_path: Path) -> None:
    async def go(server: OpenAIServer) -> set[str]:
        teacher = Fallback(tmp_path / "ledger.sqlite", teacher_of(server), None)
        await teacher.start()
        replies = await asyncio.gather(*(teacher.answer(asked(temperature=1.0)) for _ in range(8)))
        await teacher.stop()
        return {reply.call_id for reply in replies}

    with OpenAIServer(key=None) as server:
        assert len(asyncio.run(go(server))) == 8 == len(server.posts())


def test_the_cap_of_a_day_holds_over_restarts_and_is_renewed(tmp_path: Path) -> None:
    asked_for = [asked(f"question {n}", max_tokens=20) for n in range(40)]

    async def go(
        server: OpenAIServer, requests: list[ChatRequest], *, tomorrow: bool = False
    ) -> tuple[int, EngineFailed | None]:
        teacher = Fallback(tmp_path / "ledger.sqlite", teacher_of(server), None, usd_per_day=0.0004)
        if tomorrow:
            teacher._budget._clock = lambda: datetime.now(UTC) + timedelta(days=1)
        await teacher.start()
        done, refused = 0, None
        try:
            for request in requests:
                await teacher.answer(request)
                done += 1
        except EngineFailed as error:
            refused = error
        finally:
            await teacher.stop()
        return done, refused

    with OpenAIServer(key=None) as server:
        first, refused = asyncio.run(go(server, asked_for))
        assert 0 < first < 40 and refused is not None and refused.status == 503
        assert "Today's budget" in str(refused) and 0 < (refused.retry_after_s or 0) <= 86_400
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            assert 0 < ledger.spent("serve") <= 0.0004
        assert asyncio.run(go(server, asked_for[first:]))[0] == 0  # a restart on the same day
        assert asyncio.run(go(server, asked_for[first:], tomorrow=True))[0] > 0


def test_a_new_day_moves_the_cap_while_it_runs(tmp_path: Path) -> None:
    times = [datetime(2026, 11, 29, 12, tzinfo=UTC)]

    async def go(server: OpenAIServer) -> list[float | None]:
        async with Client(ledger=tmp_path / "ledger.sqlite", teachers=[teacher_of(server)], budget_usd=5.0) as client:
            budget = DayBudget(client, 5.0, 2.0, lambda: times[0])
            caps = []
            for day, paid in ((29, 0.0), (29, 1.5), (30, 0.0), (30, 2.9)):
                client._budget.spent_usd += paid
                times[0] = datetime(2026, 11, day, 13, tzinfo=UTC)
                budget.renew()
                caps.append(client._budget.cap_usd)
            times[0] = datetime(2026, 12, 1, tzinfo=UTC)
            budget.renew()
            assert not budget.of_the_day and budget.seconds_left == 86_400
            return [*caps, client._budget.cap_usd]

    with OpenAIServer(key=None) as server:
        assert asyncio.run(go(server)) == pytest.approx([2.0, 2.0, 3.5, 3.5, 5.0])


def test_a_cap_over_everything_counts_earlier_starts(tmp_path: Path) -> None:
    async def go(server: OpenAIServer, text: str, cap: float) -> None:
        teacher = Fallback(tmp_path / "ledger.sqlite", teacher_of(server), cap)
        await teacher.start()
        try:
            await teacher.answer(asked(text))
        finally:
            await teacher.stop()

    with OpenAIServer(key=None) as server:
        asyncio.run(go(server, "one", 1.0))
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            spent = ledger.spent("serve")
        with pytest.raises(EngineFailed, match="The budget for the teacher's answers is spent") as caught:
            asyncio.run(go(server, "two", spent))
        assert "--set serve.budget_usd=" in caught.value.detail
