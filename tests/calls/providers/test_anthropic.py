"""anthropic/NAME against a loopback server with Anthropic's wire format."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from distil.calls.faults import GarbledReply
from distil.calls.providers.anthropic import AnthropicProvider, model_version
from distil.calls.providers.base import HttpProvider
from distil.calls.request import Request
from distil.errors import UserError
from distil.records import Message, Sampling
from tests.wire import anthropic as wire
from tests.wire.anthropic import KEY, AnthropicServer
from tests.wire.ask import ask, fault, limits, question
from tests.wire.server import HTML_PAGE

CALL = {"id": "toolu_1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "A-17"}'}}
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "Finds it.", "parameters": {"type": "object"}},
}


def provider(server: AnthropicServer, name: str = "claude-haiku-4-5", key: str = KEY) -> AnthropicProvider:
    return AnthropicProvider(name, server.url, key)


def test_separate_system_prompt_and_cached_tokens() -> None:
    turns = [Message(role="system", content="Be brief."), Message(role="user", content="Hello?")]
    sampling = Sampling(temperature=0.3, max_tokens=9, stop=["END"])
    with AnthropicServer() as server:
        parsed = ask(provider(server), Request(model="m", messages=turns, sampling=sampling))
        body = server.posts()[0].body
    assert body["system"] == "Be brief." and body["messages"] == [{"role": "user", "content": "Hello?"}]
    assert body["max_tokens"] == 9 and body["temperature"] == 0.3 and body["stop_sequences"] == ["END"]
    assert parsed.text == "An answer to: Hello?" and parsed.finish_reason == "stop"
    assert parsed.usage.cached_tokens == 5 and parsed.usage.input_tokens > 8
    assert parsed.served_tier == "standard"


def test_only_one_of_temperature_and_top_p_is_sent() -> None:
    with AnthropicServer() as server:
        anthropic = provider(server)
        both = question(sampling=Sampling(temperature=0.5, top_p=0.9))
        ask(anthropic, both)
        only_top_p = question(sampling=Sampling(temperature=1.0, top_p=0.9))
        ask(anthropic, only_top_p)
        bodies = [seen.body for seen in server.posts()]
    assert bodies[0]["temperature"] == 0.5 and "top_p" not in bodies[0]
    assert bodies[1]["top_p"] == 0.9 and "temperature" not in bodies[1]
    assert anthropic.ignored(both) == ["top_p"] and anthropic.ignored(only_top_p) == []


def test_newer_models_get_no_sampling_and_think_adaptively() -> None:
    with AnthropicServer(
        answer=lambda body: [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "8"}]
    ) as server:
        anthropic = provider(server, "claude-opus-4-7")
        request = question(sampling=Sampling(temperature=0.7, seed=1, reasoning_effort="high"))
        parsed = ask(anthropic, request)
        body = server.posts()[0].body
    assert "temperature" not in body
    assert body["thinking"] == {"type": "adaptive"} and body["output_config"] == {"effort": "high"}
    assert parsed.reasoning == "Hm." and parsed.text == "8"
    assert anthropic.ignored(request) == ["temperature", "seed"]


def test_older_models_think_within_a_token_budget_that_must_fit() -> None:
    with AnthropicServer() as server:
        anthropic = provider(server)
        ask(anthropic, question(sampling=Sampling(reasoning_effort="low", max_tokens=2000)))
        assert server.posts()[0].body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    with pytest.raises(UserError, match="Set max_tokens to 2,048 or more"):
        anthropic.wire(question(sampling=Sampling(reasoning_effort="low", max_tokens=500)))


def test_tools_calls_and_results_are_translated_both_ways() -> None:
    turns = [
        Message(role="user", content="Where are my orders?"),
        Message(role="assistant", content="Let me look.", tool_calls=[CALL, CALL | {"id": "toolu_2"}]),
        Message(role="tool", content="on its way", tool_call_id="toolu_1"),
        Message(role="tool", content="lost", tool_call_id="toolu_2"),
    ]
    use = {"type": "tool_use", "id": "toolu_3", "name": "look_up", "input": {"order": "B-2"}}
    with AnthropicServer(answer=lambda body: [use]) as server:
        parsed = ask(provider(server), Request(model="m", messages=turns, tools=[TOOL]))
        body = server.posts()[0].body
    assert body["tools"] == [{"name": "look_up", "description": "Finds it.", "input_schema": {"type": "object"}}]
    assert [block["type"] for block in body["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
    assert body["messages"][1]["content"][1]["input"] == {"order": "A-17"}
    results = body["messages"][2]
    assert results["role"] == "user" and [block["tool_use_id"] for block in results["content"]] == [
        "toolu_1",
        "toolu_2",
    ]
    assert parsed.finish_reason == "tool_calls" and parsed.tool_calls is not None
    assert parsed.tool_calls[0]["function"] == {"name": "look_up", "arguments": '{"order": "B-2"}'}


def test_a_json_schema_and_an_image_take_anthropics_shape() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    message = Message(role="user", content=[{"type": "text", "text": "What is it?"}, picture])
    with AnthropicServer() as server:
        ask(provider(server), Request(model="m", messages=[message], response_format=wanted))
        body = server.posts()[0].body
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    assert body["messages"][0]["content"][1] == {"type": "image", "source": source}


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("refusal", "refusal"),
    ],
)
def test_stop_reasons_become_our_words(stop_reason: str, finish: str) -> None:
    with AnthropicServer() as server:
        server.stop_reason = stop_reason
        assert ask(provider(server), question()).finish_reason == finish


@pytest.mark.parametrize(
    ("trouble", "kind", "retryable"),
    [
        (wire.rate_limited("12"), "rate_limit", True),
        (wire.OVERLOADED, "overload", True),
        (wire.BROKE, "quota", False),
        (wire.error(500, "api_error", "Internal server error"), "server", True),
        (wire.error(504, "timeout_error", "Request timed out"), "timeout", True),
        (wire.error(413, "request_too_large", "Request exceeds the maximum size"), "bad_request", False),
        (wire.error(403, "permission_error", "Your API key does not have permission"), "auth", False),
        (
            wire.error(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            "bad_request",
            False,
        ),
        (wire.Trouble(529, b""), "overload", True),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(trouble: wire.Trouble, kind: str, retryable: bool) -> None:
    with AnthropicServer(troubles=[trouble]) as server:
        found = fault(provider(server), question())
    assert (found.kind, found.retryable) == (kind, retryable)
    if kind == "rate_limit":
        assert found.retry_after_s == 12


def test_a_wrong_key_and_an_unknown_model_say_what_to_do() -> None:
    with AnthropicServer() as server:
        wrong = fault(provider(server, key="sk-ant-wrong-0123456789"), question())
        unknown = fault(provider(server, "claude-9"), question())
    assert wrong.kind == "auth" and "environment variable" in wrong.message and "sk-ant" not in wrong.message
    assert unknown.kind == "not_found" and "claude-9" in unknown.message


def test_limits_come_with_input_and_output_tokens_apart() -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
    with AnthropicServer() as server:
        server.reply_headers = {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": soon,
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-output-tokens-limit": "8000",
        }
        hint = limits(provider(server), question())
    requests = hint["requests"]
    assert (requests.limit, requests.remaining) == (50, 49)
    assert requests.reset_s is not None and 20 < requests.reset_s <= 30
    assert (hint["input_tokens"].limit, hint["output_tokens"].limit, "tokens" in hint) == (40000, 8000, False)


def test_garbage_is_no_answer() -> None:
    anthropic = AnthropicProvider("claude-haiku-4-5", "http://x/v1", KEY)
    assert anthropic.wire(question()).url == "http://x/v1/messages"
    for body in (HTML_PAGE.body, b'{"type": "error", "error": {}}', b'{"id": "msg"', b"[]"):
        with pytest.raises(GarbledReply):
            anthropic.parse(200, {}, body)
    assert isinstance(anthropic, HttpProvider)


def test_what_anthropic_does_not_offer_is_a_user_error() -> None:
    anthropic = AnthropicProvider("claude-haiku-4-5", "http://x", KEY)
    with pytest.raises(UserError, match="no flex tier"):
        anthropic.wire(question(tier="flex"))
    with pytest.raises(UserError, match="from 0 to 1"):
        anthropic.wire(question(sampling=Sampling(temperature=1.5)))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("claude-3-5-sonnet-20241022", (3, 5)),
        ("claude-opus-4-20250514", (4, 0)),
        ("claude-opus-4-1-20250805", (4, 1)),
        ("claude-haiku-4-5", (4, 5)),
        ("claude-sonnet-5", (5, 0)),
        ("something-new", (99, 0)),
    ],
)
def test_versions_are_read_from_names(name: str, version: tuple[int, int]) -> None:
    assert model_version(name) == version
