"""openai/NAME against a loopback server with OpenAI's wire format."""

from __future__ import annotations

import pytest

from distil.calls.faults import GarbledReply
from distil.calls.providers.base import Window
from distil.calls.providers.openai import OpenAIProvider
from distil.calls.providers.openai_names import refuses_sampling
from distil.calls.request import Request
from distil.records import Message, Sampling
from tests.wire import openai as wire
from tests.wire.ask import ask, exchange, fault, limits, question
from tests.wire.openai import KEY, OpenAIServer
from tests.wire.server import HTML_PAGE

LOOKUP = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "A-17"}'}}
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "", "parameters": {"type": "object", "properties": {}}},
}


def provider(server: OpenAIServer, name: str = "gpt-4o-mini", key: str = KEY) -> OpenAIProvider:
    return OpenAIProvider(name, server.url, key)


def test_a_question_gets_an_answer_with_usage_and_tier() -> None:
    with OpenAIServer() as server:
        parsed = ask(provider(server), question("Hello?"))
    assert parsed.text == "An answer to: Hello?"
    assert parsed.finish_reason == "stop"
    assert parsed.usage.input_tokens > 0 and parsed.usage.output_tokens > 0
    assert parsed.served_tier == "standard"


def test_system_turns_earlier_turns_and_sampling_reach_the_wire() -> None:
    turns = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello.", weight=0),
        Message(role="user", content="Bye"),
    ]
    sampling = Sampling(temperature=0.2, top_p=0.9, max_tokens=7, stop=["\n"], seed=5)
    with OpenAIServer() as server:
        ask(provider(server), Request(model="openai/gpt-4o-mini", messages=turns, sampling=sampling, sample=2))
        body = server.posts()[0].body
    assert [turn["role"] for turn in body["messages"]] == ["system", "user", "assistant", "user"]
    assert not any("weight" in turn for turn in body["messages"])
    assert body["temperature"] == 0.2 and body["top_p"] == 0.9 and body["stop"] == ["\n"]
    assert body["max_completion_tokens"] == 7 and "max_tokens" not in body
    assert body["seed"] == 7  # the config's seed plus the sample's index


def test_a_reasoning_model_gets_no_parameter_that_it_refuses() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.5, top_logprobs=5, reasoning_effort="low")
    with OpenAIServer() as server:
        server.reasoning_tokens = 64
        openai = provider(server, "gpt-5-mini")
        request = question(model="openai/gpt-5-mini", sampling=sampling)
        parsed = ask(openai, request)
        body = server.posts()[0].body
    assert not {"temperature", "top_p", "logprobs", "top_logprobs", "max_tokens"} & set(body)
    assert body["reasoning_effort"] == "low"
    assert openai.ignored(request) == ["temperature", "top_p", "top_logprobs"]
    assert parsed.usage.reasoning_tokens == 64 and parsed.usage.output_tokens > 64


@pytest.mark.parametrize(
    ("name", "effort", "refuses"),
    [
        ("gpt-4o-mini", None, False),
        ("gpt-4.1", None, False),
        ("o3-mini", None, True),
        ("gpt-5", "none", True),
        ("gpt-5-mini-2025-08-07", None, True),
        ("gpt-5.1", "none", False),
        ("gpt-5.4-mini", "low", True),
        ("gpt-5-chat-latest", None, False),
        ("gpt-6-astra", None, True),
        ("ft:gpt-4.1-mini-2025-04-14:acme::abc", None, False),
        ("ft:o4-mini-2025-04-16:acme::abc", None, True),
    ],
)
def test_which_models_refuse_sampling_settings(name: str, effort: str | None, refuses: bool) -> None:
    assert refuses_sampling(name, effort) is refuses


def test_tool_calls_and_tool_results_go_both_ways() -> None:
    turns = [
        Message(role="user", content="Where is my order?"),
        Message(role="assistant", content=None, tool_calls=[LOOKUP]),
        Message(role="tool", content="on its way", tool_call_id="call_1"),
    ]
    with OpenAIServer(answer=lambda body: {"role": "assistant", "content": None, "tool_calls": [LOOKUP]}) as server:
        parsed = ask(provider(server), Request(model="openai/gpt-4o-mini", messages=turns, tools=[TOOL]))
        body = server.posts()[0].body
    assert body["tools"] == [TOOL]
    assert body["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [LOOKUP]}
    assert body["messages"][2]["tool_call_id"] == "call_1"
    assert parsed.tool_calls == [LOOKUP] and parsed.text == "" and parsed.finish_reason == "tool_calls"


def test_a_json_schema_and_logprobs_are_asked_for_and_kept() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    with OpenAIServer() as server:
        parsed = ask(provider(server), question(response_format=schema, sampling=Sampling(top_logprobs=3)))
        body = server.posts()[0].body
    assert body["response_format"] == schema
    assert body["logprobs"] is True and body["top_logprobs"] == 3
    assert parsed.logprobs is not None and len(parsed.logprobs[0]["top_logprobs"]) == 3


def test_a_refusal_is_told_apart_from_an_answer() -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "I can't help with that."}
    with OpenAIServer(answer=lambda body: dict(refusal)) as server:
        parsed = ask(provider(server), question())
    assert parsed.finish_reason == "refusal" and parsed.text == "I can't help with that."


def test_flex_is_requested_and_shed_is_not_a_rate_limit() -> None:
    with OpenAIServer(troubles=[None, wire.SHED]) as server:
        parsed = ask(provider(server), question(tier="flex"))
        shed = fault(provider(server), question(tier="flex"))
        assert server.posts()[0].body["service_tier"] == "flex"
    assert parsed.served_tier == "flex"
    assert shed.kind == "shed" and shed.retryable


@pytest.mark.parametrize(
    ("trouble", "kind", "retryable"),
    [
        (wire.rate_limited(), "rate_limit", True),
        (wire.OUT_OF_MONEY, "quota", False),
        (wire.TOO_LONG, "bad_request", False),
        (wire.SERVER_ERROR, "server", True),
        (wire.BUSY, "overload", True),
        (wire.error(403, "unsupported_country_region_territory", "Country not supported"), "auth", False),
        (wire.error(400, "invalid_prompt", "Invalid prompt: it was flagged."), "bad_request", False),
        (wire.error(408, None, "Request timed out"), "timeout", True),
        (wire.Trouble(502, b"<html>Bad gateway</html>"), "server", True),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(trouble: wire.Trouble, kind: str, retryable: bool) -> None:
    with OpenAIServer(troubles=[trouble]) as server:
        found = fault(provider(server), question())
    assert (found.kind, found.retryable) == (kind, retryable)
    assert found.message


def test_retry_after_is_read_as_seconds_milliseconds_and_date() -> None:
    later = "Wed, 21 Oct 2099 07:28:00 GMT"
    milliseconds = wire.error(429, "rate_limit_exceeded", "slow", retry_after_ms="250", retry_after="1")
    with OpenAIServer(
        troubles=[wire.rate_limited("7"), milliseconds, wire.rate_limited(later), wire.rate_limited("soon")]
    ) as server:
        waits = [fault(provider(server), question()).retry_after_s for _ in range(4)]
    assert waits[0] == 7 and waits[1] == 0.25
    assert waits[2] is not None and waits[2] > 1e9
    assert waits[3] is None


def test_a_wrong_key_says_what_to_do_and_never_shows_the_key() -> None:
    wrong = "sk-proj-wrong-secret-9876543210"
    with OpenAIServer() as server:
        found = fault(provider(server, key=wrong), question())
    assert found.kind == "auth" and not found.retryable
    assert "API key" in found.message and "environment variable" in found.message
    assert "sk-" not in found.message and "3210" not in found.message


def test_a_key_that_the_provider_repeats_is_blotted_out() -> None:
    with OpenAIServer(troubles=[wire.error(400, None, f"bad header {KEY} and sk-other123456")]) as server:
        found = fault(provider(server), question())
    assert KEY not in found.message and "sk-other" not in found.message and "***" in found.message


def test_an_unknown_model_says_where_the_names_are() -> None:
    with OpenAIServer() as server:
        found = fault(provider(server, "gpt-9"), question())
    assert found.kind == "not_found" and "/v1/models" in found.message and "gpt-9" in found.message


def test_a_prompt_that_is_too_long_says_so() -> None:
    with OpenAIServer(troubles=[wire.TOO_LONG]) as server:
        assert "max_tokens" in fault(provider(server), question()).message


def test_a_proxy_page_is_garbled_and_not_an_answer() -> None:
    empty = wire.Trouble(200, {"id": "x", "choices": []})
    inner = wire.Trouble(200, {"error": {"message": "upstream failed", "code": 502}})
    with OpenAIServer(troubles=[HTML_PAGE, empty, inner]) as server:
        for kind in ("garbled", "garbled", "server"):
            status, headers, body = exchange(provider(server), question())
            with pytest.raises(GarbledReply):
                provider(server).parse(status, headers, body)
            assert provider(server).fault(status, headers, body).kind == kind


def test_limits_are_read_from_the_headers_and_nonsense_is_not() -> None:
    with OpenAIServer() as server:
        server.reply_headers = {
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-remaining-requests": "499",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-limit-tokens": "-1",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "20ms",
        }
        hint = limits(provider(server), question())
        server.reply_headers = {}
        nothing = limits(provider(server), question())
    assert hint == {"requests": Window(500, 499, 360), "tokens": Window(None, 0, 0.02)}
    assert nothing == {}


def test_half_an_emoji_at_a_cut_does_not_break_the_files() -> None:
    body = b'{"choices": [{"message": {"content": "tea \\ud83e\\uded6 and \\ud83e"}, "finish_reason": "length"}]}'
    text = OpenAIProvider("gpt-4o-mini", "http://x", KEY).parse(200, {}, body).text
    assert text == "tea 🫖 and \ufffd" and text.encode()
