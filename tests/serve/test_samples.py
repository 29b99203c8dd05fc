"""Several answers to one request, and parameters that only a teacher may know."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distil.records import Usage
from distil.serve.apis.checked import Defaults
from distil.serve.certificate.shape import shape_of
from distil.serve.gateway import Gateway
from distil.serve.parse import parse_request
from distil.serve.wire import ChatReply
from tests.serve.running import StudentServer, chat_body
from tests.serve.test_gateway import exchange, gateway_of, teacher_server


def test_several_answers_have_seeds_of_their_own(tmp_path: Path) -> None:
    with StudentServer() as student:
        ((status, headers, reply),) = exchange(
            gateway_of(tmp_path, student, fallback="off"), chat_body("p=0.9 a", n=3, temperature=1, seed=2**63 - 1)
        )
    assert status == 200 and headers["x-distil-answered-by"] == "student"
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert len({body["seed"] for body in student.answered}) == 3
    assert reply["usage"]["completion_tokens"] == 3 * 4


def test_several_answers_are_not_what_a_threshold_was_found_on(tmp_path: Path) -> None:
    one, two = chat_body("p=0.9 a", temperature=0), chat_body("p=0.9 a", temperature=0, n=2)
    labeled = parse_request(json.dumps(one).encode(), defaults=Defaults("student", 0.0, 500))
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        shape = shape_of([labeled], [ChatReply("a b", "stop", Usage(output_tokens=2))])
        gateway.policy = replace(gateway.policy, shape=shape)
        (_, alone, _), (_, several, _) = exchange(gateway, one, two)
    assert alone["x-distil-reason"] == "confident"
    assert several["x-distil-reason"] == "several_answers" and len(teacher.answered) == 2


def test_several_answers_of_the_teacher_are_paid_each(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.8)
        body = chat_body("p=0.3 hello", n=2, stream=True)
        text = _streamed(gateway, body)
    assert len(teacher.answered) == 2
    assert '"index":1' in text and text.count('"finish_reason":"stop"') == 2 and text.count("[DONE]") == 1


def _streamed(gateway: Gateway, body: dict[str, Any]) -> str:
    import asyncio

    from tests.serve.running import CHAT, running

    async def go() -> str:
        async with running(gateway) as session, session.post(CHAT, json=body) as reply:
            assert reply.headers["x-distil-reason"] == "unsure"
            return await reply.text()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("name", "value"),
    [("frequency_penalty", 0.5), ("logit_bias", {"17": 3}), ("verbosity", "low"), ("repetition_penalty", 1.1)],
)
def test_what_a_student_cannot_do_the_teacher_is_asked_for(tmp_path: Path, name: str, value: object) -> None:
    body = chat_body("p=0.99 a", **{name: value})
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path / "both", student, teacher, fallback="threshold", threshold=0.1)
        ((_, headers, _),) = exchange(gateway, body)
        ((status, _, refused),) = exchange(gateway_of(tmp_path / "alone", student, fallback="off"), body)
    assert headers["x-distil-reason"] in ("unknown_parameter", "penalties")
    assert teacher.answered[0][name] == value
    assert status == 400 and refused["error"]["param"] == name and not student.answered


def test_a_teacher_gives_log_probabilities_and_effort(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="always")
        body = chat_body("hello", logprobs=True, reasoning_effort="low")
        ((status, _, reply),) = exchange(gateway, body)
    assert status == 200 and len(reply["choices"][0]["logprobs"]["content"]) == 3
    assert teacher.answered[0]["reasoning_effort"] == "low" and teacher.answered[0]["top_logprobs"] == 0


def test_parallel_calls_are_refused_to_a_model_that_makes_two(tmp_path: Path) -> None:
    calls = [{"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in range(2)]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    with StudentServer() as student, teacher_server() as teacher:
        teacher.answer = lambda body: {"role": "assistant", "content": None, "tool_calls": calls}
        gateway = gateway_of(tmp_path, student, teacher, fallback="always")
        free, one = exchange(
            gateway, chat_body("a", tools=tools), chat_body("b", tools=tools, parallel_tool_calls=False)
        )
    assert [len(reply[2]["choices"][0]["message"]["tool_calls"]) for reply in (free, one)] == [2, 1]
