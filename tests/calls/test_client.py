"""The client against a server that speaks OpenAI's wire format: paid once, kept first, retried as each fault deserves."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distil.calls.client import Client
from distil.calls.config import Limits, TeacherConfig
from distil.calls.faults import CallFailed
from distil.calls.ledger.store import Ledger
from distil.calls.request import Reply, Request
from distil.errors import UserError
from distil.records import Sampling
from tests.calls.asking import all_of, ask, teacher, with_client
from tests.wire import openai as wire
from tests.wire.server import CUT, HTML_PAGE, Trouble, hang


def test_a_reply_is_in_the_ledger_before_it_is_returned(server: wire.OpenAIServer, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        reply = await client.complete(ask())
        db = sqlite3.connect(tmp_path / "ledger.sqlite")
        row = db.execute("SELECT status, open, usd FROM call WHERE key = ?", [reply.call_id]).fetchone()
        db.close()
        assert row == ("answered", 0, pytest.approx(reply.usd))
        assert reply.text == "An answer to: hello" and reply.usd > 0 and not reply.cached
        assert client.stats.answered == 1 and client.stats.usd == pytest.approx(reply.usd)

    with_client(tmp_path, [teacher(server)], work)


def test_the_same_question_is_paid_once_across_runs_and_at_once(server: wire.OpenAIServer, tmp_path: Path) -> None:
    async def work(client: Client) -> list[Reply]:
        return list(await asyncio.gather(*[client.complete(ask()) for _ in range(5)]))

    first = with_client(tmp_path, [teacher(server)], work)
    second = with_client(tmp_path, [teacher(server)], work)
    assert len(server.answered) == 1
    assert sum(not reply.cached for reply in first) == 1 and all(reply.cached for reply in second)
    assert {reply.text for reply in first + second} == {"An answer to: hello"}


def test_samples_and_settings_are_separate_calls_but_tiers_not(server: wire.OpenAIServer, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.complete(ask())
        await client.complete(ask(sample=1))
        await client.complete(ask(sampling=Sampling(max_tokens=51)))
        flex = await client.complete(ask(tier="flex"))
        assert flex.cached

    with_client(tmp_path, [teacher(server)], work)
    assert len(server.answered) == 3


@pytest.mark.parametrize(
    "trouble", [wire.SERVER_ERROR, wire.BUSY, wire.rate_limited("0"), HTML_PAGE, CUT, wire.SHED], ids=str
)
def test_what_may_pass_is_asked_again(trouble: Trouble, server: wire.OpenAIServer, tmp_path: Path) -> None:
    server.troubles.extend([trouble, trouble])

    async def work(client: Client) -> Reply:
        reply = await client.complete(ask())
        assert client.stats.retries == 2
        return reply

    reply = with_client(tmp_path, [teacher(server)], work)
    assert reply.text == "An answer to: hello"
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        call = next(iter(ledger.calls()))
        assert call.status == "answered" and call.attempts == 3
        lost = trouble in (HTML_PAGE, CUT)
        assert ledger.uncertain().requests == (2 if lost else 0)


def test_a_hang_is_cut_at_the_timeout_and_blocks_no_other(server: wire.OpenAIServer, tmp_path: Path) -> None:
    server.trouble_for = lambda seen: hang(6) if b"slow" in seen.raw else None

    async def work(client: Client) -> None:
        started = time.monotonic()
        done = []
        requests = [ask("slow"), *(ask(f"fast {number}") for number in range(60))]
        async for _, result in client.map(enumerate(requests)):
            done.append((result, time.monotonic() - started))
        slow = [result for result, _ in done if isinstance(result, CallFailed)]
        assert len(slow) == 1 and slow[0].fault.kind == "timeout" and "tried 2 times" in str(slow[0])
        assert done[-1][0] is slow[0], "the others did not wait for it"
        assert client.stats.uncertain_usd > 0

    with_client(tmp_path, [teacher(server, timeout_s=1.5, attempts=2)], work)


def test_a_bad_request_fails_alone_and_is_listed(server: wire.OpenAIServer, tmp_path: Path) -> None:
    server.trouble_for = lambda seen: wire.TOO_LONG if b"long" in seen.raw else None

    async def work(client: Client) -> None:
        results = await all_of(client, iter([ask("long"), ask("short")]))
        failed = [result for _, result in results if isinstance(result, CallFailed)]
        assert len(failed) == 1 and failed[0].request is not None and failed[0].request.messages[0].text == "long"
        assert client.stats.failed == 1 and client.stats.answered == 1

    with_client(tmp_path, [teacher(server)], work)
    assert len(server.posts()) == 2, "not asked again"


def test_a_wrong_key_stops_the_run_and_stands_nowhere(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "sk-wrong-key-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", wrong)
    server.trouble_for = lambda seen: Trouble(
        401, {"error": {"message": f"Incorrect key {wrong}", "code": "invalid_api_key"}}
    )
    with pytest.raises(UserError) as caught:
        with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    assert wrong not in str(caught.value)
    for file in tmp_path.iterdir():
        assert wrong.encode() not in file.read_bytes()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert all(wrong not in str(attempt) for attempt in ledger.attempts())


def test_unknown_key_price_or_teacher_fails_before_sending(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="Did you mean"):
        with_client(
            tmp_path, [teacher(server)], lambda c: c.complete(ask().model_copy(update={"model": "openai/gpt-4o-min"}))
        )
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    model = f"{server.url}#gpt-4o-mini"
    with pytest.raises(UserError, match="price: "):
        with_client(
            tmp_path,
            [TeacherConfig(model=model)],
            lambda client: client.complete(ask().model_copy(update={"model": model})),
        )
    assert server.posts() == []


def test_a_better_parser_reads_a_garbled_reply_without_paying(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.calls.faults import GarbledReply
    from distil.calls.providers.chat import ChatProvider

    parse = ChatProvider.parse

    def stupid(self: Any, status: int, headers: Any, body: bytes) -> Any:
        raise GarbledReply("can't read that")

    monkeypatch.setattr(ChatProvider, "parse", stupid)
    with pytest.raises(CallFailed, match="can't read that"):
        with_client(tmp_path, [teacher(server, attempts=1)], lambda client: client.complete(ask()))
    monkeypatch.setattr(ChatProvider, "parse", parse)
    reply = with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    assert reply.text == "An answer to: hello" and reply.cached and len(server.posts()) == 1
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.spent() > 0


def test_a_pruned_reply_is_not_paid_again(server: wire.OpenAIServer, tmp_path: Path) -> None:
    with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.prune() == 1
    with pytest.raises(CallFailed, match="pruned"):
        with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    assert len(server.answered) == 1


def test_stopping_in_the_middle_notes_what_may_have_been_paid(server: wire.OpenAIServer, tmp_path: Path) -> None:
    server.delay_s = 5.0

    async def work(client: Client) -> None:
        task = asyncio.create_task(client.complete(ask()))
        await asyncio.sleep(0.5)
        assert client.stats.in_flight == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with_client(tmp_path, [teacher(server)], work)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.uncertain().requests == 1 and ledger.uncertain().usd > 0


def test_a_consumer_that_stops_early_leaves_nothing_running(server: wire.OpenAIServer, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        stream = client.map((number, ask(f"question {number}")) for number in range(1000))
        async for _ in stream:
            break
        await stream.aclose()
        assert client.stats.in_flight == 0
        assert len(asyncio.all_tasks()) == 1

    with_client(tmp_path, [teacher(server)], work)


def test_requests_are_pulled_only_as_they_are_needed(server: wire.OpenAIServer, tmp_path: Path) -> None:
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for number in range(10_000):
            pulled += 1
            yield ask(f"question {number}")

    async def work(client: Client) -> None:
        taken = 0
        stream = client.map(enumerate(requests()))
        async for _ in stream:
            taken += 1
            if taken == 100:
                break
        await stream.aclose()

    with_client(tmp_path, [teacher(server, limits=Limits(concurrency=10))], work)
    assert pulled < 300


def test_the_live_figures_add_up(server: wire.OpenAIServer, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        results = await all_of(client, (ask(f"question {number}") for number in range(40)))
        stats = client.stats
        assert stats.answered == 40 and stats.tokens == sum(
            result.usage.input_tokens + result.usage.output_tokens for _, result in results
        )
        forecast, left = stats.forecast_usd(80), stats.time_left_s(80)
        assert forecast == pytest.approx(2 * stats.usd) and left is not None and left > 0
        assert stats.rate > 0 and stats.admission.limit >= 8 and stats.forecast_usd(40) == pytest.approx(stats.usd)

    with_client(tmp_path, [teacher(server)], work)


def test_nothing_heavy_loads_before_something_is_sent() -> None:
    import subprocess
    import sys

    code = (
        "import sys, distil.calls.request, distil.calls.ledger.store, distil.calls.config;"
        "import distil.calls.client, distil.calls.prices;"
        "print([m for m in ('aiohttp', 'genai_prices', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_reply_without_usage_is_priced_by_its_upper_bound(server: wire.OpenAIServer, tmp_path: Path) -> None:
    complete = server.complete

    def without_usage(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, reply = complete(body)
        reply.pop("usage", None)
        return status, reply

    server.complete = without_usage  # type: ignore[method-assign]
    reply = with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        call = next(iter(ledger.calls()))
    assert reply.usd == call.usd > len("hello") / 1e6 and "names no tokens" in str(call.price_source)


def test_a_reader_of_replies_that_breaks_is_one_failed_request(
    server: wire.OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever provider it is, and whatever it forgot."""

    def broken(*_: object) -> None:
        raise KeyError("a shape of tomorrow")

    monkeypatch.setattr("distil.calls.providers.openai.OpenAIProvider.parse", broken)

    async def work(client: Client) -> None:
        with pytest.raises(CallFailed, match="can't be read"):
            await client.complete(ask())

    with_client(tmp_path, [teacher(server)], work)
    assert len(server.answered) == 3, "each try is paid for"
