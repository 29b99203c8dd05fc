"""The gateway's teacher: its problems are reported at start, and an outage ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.records import Message, Sampling
from distil.serve.fallback import Fallback
from distil.serve.wire import BadRequest, ChatRequest, EngineFailed
from tests.wire import openai as wire


@pytest.mark.parametrize(
    ("model", "message"),
    [("openai/gpt-4o-mini", "export OPENAI_API_KEY="), ("http://127.0.0.1:9/v1#m", "The price of")],
)
def test_a_teacher_without_key_or_price_fails_at_start(
    model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match=message):
        asyncio.run(Fallback(tmp_path / "ledger.sqlite", TeacherConfig(model=model), None).start())
    assert not list(tmp_path.glob(".*reserve")), "the ledger was closed"


def test_what_the_teacher_does_not_take_is_the_clients_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    hot = ChatRequest("m", [Message(role="user", content="x")], Sampling(temperature=1.5), body={"temperature": 1.5})

    async def go() -> None:
        teacher = Fallback(tmp_path / "ledger.sqlite", TeacherConfig(model="anthropic/claude-3-5-haiku-latest"), None)
        await teacher.start()
        with pytest.raises(BadRequest, match="takes temperatures from 0 to 1") as caught:
            await teacher.answer(hot)
        assert caught.value.status == 400 and not teacher.down
        await teacher.stop()

    asyncio.run(go())


def test_the_teacher_is_tried_again_after_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", wire.KEY)
    monkeypatch.setattr("distil.serve.breaker.FIRST_PAUSE_S", 0.3)
    asked = ChatRequest("m", [Message(role="user", content="hello")], Sampling(max_tokens=20))

    async def go(server: wire.OpenAIServer) -> None:
        teacher = Fallback(
            tmp_path / "ledger.sqlite", TeacherConfig(model="openai/gpt-4o-mini", base_urls=[server.url]), None
        )
        await teacher.start()
        server.troubles.append(wire.OUT_OF_MONEY)
        for _ in range(2):
            with pytest.raises(EngineFailed) as caught:
                await teacher.answer(asked)
            assert "exceeded your current quota" in caught.value.detail and caught.value.retry_after_s
        assert len(server.posts()) == 1 and teacher.down, "nobody is asked for some seconds"
        await asyncio.sleep(0.3)
        assert (await teacher.answer(asked)).text == "An answer to: hello"
        await teacher.stop()

    with wire.OpenAIServer() as server:
        asyncio.run(go(server))
