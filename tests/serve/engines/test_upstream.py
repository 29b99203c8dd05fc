"""A student behind a server that others wrote: replies as llama.cpp and vLLM send them, odd ones, and one that is not ready."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.records import Message, Sampling
from distil.runs.artifacts import Project
from distil.serve.config import ServeConfig
from distil.serve.engines.base import require_answers
from distil.serve.engines.reading import read_reply
from distil.serve.engines.upstream import UpstreamEngine
from distil.serve.stage import make_gateway
from distil.serve.wire import ChatRequest
from tests.serve.running import CHAT, StudentServer, chat_body, running
from tests.wire.openai import BUSY, SERVER_ERROR
from tests.wire.server import Trouble

MODEL_FILE = "/srv/models/student-q8_0.gguf"
# The shape of llama.cpp b11549: its own id in each token, 20 alternatives unless told otherwise, the file as the model's name.
LLAMACPP = {
    "choices": [
        {
            "finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "Hi"},
            "logprobs": {"content": [
                {"id": 26843, "token": "Hi", "bytes": [72, 105], "logprob": -0.25, "top_logprobs": [
                    {"id": 26843, "token": "Hi", "bytes": [72, 105], "logprob": -0.25},
                    {"id": 19556, "token": "Hello", "bytes": [72], "logprob": -2.5},
                ]},
            ]},
        }
    ],
    "created": 1795903350, "model": MODEL_FILE, "system_fingerprint": "b0-unknown", "object": "chat.completion",
    "usage": {"completion_tokens": 2, "prompt_tokens": 32, "total_tokens": 34, "prompt_tokens_details": {"cached_tokens": 0}},
    "timings": {"cache_n": 0, "prompt_n": 32},
}  # fmt: skip


def through(student: StudentServer, **fields: Any) -> tuple[int, str]:
    """(status, body) of one request through a gateway without fallback."""

    async def go(folder: Path) -> tuple[int, str]:
        section = ServeConfig(engine=f"{student.url}#student", fallback="off")
        gateway = make_gateway(Project(folder), section, name="student")
        async with running(gateway) as session, session.post(CHAT, json=chat_body("hi", **fields)) as reply:
            return reply.status, await reply.text()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(go(Path(folder)))


def altered(**choice: object) -> dict[str, Any]:
    """LLAMACPP with other values in its choice."""
    return LLAMACPP | {"choices": [LLAMACPP["choices"][0] | choice]}  # type: ignore[index]


def test_a_client_gets_openais_logprobs_and_the_gateways_name() -> None:
    with StudentServer(troubles=[Trouble(200, LLAMACPP)] * 3) as student:
        plain = json.loads(through(student)[1])
        chosen = json.loads(through(student, logprobs=True)[1])
        several = json.loads(through(student, logprobs=True, top_logprobs=2)[1])
        asked = [post.body["top_logprobs"] for post in student.posts()]
    assert plain["model"] == "student" and plain["choices"][0]["logprobs"] is None
    token = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105]}
    assert chosen["choices"][0]["logprobs"]["content"] == [token | {"top_logprobs": []}]
    other = {"token": "Hello", "logprob": -2.5, "bytes": [72]}
    assert several["choices"][0]["logprobs"]["content"] == [token | {"top_logprobs": [token, other]}]
    assert asked == [1, 1, 2]


def test_log_probabilities_as_together_sends_them() -> None:
    """Numbers beside the tokens instead of objects (together 3.1.1, types/log_probs.py), and a number in the request."""
    bare = {"tokens": ["Hi", "!"], "token_ids": [1, 2], "token_logprobs": [-0.25, None, -0.5]}
    engine = UpstreamEngine("https://api.together.xyz/v1", "me/tuned")
    request = ChatRequest("m", [Message(role="user", content="hi")], Sampling())
    assert read_reply(json.dumps(altered(logprobs=bare)).encode(), request).token_logprobs == [-0.25, -0.5]
    assert engine._logprobs == 1 and UpstreamEngine("http://127.0.0.1:8000/v1", "x")._logprobs is True


def events_of(*choices: dict[str, Any]) -> bytes:
    """A stream of chunks as llama.cpp sends them."""
    chunks = [{"model": MODEL_FILE, "choices": [{"index": 0} | choice]} for choice in choices]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


SAID = events_of({"delta": {"content": "Hé"}}, {"delta": {"content": " you"}})
ENDED = events_of({"delta": {}, "finish_reason": "stop"})
DONE = b"data: [DONE]\n\n"


def test_a_stream_keeps_the_gateways_name_of_the_model() -> None:
    """A server's own may be a path on its disk."""
    with StudentServer(troubles=[Trouble(200, SAID + ENDED + DONE)]) as student:
        status, text = through(student, stream=True)
    read = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert status == 200 and read[-1] == "[DONE]" and MODEL_FILE not in text
    chunks = [json.loads(event) for event in read[:-1]]
    assert {chunk["model"] for chunk in chunks} == {"student"}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Hé you"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_servers_thinking_reaches_the_client_apart(name: str) -> None:
    """vLLM calls it `reasoning` (0.11 and later), older ones, SGLang and llama.cpp `reasoning_content`."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}
    message = {"role": "assistant", "content": "Hi", name: "So I greet."}
    thought = events_of({"delta": {name: "So I"}}, {"delta": {name: " greet."}})
    with StudentServer(
        troubles=[
            Trouble(200, altered(message=message) | {"usage": usage}),
            Trouble(200, thought + SAID + ENDED + DONE),
        ]
    ) as student:
        plain = json.loads(through(student)[1])
        streamed = through(student, stream=True)[1]
    assert plain["choices"][0]["message"] == {
        "role": "assistant", "content": "Hi", "refusal": None, "reasoning_content": "So I greet.",
    }  # fmt: skip
    assert plain["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    lines = [line.removeprefix("data: ") for line in streamed.split("\n\n") if line]
    deltas = [choice["delta"] for line in lines[:-1] for choice in json.loads(line)["choices"]]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "So I greet."
    assert "".join(delta.get("content", "") for delta in deltas) == "Hé you"


@pytest.mark.parametrize(
    "sent",
    [
        SAID + ENDED,
        SAID + DONE,
        SAID + ENDED[:40],
        SAID + ENDED + DONE[:8],
        SAID + b'data: {"error": {"message": "CUDA out of memory at 10.0.0.7:8000"}}\n\n' + DONE,
        SAID + b"data: {nope\n\n" + ENDED + DONE,
        SAID + b"<html>\n" + ENDED + DONE,
        SAID + events_of({"delta": {"content": [1]}}) + ENDED + DONE,
        SAID + events_of({"delta": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": "low"}]}}) + ENDED + DONE,
        SAID + events_of({"delta": {}, "finish_reason": "error"}) + DONE,
        SAID + b'data: {"choices": [], "usage": {"prompt_tokens": -1}}\n\n' + ENDED + DONE,
    ],
    ids=[
        "no DONE", "no finish reason", "cut in a line", "cut in DONE", "error inside", "no JSON", "no event", "content a list",
        "logprob a text", "ended as an error", "usage below 0",
    ],
)  # fmt: skip
def test_a_broken_stream_ends_in_an_error_that_clients_raise(sent: bytes) -> None:
    """The error is an event of its own, `[DONE]` does not follow, and it tells no address."""
    with StudentServer(troubles=[Trouble(200, sent)]) as student:
        _, text = through(student, stream=True)
    read = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert json.loads(read[-1])["error"]["code"] == "engine_failed" and "[DONE]" not in text
    assert all(json.loads(event) for event in read) and "10.0.0.7" not in text


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (LLAMACPP | {"usage": None}, "Hi"),
        (LLAMACPP | {"usage": {"prompt_tokens": None, "completion_tokens": None}}, "Hi"),
        (altered(message={"role": "assistant", "content": [{"type": "text", "text": "Hi"}, {"type": "x"}]}), "Hi"),
        (altered(logprobs=None), "Hi"),
        (altered(logprobs={"content": [{"token": "Hi", "logprob": 1e-7}]}), "Hi"),
    ],
    ids=["no usage", "empty usage", "content parts", "no logprobs", "logprob rounded up"],
)
def test_what_servers_leave_out_is_no_failure(reply: dict[str, Any], text: str) -> None:
    with StudentServer(troubles=[Trouble(200, reply)]) as student:
        status, body = through(student)
    assert status == 200 and json.loads(body)["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize(
    "reply",
    [
        altered(logprobs={"content": [{"token": "Hi", "logprob": "low"}]}),
        altered(logprobs={"content": [{"token": "Hi", "logprob": 3.5}]}),
        altered(logprobs={"content": ["Hi"]}),
        altered(message=None),
        altered(finish_reason="error"),
        altered(finish_reason=None),
        altered(finish_reason=7),
        altered(message={"role": "assistant", "content": {"a": 1}}),
        LLAMACPP | {"usage": {"prompt_tokens": "many"}},
        LLAMACPP | {"usage": {"prompt_tokens": -3}},
        altered(logprobs={"content": [{"token": "Hi", "logprob": "-0.1"}]}),
        altered(logprobs={"content": [{"token": "Hi", "logprob": float("nan")}]}),
        altered(message={"role": "assistant", "content": "Hi, and much more"}),
        altered(message={"role": "assistant", "content": None, "tool_calls": ["call"]}),
        LLAMACPP | {"choices": []},
        b"[" * 100_000,
        b"<html>502</html>",
    ],
    ids=[
        "text",
        "above one",
        "strings",
        "no message",
        "error",
        "no end",
        "number",
        "object",
        "usage text",
        "usage below 0",
        "number as a text",
        "not a number",
        "logprobs of a part",
        "calls as texts",
        "no choice",
        "deep",
        "html",
    ],
)
def test_an_unreadable_reply_is_the_students_failure(reply: object) -> None:
    """502 and never 500: with a teacher, the teacher answers."""
    with StudentServer(troubles=[Trouble(200, reply)]) as student:
        status, body = through(student)
    assert status == 502 and "unreadable answer" in json.loads(body)["error"]["message"]


def test_a_server_that_loads_its_model_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """llama.cpp answers 503 meanwhile."""
    with StudentServer(troubles=[BUSY]) as student:
        require_answers(f"{student.url}#student", None)
        assert len(student.posts()) == 2
    assert capsys.readouterr().err.count("loading its model") == 1


def test_a_server_that_cannot_answer_is_said_at_the_start() -> None:
    """Else every request would go to the teacher, and be paid for."""
    with StudentServer() as student:
        url = student.url
        with pytest.raises(UserError, match=r"/models lists"):
            require_answers(f"{url}#another", None)
        student.troubles.append(SERVER_ERROR)
        with pytest.raises(UserError, match="answered 500"):
            require_answers(f"{url}#student", None)
    with pytest.raises(UserError, match=r"No answer from .*Start the student's server"):
        require_answers(f"{url}#student", None)
    require_answers(None, None)


def test_a_reply_of_hundreds_of_megabytes_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.http.body.MAX_BODY", 1 << 16)
    big = Trouble(200, altered(message={"role": "assistant", "content": "x" * (1 << 18)}))
    with StudentServer(troubles=[big, big]) as student:
        assert through(student)[0] == 502
        assert through(student, stream=True)[0] == 502


def test_a_servers_own_words_tell_a_client_no_address() -> None:
    said = "no model /srv/models/a.gguf at http://10.1.2.3:8001/v1 (localhost:8001, fe80::1:2:3, gpu-7.internal:9000)"
    for status, expected in ((400, 400), (500, 502)):
        with StudentServer(troubles=[Trouble(status, {"error": {"message": said}})]) as student:
            replied, body = through(student)
        assert replied == expected
        told = json.loads(body)["error"]["message"]
        assert not any(word in told for word in ("srv", "10.1.2.3", "8001", "fe80", "gpu-7")), told
