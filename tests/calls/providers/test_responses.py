"""OpenAI's Responses API: requests and replies as the real one writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.batch.openai_api import OpenAIBatches
from distil.calls.config import TeacherConfig
from distil.calls.faults import GarbledReply
from distil.calls.providers.azure import AzureResponsesProvider
from distil.calls.providers.base import HttpProvider
from distil.calls.providers.catalog import open_teacher
from distil.calls.providers.chat import CompatibleProvider
from distil.calls.providers.openai import OpenAIProvider
from distil.calls.providers.openai_names import only_responses
from distil.calls.providers.responses import ResponsesProvider
from distil.endings import ending
from distil.records import Message, Sampling
from tests.calls.providers.recorded_replies import replies
from tests.wire.ask import question

TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": {"type": "object"}},
}


def provider(name: str = "gpt-5-codex") -> ResponsesProvider:
    return ResponsesProvider(name, "https://api.openai.com/v1", "sk-x")


def reply(**fields: Any) -> bytes:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Paris"}]}
    usage = {"input_tokens": 11, "output_tokens": 327, "output_tokens_details": {"reasoning_tokens": 320}}
    return json.dumps(
        {"object": "response", "status": "completed", "output": [message], "usage": usage, **fields}
    ).encode()


@pytest.mark.parametrize(
    ("name", "only"),
    [("gpt-5-codex", True), ("gpt-5.1-codex-mini", True), ("codex-mini-latest", True), ("o1-pro", True),
     ("o3-pro-2025-06-10", True),
     ("gpt-5-pro", True), ("gpt-5.2-pro", True), ("o3-deep-research", True), ("computer-use-preview", True),
     ("gpt-5-mini", False),
     ("gpt-4o", False), ("o3", False), ("gpt-5-chat-latest", False), ("gpt-4o-mini", False)],
)  # fmt: skip
def test_models_that_only_live_there_go_there_by_themselves(name: str, only: bool) -> None:
    assert only_responses(name) is only
    opened = open_teacher(TeacherConfig(model=f"openai/{name}"), {"OPENAI_API_KEY": "sk-x"})
    assert type(opened.replicas[0]) is (ResponsesProvider if only else OpenAIProvider)
    asked = open_teacher(TeacherConfig(model=f"openai-responses/{name}"), {"OPENAI_API_KEY": "sk-x"})
    assert type(asked.replicas[0]) is ResponsesProvider
    azure = open_teacher(
        TeacherConfig(model=f"azure/{name}", base_urls=["https://n.openai.azure.com"]), {"AZURE_OPENAI_API_KEY": "x"}
    )
    assert isinstance(azure.replicas[0], AzureResponsesProvider) is only


ONLY_THERE = "This model is only supported in v1/responses and not in v1/chat/completions."


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            OpenAIProvider("gpt-new", "https://api.openai.com/v1", "sk-x"),
            "Write openai-responses/gpt-new in distil.yaml.",
        ),
        (
            CompatibleProvider("gpt-new", "http://h/v1", None),
            "openai-responses/gpt-new in distil.yaml, with base_urls: [http://h/v1]",
        ),
    ],
)
def test_a_model_that_the_name_does_not_tell_is_said(one: HttpProvider, words: str) -> None:
    """anomalyco/opencode#2758, CopilotC-Nvim/CopilotChat.nvim#1442: the 404 that gpt-5-codex gave."""
    body = json.dumps(
        {"error": {"message": ONLY_THERE, "type": "invalid_request_error", "param": "model", "code": None}}
    )
    found = one.fault(404, {}, body.encode())
    assert found.kind == "not_found" and words in found.message


def test_a_batch_of_such_a_model_goes_to_the_same_address() -> None:
    class NoHttp:
        """Never asked."""

    for one, url in (
        (provider(), "/v1/responses"),
        (OpenAIProvider("gpt-4o", "https://h/v1", "k"), "/v1/chat/completions"),
    ):
        api = OpenAIBatches(one, NoHttp(), 1.0, set)  # type: ignore[arg-type]
        assert api.line("a", {})["url"] == url


def test_a_reasoning_model_is_asked_for_summaries() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=900, reasoning_effort="low", seed=1, stop=["x"])
    request = question("Hi", sampling=sampling)
    assert provider().body(request) == {
        "model": "gpt-5-codex",
        "input": [{"role": "user", "content": "Hi"}],
        "max_output_tokens": 900,
        "store": False,
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    assert sorted(provider().ignored(request)) == ["seed", "stop", "temperature", "top_p"]
    assert provider().wire(request).url == "https://api.openai.com/v1/responses"


def test_another_model_keeps_its_sampling_tools_and_schema() -> None:
    schema = {"name": "a", "strict": True, "schema": {"type": "object"}}
    request = question(
        "Hi",
        sampling=Sampling(temperature=0.7, top_p=0.9, top_logprobs=2),
        tools=[TOOL],
        response_format={"type": "json_schema", "json_schema": schema},
        tier="flex",
    )
    body = provider("gpt-4.1").body(request)
    assert (body["temperature"], body["top_p"], body["top_logprobs"], body["service_tier"]) == (0.7, 0.9, 2, "flex")
    assert body["include"] == ["message.output_text.logprobs"] and "reasoning" not in body
    weather = {
        "type": "function",
        "name": "weather",
        "description": "of a city",
        "parameters": {"type": "object"},
        "strict": False,
    }
    assert body["tools"] == [weather]
    assert body["text"] == {"format": {"type": "json_schema", **schema}}


def test_turns_calls_results_and_images_become_items() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
    messages = [
        Message(role="system", content="Be brief."),
        Message(role="user", content=[{"type": "text", "text": "And this?"}, image]),
        Message(role="assistant", content="", tool_calls=[call]),
        Message(role="tool", content="sunny", tool_call_id="c1"),
    ]
    items = provider().body(question().model_copy(update={"messages": messages}))["input"]
    assert items == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "And this?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        ]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ]  # fmt: skip


def test_summaries_calls_refusals_and_usage_are_read() -> None:
    summary = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'}
    commentary = {"type": "message", "phase": "commentary", "content": [{"type": "output_text", "text": "I look."}]}
    final = {"type": "message", "phase": "final_answer", "content": [{"type": "output_text", "text": "Sunny."}]}
    output = [{"type": "reasoning", "summary": summary, "encrypted_content": "xx"}, commentary, call, final]
    parsed = provider().parse(200, {}, reply(output=output, service_tier="flex"))
    assert (parsed.text, parsed.reasoning, parsed.finish_reason) == ("Sunny.", "One.\nTwo.\nI look.", "tool_calls")
    assert parsed.tool_calls == [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    ]
    assert (parsed.usage.input_tokens, parsed.usage.output_tokens, parsed.usage.reasoning_tokens) == (11, 327, 320)
    assert parsed.served_tier == "flex"
    refused = provider().parse(
        200, {}, reply(output=[{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}])
    )
    assert (refused.text, refused.finish_reason) == ("No.", "refusal")


@pytest.mark.parametrize(
    ("fields", "finish"),
    [({}, "stop"), ({"status": "complete"}, "stop"),
     ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
     ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter")],
)  # fmt: skip
def test_the_status_says_how_it_ended(fields: dict[str, Any], finish: str) -> None:
    assert provider().parse(200, {}, reply(**fields)).finish_reason == finish


@pytest.mark.parametrize(
    "fields",
    [{"status": "failed", "error": {"code": "server_error", "message": "boom"}}, {"status": "queued"}, {"status": "in_progress"},
     {"status": "cancelled"}, {"status": "incomplete", "incomplete_details": None}, {"output": None}, {"output": {"a": 1}}],
)  # fmt: skip
def test_what_did_not_end_is_no_answer(fields: dict[str, Any]) -> None:
    with pytest.raises(GarbledReply):
        provider().parse(200, {}, reply(**fields))


def test_all_recorded_replies_are_read(data_dir: Callable[[str], Path]) -> None:
    found = replies(
        data_dir("replies/replies.jsonl.gz"),
        lambda record: record["path"].endswith("/responses") and record["status"] == 200,
    )
    assert len(found) > 150
    ended = 0
    for record in found:
        body, raw = json.loads(record["body"]), record["body"].encode()
        if not isinstance(body, dict) or body.get("status") not in ("completed", "complete", "incomplete"):
            with pytest.raises(GarbledReply):
                provider().parse(200, record["headers"], raw)
            continue
        parsed, output = provider().parse(200, record["headers"], raw), body["output"]
        texts = [part.get("text", "") for item in output if item["type"] == "message" for part in item["content"]]
        assert all(text in parsed.text + (parsed.reasoning or "") for text in texts)
        calls = [item["name"] for item in output if item["type"] == "function_call"]
        assert [call["function"]["name"] for call in parsed.tool_calls or []] == calls
        summaries = [
            part["text"] for item in output if item["type"] == "reasoning" for part in item.get("summary") or []
        ]
        assert all(summary in (parsed.reasoning or "") for summary in summaries)
        assert (parsed.usage.input_tokens, parsed.usage.output_tokens) == (
            body["usage"]["input_tokens"],
            body["usage"]["output_tokens"],
        )
        assert ending(parsed.finish_reason) in ("ok", "cut")
        ended += 1
    assert ended > 150
