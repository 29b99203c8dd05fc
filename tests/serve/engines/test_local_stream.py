"""A streamed answer of the student in this process: while it is generated, and in the end the plain answer."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distil.models.answer import hides_thinking
from distil.models.continuous.row import Row
from distil.records import Message, Sampling
from distil.serve.engines.local import LocalEngine
from distil.serve.engines.local_stream import Outlet
from distil.serve.engines.piece import Piece, whole
from distil.serve.wire import BadRequest, ChatReply, ChatRequest
from tests.models.miniatures import MINIATURES
from tests.tiny import save_tiny, tiny_tokenizer

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny") / "model", template=MINIATURES["qwen-2.5"].text)


@pytest.fixture(autouse=True)
def every_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are not held together by time."""
    monkeypatch.setattr("distil.serve.engines.local_stream.BETWEEN_S", 0.0)


def asked(text: str = "Where is my order 17?", tokens: int = 40, **fields: Any) -> ChatRequest:
    sampling = Sampling.model_validate(
        {"temperature": 1.3, "seed": 5, "max_tokens": tokens} | fields.pop("sampling", {})
    )
    return ChatRequest("m", [Message(role="user", content=text)], sampling, stream=True, **fields)


def both(model: Path, *requests: ChatRequest) -> list[tuple[list[Piece], ChatReply]]:
    """For each request, its pieces (all streams at once) and the plain reply."""

    async def go() -> list[tuple[list[Piece], ChatReply]]:
        engine = LocalEngine(str(model))
        await engine.start()
        try:
            streams = await asyncio.gather(*(_all(engine, request) for request in requests))
            return [(pieces, await engine.answer(r)) for pieces, r in zip(streams, requests, strict=True)]
        finally:
            await engine.stop()

    return asyncio.run(go())


async def _all(engine: LocalEngine, request: ChatRequest) -> list[Piece]:
    return [piece async for piece in engine.stream(request)]


def test_pieces_make_up_the_plain_reply(model: Path) -> None:
    """Text, log-probabilities, entropies, usage, end; also beside others, sampled, and with a stop sequence."""
    requests = [
        asked(),
        asked(sampling={"temperature": 0.8, "top_p": 0.9, "seed": 6}),
        asked(logprobs=True, sampling={"top_logprobs": 3}),
        asked("Stop here"),
    ]
    ((_, plain),) = both(model, requests[3])
    stop = plain.text[len(plain.text) // 2 :][:4]
    requests[3] = replace(requests[3], sampling=requests[3].sampling.model_copy(update={"stop": [stop]}))
    for request, (pieces, reply) in zip(requests, both(model, *requests), strict=True):
        made = whole(pieces)
        assert len(pieces) > 4 or request is requests[3]
        assert (made.text, made.finish_reason, made.usage) == (reply.text, reply.finish_reason, reply.usage)
        assert made.token_logprobs == pytest.approx(reply.token_logprobs, abs=1e-4)
        assert made.token_entropies == pytest.approx(reply.token_entropies, abs=1e-4)
        assert [t["token"] for t in made.logprobs or ()] == [t["token"] for t in reply.logprobs or ()]
        assert all(piece.finish_reason is None for piece in pieces[:-1])


def test_a_client_that_leaves_ends_its_row(model: Path) -> None:
    async def go() -> tuple[float, float, float]:
        engine = LocalEngine(str(model), batch_size=1)
        await engine.start()
        stream = engine.stream(asked(tokens=150, sampling={"temperature": 2.0, "seed": 1}))
        await anext(stream)
        waiting = asyncio.create_task(engine.answer(asked(tokens=2)))
        await asyncio.sleep(0)
        await stream.aclose()
        reply = await waiting
        tokens = engine.gauges()["distil_engine_tokens_total"]
        with pytest.raises(BadRequest, match="context holds"):
            await anext(engine.stream(asked("word " * 400)))
        await engine.stop()
        return tokens, reply.usage.output_tokens, engine.gauges()["distil_engine_running"]

    tokens, short, running = asyncio.run(go())
    assert short == 2 and tokens < 150 and running == 0


def test_calls_are_read_from_the_text(model: Path) -> None:
    """The text is forced by an expression; nothing of it is shown as text, and `none` shows the model no tools."""
    text = 'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    forced = asked(tokens=200, tools=[WEATHER], response_format={"type": "regex", "pattern": re.escape(text)})
    free = replace(forced, tool_choice="none", response_format={"type": "regex", "pattern": re.escape("I look.")})
    (pieces, reply), (_, plain) = both(model, forced, free)
    assert reply.finish_reason == "tool_calls" and reply.text == "I look." == plain.text and plain.tool_calls is None
    assert reply.tool_calls is not None
    assert reply.tool_calls[0]["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert whole(pieces).tool_calls == reply.tool_calls and whole(pieces).text == "I look."
    assert plain.usage.input_tokens < reply.usage.input_tokens


def test_thinking_is_not_shown(model: Path) -> None:
    text = "<think>\nHm, 3 or 4.\n</think>\n\nIt is 4, I think."
    (pieces, reply), _ = both(
        model, asked(tokens=200, response_format={"type": "regex", "pattern": re.escape(text)}), asked(tokens=2)
    )
    assert reply.text == "It is 4, I think." == whole(pieces).text and len(pieces) > 3
    assert reply.reasoning == "Hm, 3 or 4." == whole(pieces).reasoning
    assert sum(bool(piece.reasoning) for piece in pieces) > 1, "as it comes"
    assert 0 < reply.usage.reasoning_tokens < reply.usage.output_tokens == whole(pieces).usage.output_tokens


def test_an_unfinished_thought_shows_nothing() -> None:
    """Where the template has opened the thinking in the prompt, too."""

    async def go() -> list[tuple[str, str]]:
        shown = []
        for opened, text in (
            (False, "<think>Hm"),
            (False, "<thi"),
            (True, "Hm"),
            (True, "Hm</think>4"),
            (False, "<b>4"),
        ):
            row = Row([1], Sampling(), 9)
            outlet = Outlet(row, None, whole=False, in_thinking=opened)
            row.spelling = type("S", (), {"settled": text})()  # type: ignore[assignment]
            assert row.on_text is not None
            row.on_text(row)
            shown.append((outlet._text, outlet._thought))
        return shown

    assert asyncio.run(go()) == [("", "Hm"), ("", ""), ("", "Hm"), ("4", "Hm"), ("<b>4", "")]


def test_marks_that_the_text_lacks_hold_it_back(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where </think> is a control token, a growing text does not say whether it is thinking or the answer."""
    plain, controlled = tiny_tokenizer(), tiny_tokenizer()
    controlled.add_special_tokens({"additional_special_tokens": ["</think>"]})
    assert [hides_thinking(plain), hides_thinking(controlled)] == [False, True]
    for name in ("may_think", "hides_thinking"):
        monkeypatch.setattr(f"distil.serve.engines.local.{name}", lambda tokenizer: True)
    ((pieces, reply),) = both(model, asked())
    assert [piece.text for piece in pieces] == [reply.text]
