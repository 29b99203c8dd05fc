"""Public reports of replies that tools of this field read wrongly; a test's name has the report's number and source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from distil.calls.config import Limits, Price, TeacherConfig
from distil.collect import stage
from distil.collect.config import CollectConfig
from distil.collect.result import CollectResult
from distil.curate import stage as curate
from distil.curate.config import CurateConfig
from distil.errors import WorkFailed
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.schemas.failures import Failure
from tests.wire.openai import KEY, OpenAIServer
from tests.wire.server import Trouble

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer() as running:
        yield running


class Collected(NamedTuple):
    result: CollectResult
    answers: list[Answer]
    failures: list[Failure]
    project: Project


def collect(folder: Path, server: OpenAIServer, prompts: int = 1) -> Collected:
    project = Project(folder / "project")
    if not project.prompts.exists():
        rows = [Prompt.make([Message(role="user", content=f"question {n}")]) for n in range(prompts)]
        write_records(project.prompts, rows)
    teacher = TeacherConfig(
        model="openai/gpt-4o-mini",
        base_urls=[server.url],
        price=Price(input=1, output=2),
        limits=Limits(concurrency=4),
        sampling=Sampling(max_tokens=50),
    )
    result = stage.run(project, CollectConfig(budget_usd=None), [teacher])
    failures = list(read_records(project.failures, Failure))
    return Collected(result, list(read_records(project.answers, Answer)), failures, project)


def choice(content: Any, finish: object = "stop", **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish, **fields}], "usage": USAGE}


def test_7_perf_analyzer_433_thinking_in_the_content(server: OpenAIServer, tmp_path: Path) -> None:
    server.answer = lambda body: '<think>plan</think>{"a":1}'
    collected = collect(tmp_path, server)
    assert (collected.answers[0].text, collected.answers[0].reasoning) == ('{"a":1}', "plan")
    curate.run(collected.project, CurateConfig(test=0, validation=0))
    assert [e.answer for e in read_examples(collected.project.split("train"))] == ['{"a":1}']


@pytest.mark.parametrize(
    "finish", ["error", None, "abort", "malformed_function_call", "MALFORMED_FUNCTION_CALL", "other"]
)
def test_8_bifrost_5425_partial_text_is_no_success(finish: object, server: OpenAIServer, tmp_path: Path) -> None:
    """Also genkit #6259: kept as an answer and trained on."""
    partial = Trouble(200, choice('{"events": [{"title": "partial', finish) | {"usage": None})
    server.trouble_for = lambda seen: partial if b"question 0" in seen.raw else None
    collected = collect(tmp_path, server, prompts=2)
    assert [answer.text for answer in collected.answers] == ["An answer to: question 1"]
    assert [failure.kind for failure in collected.failures] == ["broken_off"]
    assert str(finish or "none").lower() in collected.failures[0].why.lower() and "partial" in collected.failures[0].why


def test_9_nodetool_5755_an_error_inside_a_200(server: OpenAIServer, tmp_path: Path) -> None:
    """Also Saturn #43 and dify #9197: 429 handling, its message, and no charge."""
    server.troubles.extend([Trouble(200, {"error": {"message": "quota", "code": 429}})] * 2)
    collected = collect(tmp_path, server, prompts=3)
    assert collected.result.answers == 3 and collected.result.uncertain_requests == 0
    server.trouble_for = lambda seen: Trouble(200, {"error": {"message": "too odd for us", "code": 400}})
    with pytest.raises(WorkFailed, match="too odd for us"):
        collect(tmp_path / "other", server)


def test_open_webui_computer_293_the_upstreams_words_are_shown(server: OpenAIServer, tmp_path: Path) -> None:
    metadata = {"raw": '{"error":{"message":"context window exceeded"}}', "provider_name": "Acme"}
    body = {"error": {"code": 400, "message": "Provider returned error", "metadata": metadata}}
    server.trouble_for = lambda seen: Trouble(400, body) if b"question 0" in seen.raw else None
    collected = collect(tmp_path, server, prompts=2)
    assert "Acme: context window exceeded" in collected.failures[0].why


def test_openllmetry_azure_filter_without_a_message(server: OpenAIServer, tmp_path: Path) -> None:
    """The cassette test_azure/test_chat_content_filtering: a choice without a message, paid once and not eight times."""
    body = {"choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": {}}], "usage": USAGE}
    server.trouble_for = lambda seen: Trouble(200, body) if b"question 0" in seen.raw else None
    collected = collect(tmp_path, server, prompts=2)
    assert "content_filter" in collected.failures[0].why and len(server.posts()) == 2


def test_helm_3327_filtered_first_prompts_stop_nothing(server: OpenAIServer, tmp_path: Path) -> None:
    refusal = Trouble(400, {"error": {"code": "content_filter", "message": "The response was filtered"}})
    server.trouble_for = lambda seen: refusal if len(server.posts()) <= 25 else None
    assert collect(tmp_path, server, prompts=40).result.answers == 15


def test_litellm_24442_a_message_without_content(server: OpenAIServer, tmp_path: Path) -> None:
    """Also langchain #5861."""
    body = {"choices": [{"index": 0, "message": {"role": "assistant"}, "finish_reason": "stop"}], "usage": USAGE}
    server.trouble_for = lambda seen: Trouble(200, body) if b"question 0" in seen.raw else None
    collected = collect(tmp_path, server, prompts=2)
    assert [failure.kind for failure in collected.failures] == ["empty"] and collected.result.answers == 1


def test_deepseek_v3_606_blank_lines_before_the_body(server: OpenAIServer, tmp_path: Path) -> None:
    """Sent to keep the connection open."""
    server.trouble_for = lambda seen: Trouble(200, b"\n\n\n\n" + json.dumps(choice("fine")).encode())
    assert [answer.text for answer in collect(tmp_path, server).answers] == ["fine"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_24_openviking_3984_line_separators_in_an_answer(mark: str, server: OpenAIServer, tmp_path: Path) -> None:
    server.answer = lambda body: f"one{mark}row"
    collected = collect(tmp_path, server, prompts=3)
    assert [answer.text for answer in collected.answers] == [f"one{mark}row"] * 3
    assert len(collected.project.answers.read_bytes().split(b"\n")) == 4
