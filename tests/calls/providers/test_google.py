"""google/NAME against a loopback server with Gemini's wire format."""

from __future__ import annotations

import pytest

from distil.calls.faults import GarbledReply
from distil.calls.providers.base import HttpProvider
from distil.calls.providers.google import GoogleProvider
from distil.calls.request import Request
from distil.records import Message, Sampling
from tests.wire import google as wire
from tests.wire.ask import ask, fault, question
from tests.wire.google import KEY, GoogleServer

TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "Finds it.", "parameters": {"type": "object"}},
}


def provider(server: GoogleServer, name: str = "gemini-2.5-flash", key: str = KEY) -> GoogleProvider:
    return GoogleProvider(name, server.url, key)


def test_a_conversation_with_system_instruction_and_settings() -> None:
    turns = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello."),
        Message(role="user", content="Bye"),
    ]
    sampling = Sampling(temperature=0.2, top_p=0.8, max_tokens=7, stop=["END"], seed=3, top_logprobs=2)
    with GoogleServer() as server:
        parsed = ask(provider(server), Request(model="m", messages=turns, sampling=sampling, sample=1))
        seen = server.posts()[0]
    assert seen.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert seen.body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert [turn["role"] for turn in seen.body["contents"]] == ["user", "model", "user"]
    config = seen.body["generationConfig"]
    assert (config["temperature"], config["topP"], config["maxOutputTokens"], config["seed"]) == (0.2, 0.8, 7, 4)
    assert config["stopSequences"] == ["END"] and config["logprobs"] == 2
    assert parsed.text == "An answer to: Bye" and parsed.finish_reason == "stop" and parsed.served_tier == "standard"
    assert parsed.logprobs is not None and parsed.logprobs[0]["token_id"] == 7


def test_thoughts_are_kept_apart_and_counted_as_output() -> None:
    with GoogleServer() as server:
        older = ask(provider(server), question(sampling=Sampling(reasoning_effort="low")))
        newer = ask(provider(server, "gemini-3-flash"), question(sampling=Sampling(reasoning_effort="high")))
        none = ask(provider(server), question(sampling=Sampling(reasoning_effort="none")))
        configs = [seen.body["generationConfig"]["thinkingConfig"] for seen in server.posts()]
    assert older.reasoning == newer.reasoning == "Let me think." and none.reasoning is None
    assert older.usage.reasoning_tokens == 40 and older.usage.output_tokens > 40
    assert configs == [
        {"thinkingBudget": 1024, "includeThoughts": True},
        {"thinkingLevel": "high", "includeThoughts": True},
        {"thinkingBudget": 0, "includeThoughts": False},
    ]


def test_function_calls_keep_their_signature_both_ways() -> None:
    made = [{"functionCall": {"name": "look_up", "args": {"order": "A-17"}}, "thoughtSignature": "c2ln"}]
    with GoogleServer(answer=lambda body: made) as server:
        first = ask(provider(server), question("Where is it?", tools=[TOOL]))
        assert first.tool_calls is not None
        turns = [
            Message(role="user", content="Where is it?"),
            Message(role="assistant", content=None, tool_calls=first.tool_calls),
            Message(role="tool", content="on its way", tool_call_id=first.tool_calls[0]["id"]),
        ]
        ask(provider(server), Request(model="m", messages=turns, tools=[TOOL]))
        body = server.posts()[1].body
    assert first.finish_reason == "tool_calls"
    assert first.tool_calls[0]["function"] == {"name": "look_up", "arguments": '{"order": "A-17"}'}
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == {"type": "object"}
    assert body["contents"][1] == {"role": "model", "parts": made}
    answer = {"functionResponse": {"name": "look_up", "response": {"result": "on its way"}}}
    assert body["contents"][2] == {"role": "user", "parts": [answer]}


def test_a_json_schema_an_image_and_the_flex_tier_reach_the_wire() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    message = Message(role="user", content=[picture, {"type": "text", "text": "What is it?"}])
    with GoogleServer() as server:
        parsed = ask(provider(server), Request(model="m", messages=[message], response_format=wanted, tier="flex"))
        body = server.posts()[0].body
    assert body["generationConfig"]["responseMimeType"] == "application/json"
    assert body["generationConfig"]["responseJsonSchema"] == {"type": "object"}
    assert body["contents"][0]["parts"][0] == {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    assert body["service_tier"] == "flex" and parsed.served_tier == "flex"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("MODEL_ARMOR", "content_filter")],
)
def test_finish_reasons_become_our_words(reason: str, finish: str) -> None:
    with GoogleServer() as server:
        server.finish_reason = reason
        assert ask(provider(server), question()).finish_reason == finish


def test_a_blocked_prompt_is_an_empty_filtered_answer() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}}
    with GoogleServer(answer=lambda body: blocked) as server:
        parsed = ask(provider(server), question())
    assert parsed.text == "" and parsed.finish_reason == "content_filter" and parsed.usage.input_tokens == 4


@pytest.mark.parametrize(
    ("trouble", "kind", "retryable"),
    [
        (wire.exhausted("GenerateRequestsPerMinutePerProjectPerModel"), "rate_limit", True),
        (wire.exhausted("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), "quota", False),
        (wire.OVERLOADED, "overload", True),
        (wire.BAD_KEY, "auth", False),
        (
            wire.error(403, "PERMISSION_DENIED", "Generative Language API has not been used in project 1."),
            "auth",
            False,
        ),
        (wire.error(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum."), "bad_request", False),
        (wire.error(504, "DEADLINE_EXCEEDED", "The request timed out."), "timeout", True),
        (wire.error(500, "INTERNAL", "An internal error has occurred."), "server", True),
        (wire.Trouble(502, b"<html>"), "server", True),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(trouble: wire.Trouble, kind: str, retryable: bool) -> None:
    with GoogleServer(troubles=[trouble]) as server:
        found = fault(provider(server), question())
    assert (found.kind, found.retryable) == (kind, retryable)
    assert found.retry_after_s == (37 if kind == "rate_limit" else None)


def test_a_wrong_key_never_shows_and_an_unknown_model_says_so() -> None:
    with GoogleServer() as server:
        wrong = fault(provider(server, key="AIzaWrongSecret0123"), question())
        unknown = fault(provider(server, "gemini-9"), question())
    assert wrong.kind == "auth" and "AIza" not in wrong.message
    assert unknown.kind == "not_found" and "gemini-9" in unknown.message


def test_garbage_is_no_answer() -> None:
    google = GoogleProvider("models/gemini-2.5-flash", "http://x/v1beta", KEY)
    assert google.wire(question()).url == "http://x/v1beta/models/gemini-2.5-flash:generateContent"
    assert KEY not in google.wire(question()).url
    for body in (b"<html>", b"{}", b'{"candidates": []}'):
        with pytest.raises(GarbledReply):
            google.parse(200, {}, body)
    assert isinstance(google, HttpProvider)
