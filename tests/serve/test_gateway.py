"""The gateway over real loopback HTTP: who answers, what the headers report, what is paid, captured and counted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientTimeout

from distil.calls.ledger.store import Ledger
from distil.errors import UserError
from distil.prompts.config import PromptsConfig
from distil.prompts.stage import run as read_prompts
from distil.runs.artifacts import Project
from distil.serve.config import ServeConfig
from distil.serve.gateway import Gateway
from distil.serve.policy import Policy
from distil.serve.stage import make_gateway
from distil.serve.wire import ChatReply, ChatRequest
from tests.serve.running import CHAT, StudentServer, chat_body, lines, running, teacher_of
from tests.wire.openai import SERVER_ERROR, OpenAIServer


def gateway_of(folder: Path, student: StudentServer, teacher: OpenAIServer | None = None, **serve: Any) -> Gateway:
    section = ServeConfig(engine=f"{student.url}#student", **serve)
    teachers = [teacher_of(teacher)] if teacher else []
    return make_gateway(Project(folder), section, name="student", teachers=teachers)


def teacher_server(**options: Any) -> OpenAIServer:
    return OpenAIServer(key=None, answer=lambda body: "the teacher's answer", **options)


def exchange(gateway: Gateway, *bodies: dict[str, Any]) -> list[tuple[int, dict[str, str], Any]]:
    """(status, headers, body) of each request, sent one after another."""

    async def go() -> list[tuple[int, dict[str, str], Any]]:
        exchanges = []
        async with running(gateway) as session:
            for body in bodies:
                async with session.post(CHAT, json=body) as reply:
                    exchanges.append((reply.status, dict(reply.headers), await reply.json()))
        return exchanges

    return asyncio.run(go())


def test_a_confident_student_answers_else_the_teacher(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.8)
        confident, unsure = exchange(gateway, chat_body("p=0.9 hello"), chat_body("p=0.3 hello"))
    assert confident[1]["x-distil-answered-by"] == "student" and confident[1]["x-distil-reason"] == "confident"
    assert confident[1]["x-distil-confidence"] == "0.9000"
    assert confident[2]["choices"][0]["message"]["content"] == "student: p=0.9 hello"
    assert confident[2]["choices"][0]["logprobs"] is None
    assert unsure[1]["x-distil-answered-by"] == "teacher" and unsure[1]["x-distil-reason"] == "unsure"
    assert unsure[2]["choices"][0]["message"]["content"] == "the teacher's answer"
    assert unsure[2]["usage"]["total_tokens"] > 0


def test_a_fallback_is_paid_once_and_captured(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.8)
        exchange(gateway, chat_body("p=0.3 hello"), chat_body("p=0.3 hello"), chat_body("p=0.95 hello"))
        assert len(teacher.answered) == 1
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        calls = list(ledger.calls(purpose="serve"))
    assert len(calls) == 1 and calls[0].usd == pytest.approx(gateway.teacher.usd) and calls[0].usd > 0
    captured = [json.loads(line) for line in lines(tmp_path / "work/serve/captured.jsonl")]
    assert len(captured) == 2
    assert captured[0]["captured"]["student"] == "student: p=0.3 hello"
    assert captured[0]["captured"]["reason"] == "unsure"
    again = read_prompts(Project(tmp_path), PromptsConfig(path="work/serve/captured.jsonl"))
    assert (again.prompts, again.duplicates) == (1, 1)


def test_fallback_off_and_always_use_one_model_only(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        off = exchange(gateway_of(tmp_path / "off", student, fallback="off"), chat_body("p=0.1 x"))
        assert off[0][1]["x-distil-reason"] == "fallback_off" and not teacher.answered
        asked_before = len(student.answered)
        always = exchange(gateway_of(tmp_path / "always", student, teacher, fallback="always"), chat_body("p=0.99 x"))
        assert always[0][1]["x-distil-answered-by"] == "teacher"
        assert len(student.answered) == asked_before


def test_a_student_without_logprobs_is_never_trusted(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        student.logprobs = False
        (reply,) = exchange(gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.1), chat_body())
    assert reply[1]["x-distil-reason"] == "no_logprobs"


def test_a_truncated_student_answer_is_never_trusted(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        student.finish_reason = "length"
        (reply,) = exchange(
            gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.1), chat_body("p=1 x")
        )
    assert reply[1]["x-distil-answered-by"] == "teacher" and reply[1]["x-distil-confidence"] == "0.0000"


def test_when_the_student_fails_the_teacher_answers(tmp_path: Path) -> None:
    with StudentServer(troubles=[SERVER_ERROR]) as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        (reply,) = exchange(gateway, chat_body())
    assert reply[0] == 200 and reply[1]["x-distil-reason"] == "student_failed"


def test_a_failing_teacher_gives_an_error_or_the_student(tmp_path: Path) -> None:
    """As serve.teacher_failure chooses."""
    for choice, status in (("error", 502), ("student", 200)):
        with StudentServer() as student, teacher_server(troubles=[SERVER_ERROR] * 4) as teacher:
            gateway = gateway_of(
                tmp_path / choice, student, teacher, fallback="threshold", threshold=0.9, teacher_failure=choice
            )
            (reply,) = exchange(gateway, chat_body("p=0.2 x"))
        assert reply[0] == status
        if status == 200:
            assert reply[1]["x-distil-reason"] == "unsure_but_teacher_failed"
        else:
            assert reply[2]["error"]["code"] == "engine_failed"


def test_without_budget_the_teacher_is_not_asked(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="always", budget_usd=0.0)
        (reply,) = exchange(gateway, chat_body())
        assert reply[0] == 503 and not teacher.answered


def test_the_client_overrides_the_teachers_sampling(tmp_path: Path) -> None:
    """Only the parameters that it names."""
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="always")
        exchange(gateway, chat_body("one"), chat_body("two", temperature=0.1, max_tokens=33))
        first, second = teacher.answered
    assert first["temperature"] == 0.7
    assert second["temperature"] == 0.1 and 33 in second.values()


def test_streams_are_openai_events_with_usage_and_an_end(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> tuple[list[str], str]:
        async with running(gateway) as session:
            body = chat_body("p=0.9 hello there", stream=True, stream_options={"include_usage": True})
            async with session.post(CHAT, json=body) as reply:
                assert reply.content_type == "text/event-stream"
                return (await reply.text()).strip().split("\n\n"), reply.headers["x-distil-answered-by"]

    with StudentServer() as student, teacher_server() as teacher:
        events, by = asyncio.run(go(gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)))
    assert by == "student" and events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == "student: p=0.9 hello there"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status", "param", "message"),
    [
        (b"{nope", 400, None, "not valid JSON"),
        (b"[1]", 400, None, "JSON list"),
        ({"messages": [{"role": "user", "content": "a"}]}, 400, "model", "model parameter"),
        (chat_body() | {"model": "gpt-5"}, 404, "model", "Served: student"),
        (chat_body() | {"messages": []}, 400, "messages", "at least 1"),
        (chat_body() | {"messages": [{"role": "person", "content": "a"}]}, 400, "messages.0", "role"),
        (chat_body(" "), 400, "messages", "No message has any text"),
        (chat_body(temperature=3), 400, "temperature", "less than or equal to 2"),
        (chat_body(max_tokens=0), 400, "max_tokens", "greater than or equal to 1"),
        (chat_body(n=0), 400, "n", "greater than or equal to 1"),
        (chat_body(frequency_penalty=0.5), 400, "frequency_penalty", "is not supported"),
        (chat_body(top_logprobs=3), 400, "top_logprobs", "logprobs: true"),
        (chat_body(stream="yes"), 400, "stream", "valid boolean"),
    ],
)
def test_bad_requests_get_openai_errors(
    tmp_path: Path, body: Any, status: int, param: str | None, message: str
) -> None:
    async def go(gateway: Gateway) -> tuple[int, Any]:
        async with running(gateway) as session:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.post(CHAT, data=raw) as reply:
                return reply.status, await reply.json()

    with StudentServer() as student:
        replied, reply = asyncio.run(go(gateway_of(tmp_path, student, fallback="off")))
        assert not student.answered
    assert replied == status
    assert reply["error"]["param"] == param and message in reply["error"]["message"]
    assert reply["error"]["type"] == "invalid_request_error"


def test_models_health_metrics_and_unknown_paths(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> None:
        async with running(gateway) as session:
            async with session.get("/v1/models") as reply:
                assert [m["id"] for m in (await reply.json())["data"]] == ["student"]
            async with session.get("/healthz") as reply:
                assert (await reply.json())["status"] == "ok"
            for text in ("p=0.9 a", "p=0.2 b"):
                async with session.post(CHAT, json=chat_body(text)) as reply:
                    assert reply.status == 200
            async with session.post(CHAT, json=chat_body(n=300)) as reply:
                assert reply.status == 400
            async with session.get("/metrics") as reply:
                assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
                text = await reply.text()
            assert 'distil_requests_total{answered_by="student",reason="confident"} 1' in text
            assert 'distil_requests_total{answered_by="teacher",reason="unsure"} 1' in text
            assert 'distil_request_seconds_count{answered_by="teacher"} 1' in text
            assert "distil_in_flight 0" in text
            async with session.get("/v2/nothing") as reply:
                assert reply.status == 404 and (await reply.json())["error"]["type"] == "invalid_request_error"
            async with session.get(CHAT) as reply:
                assert reply.status == 405

    with StudentServer() as student, teacher_server() as teacher:
        asyncio.run(go(gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)))


def test_a_student_server_that_is_down_or_refuses(tmp_path: Path) -> None:
    """The error names which of the two it was."""
    with StudentServer() as student:
        url = student.url
        tools = chat_body("x", messages=[{"role": "user", "content": "x"}])
        gateway = gateway_of(tmp_path, student, fallback="off")
        student.models = ("other",)
        (refused,) = exchange(gateway, tools)
        assert refused[0] == 502 and "404" in refused[2]["error"]["message"]
    section = ServeConfig(engine=f"{url}#student", fallback="off")
    (down,) = exchange(make_gateway(Project(tmp_path), section, name="student"), chat_body())
    assert down[0] == 502 and "does not answer" in down[2]["error"]["message"]


def test_missing_settings_fail_before_serving(tmp_path: Path) -> None:
    project = Project(tmp_path)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "no trained student 's'"),
        ({"engine": "127.0.0.1:8001"}, r"serve\.engine: found '127\.0\.0\.1:8001'"),
        ({"engine": "http://x/v1#m", "engine_key_env": "DISTIL_NO_KEY"}, "export DISTIL_NO_KEY="),
        ({"engine": "http://x/v1#m", "fallback": "always"}, "no teacher is configured"),
        ({"engine": "http://x/v1#m", "fallback": "threshold"}, r"serve\.threshold is not set"),
        ({"engine": "http://x/v1#m", "fallback": "calibrated"}, "Run `distil calibrate s`"),
    ]
    for serve, message in cases:
        with pytest.raises(UserError, match=message):
            make_gateway(project, ServeConfig(**serve), name="s")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example", "content-type": "text/plain"}, 403),
        ({"host": "evil.example"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_a_web_page_cannot_spend_the_teachers_money(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async def go(gateway: Gateway) -> int:
        async with (
            running(gateway) as session,
            session.post(CHAT, data=json.dumps(chat_body("p=0.2 x")), headers=headers) as reply,
        ):
            return reply.status

    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        gateway.host = "127.0.0.1"
        assert asyncio.run(go(gateway)) == status
        assert bool(teacher.answered) == (status == 200)


def test_what_the_student_cannot_take_goes_to_the_teacher(tmp_path: Path) -> None:
    def too_long(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 400, {"error": {"message": "This model's maximum context length is 512 tokens."}}

    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    wants = {"type": "json_object"}
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        bodies = (
            chat_body("p=0.9 a", stop=["b"]),
            chat_body(messages=image),
            chat_body("p=0.9 c", response_format=wants),
        )
        found = [reply[1]["x-distil-reason"] for reply in exchange(gateway, *bodies)]
        assert found == ["stop_sequences", "not_text", "requirement_not_met"]
        student.complete = too_long  # type: ignore[method-assign]
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        ((status, headers, _),) = exchange(gateway, chat_body("p=0.9 d"))
        assert (status, headers["x-distil-reason"]) == (200, "too_long_for_student")


def test_without_a_teacher_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    with StudentServer() as student:
        gateway = gateway_of(tmp_path, student, fallback="off")
        bodies = (chat_body(messages=image), chat_body(response_format={"type": "json_object"}))
        (pictured, shaped) = exchange(gateway, *bodies)
    assert pictured[0] == 400 and "image_url" in pictured[2]["error"]["message"]
    assert shaped[0] == 422 and "response_format" in shaped[2]["error"]["message"]


def test_nobody_there_is_a_503_that_names_no_address(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        pass  # both are gone
    gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)

    async def go() -> None:
        async with running(gateway) as session:
            async with session.post(CHAT, json=chat_body("p=0.9 a")) as reply:
                told = await reply.text()
                assert reply.status == 503 and int(reply.headers["retry-after"]) > 0
                assert "127.0.0.1" not in told and str(student.url) not in told
            async with session.get("/readyz") as ready, session.get("/healthz") as alive:
                assert (ready.status, alive.status) == (503, 200)

    asyncio.run(go())


def test_a_model_is_found_by_its_name(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> None:
        async with running(gateway) as session:
            async with session.get("/v1/models/student") as reply:
                assert (await reply.json())["id"] == "student"
            async with session.get("/v1/models/other/one") as reply:
                assert reply.status == 404 and "other/one" in (await reply.json())["error"]["message"]
            async with session.get("/readyz") as reply:
                assert reply.status == 200

    with StudentServer() as student:
        asyncio.run(go(gateway_of(tmp_path, student, fallback="off")))


def test_work_ends_when_its_client_leaves(tmp_path: Path) -> None:
    """Nobody pays for an answer that nobody reads."""
    ended: list[str] = []

    class Slow:
        identity = "slow"

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        async def ready(self) -> bool:
            return True

        def gauges(self) -> dict[str, float]:
            return {}

        async def answer(self, request: ChatRequest) -> ChatReply:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            raise AssertionError("nobody waits so long")

    async def go() -> None:
        async with running(Gateway("student", Slow(), Policy("off"))) as session:
            with pytest.raises(asyncio.TimeoutError):
                await session.post(CHAT, json=chat_body(), timeout=ClientTimeout(total=0.5))
            for _ in range(200):
                if ended:
                    break
                await asyncio.sleep(0.02)

    asyncio.run(go())
    assert ended == ["cancelled"]
