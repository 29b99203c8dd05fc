"""The in-process engine with a tiny real model: batches, log-probabilities, limits, seeds, and the server process."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.models.generate import generate
from distil.models.load import load
from distil.models.render import render_prompt
from distil.records import Message, Sampling
from distil.runs.artifacts import Project
from distil.serve.__main__ import main
from distil.serve.config import ServeConfig
from distil.serve.engines.local import LocalEngine
from distil.serve.gateway import Gateway
from distil.serve.policy import Policy
from distil.serve.server import open_port
from distil.serve.stage import make_gateway
from tests.serve.running import CHAT, chat_body, running
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny") / "model")


def replies(model: Path, *bodies: dict[str, Any], together: bool = True) -> tuple[list[tuple[int, Any]], LocalEngine]:
    engine = LocalEngine(str(model), batch_size=16)

    async def go() -> list[tuple[int, Any]]:
        async with running(Gateway("student", engine, Policy("off"), max_tokens=12)) as session:

            async def post(body: dict[str, Any]) -> tuple[int, Any]:
                async with session.post(CHAT, json=body) as reply:
                    return reply.status, await reply.json()

            if together:
                return list(await asyncio.gather(*(post(body) for body in bodies)))
            return [await post(body) for body in bodies]

    return asyncio.run(go()), engine


def text_of(reply: tuple[int, Any]) -> str:
    return str(reply[1]["choices"][0]["message"]["content"])


def test_concurrent_requests_share_steps(model: Path) -> None:
    """Each request still gets its own answer: the one that it gets alone."""
    bodies = [chat_body(f"Where is my order {i}?" + " please" * (i % 3)) for i in range(48)]
    results, engine = replies(model, *bodies)
    loaded = load(str(model))
    prompts = [
        render_prompt(loaded.tokenizer, [Message.model_validate(m) for m in body["messages"]]) for body in bodies
    ]
    expected = generate(loaded, prompts, Sampling(temperature=0, max_tokens=12))
    assert [text_of(reply) for reply in results] == [generation.text for generation in expected]
    assert results[5][1]["usage"]["prompt_tokens"] == len(prompts[5])
    assert results[5][1]["usage"]["completion_tokens"] == len(expected[5].token_ids)
    gauges = engine.gauges()
    assert gauges["distil_engine_tokens_total"] == sum(len(generation.token_ids) for generation in expected)
    assert gauges["distil_engine_steps_total"] <= 8 * 12  # rows of up to 16 share them


def test_logprobs_are_those_of_the_model(model: Path) -> None:
    """The most probable alternatives come first."""
    (reply,), _ = replies(model, chat_body(logprobs=True, top_logprobs=4, max_tokens=5))
    content = reply[1]["choices"][0]["logprobs"]["content"]
    assert len(content) in (4, 5)
    for token in content:
        top = [alternative["logprob"] for alternative in token["top_logprobs"]]
        assert len(top) == 4 and top == sorted(top, reverse=True)
        assert math.isclose(top[0], token["logprob"], abs_tol=1e-3)  # greedy
        assert bytes(token["bytes"]).decode("utf-8", "replace") == token["token"]


def test_requests_in_a_batch_have_their_own_max_tokens(model: Path) -> None:
    results, _ = replies(model, *(chat_body("Where is it?", max_tokens=n) for n in (2, 7, 3)))
    assert [reply[1]["usage"]["completion_tokens"] for reply in results] == [2, 7, 3]
    assert all(reply[1]["choices"][0]["finish_reason"] == "length" for reply in results)
    assert text_of(results[1]).startswith(text_of(results[0]))


def test_a_long_prompt_does_not_shorten_other_answers(model: Path) -> None:
    """A prompt longer than the context is refused."""
    long = chat_body("word " * 110, max_tokens=100)
    results, _ = replies(model, long, chat_body("short", max_tokens=60), chat_body("word " * 300))
    alone, _ = replies(model, chat_body("short", max_tokens=60))
    assert results[1][1]["usage"] == alone[0][1]["usage"] and text_of(results[1]) == text_of(alone[0])
    assert results[2][0] == 400 and results[2][1]["error"]["code"] == "context_length_exceeded"


def test_a_seed_makes_sampling_repeatable(model: Path) -> None:
    """Whatever other requests arrive at the same time."""
    seeded = chat_body("tell me", temperature=1.5, seed=11, max_tokens=12)
    crowd = [chat_body(f"other {i}", temperature=1.5) for i in range(5)]
    first, _ = replies(model, seeded, *crowd)
    second, _ = replies(model, *crowd[:2], seeded)
    other, _ = replies(model, chat_body("tell me", temperature=1.5, seed=12, max_tokens=12))
    assert text_of(first[0]) == text_of(second[2]) != text_of(other[0])


def test_a_stop_string_ends_the_answer(model: Path) -> None:
    (whole,), _ = replies(model, chat_body(max_tokens=10))
    text = text_of(whole)
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    (cut,), _ = replies(model, chat_body(max_tokens=10, stop=stop))
    assert text_of(cut) == text[: text.index(stop)] and cut[1]["choices"][0]["finish_reason"] == "stop"


def test_a_bug_of_ours_is_a_500_with_a_traceback_in_the_log(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("distil.serve.engines.local.make_reply", broken)
    (reply,), _ = replies(model, chat_body())
    assert reply[0] == 500 and "a bug" not in reply[1]["error"]["message"]
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


def test_a_student_on_disk_is_served_by_its_name(model: Path, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.model("mini").parent.mkdir(parents=True)
    project.model("mini").symlink_to(model)
    gateway = make_gateway(project, ServeConfig(fallback="off", default_max_tokens=3), name="mini")

    async def go() -> Any:
        async with running(gateway) as session, session.post(CHAT, json=chat_body() | {"model": "mini"}) as reply:
            return await reply.json()

    assert asyncio.run(go())["usage"]["completion_tokens"] <= 3


def test_a_gateway_passes_an_upstream_stream_on(model: Path, tmp_path: Path) -> None:
    async def go() -> tuple[str, str]:
        behind = Gateway("student", LocalEngine(str(model)), Policy("off"), max_tokens=6, temperature=0.0)
        async with running(behind) as session:
            url = str(session._base_url).rstrip("/")
            section = ServeConfig(engine=f"{url}/v1#student", fallback="off", default_max_tokens=6)
            front = make_gateway(Project(tmp_path), section, name="student")
            async with running(front) as client:
                async with client.post(CHAT, json=chat_body(stream=True)) as reply:
                    events = await reply.text()
                async with client.post(CHAT, json=chat_body()) as reply:
                    answer = await reply.json()
                    assert reply.status == 200, answer
                    return events, str(answer["choices"][0]["message"]["content"])

    events, text = asyncio.run(go())
    chunks = [json.loads(e.removeprefix("data: ")) for e in events.strip().split("\n\n")[:-1]]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == text
    assert events.endswith("data: [DONE]\n\n")


def test_a_port_in_use_is_one_paragraph() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"Can't listen on 127\.0\.0\.1:.*serve\.port"):
            open_port("127.0.0.1", taken.getsockname()[1])


def test_the_server_process_reports_ready_and_ends_cleanly(model: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "distil.serve", str(model), "--name", "tiny"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready http://127.0.0.1:") and ready.endswith("/v1#tiny\n")
        base = ready.split()[1].split("/v1")[0]
        with urllib.request.urlopen(f"{base}/healthz", timeout=10) as reply:
            assert json.load(reply)["model"] == "tiny"
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, out, errors) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def test_a_missing_model_ends_the_server_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one paragraph, not a traceback."""
    monkeypatch.setattr(sys, "argv", ["serve", "./nothing"])
    assert main() == 2
    output = capsys.readouterr()
    assert output.out == "" and "There is no folder ./nothing" in output.err


def test_a_seed_at_temperature_0_harms_nobody(model: Path) -> None:
    bodies = [chat_body(f"question {n}") for n in range(4)]
    found, _ = replies(model, *bodies, chat_body("question 0", seed=2**63 - 1), chat_body("question 1", seed=2**70))
    assert [status for status, _ in found] == [200, 200, 200, 200, 200, 400]
    assert text_of(found[4]) == text_of(found[0])


def test_a_far_too_long_prompt_is_refused_unread(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **options: object) -> list[int]:
        raise AssertionError("such a text must not be tokenized")

    monkeypatch.setattr("distil.serve.engines.local.render_prompt", never)
    ((status, reply),), _ = replies(model, chat_body("word " * 50_000))
    assert status == 400 and reply["error"]["code"] == "context_length_exceeded"
