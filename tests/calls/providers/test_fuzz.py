"""Whatever a server sends in place of a part of a real reply: it is read, or it fails cleanly. Nothing else may come of it.

The real replies (data_dir) are the sources of the shapes; without them one reply of each wire format is made here.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distil.calls.faults import Fault, GarbledReply
from distil.calls.http.attempt import _request_id
from distil.calls.http.transport import HttpReply
from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.providers.base import HttpProvider, Parsed
from distil.calls.providers.bedrock import BedrockProvider
from distil.calls.providers.chat import CompatibleProvider
from distil.calls.providers.google import GoogleProvider
from distil.calls.providers.openai import OpenAIProvider
from distil.calls.providers.responses import ResponsesProvider

MUTANTS: list[object] = [
    None,
    7,
    -1,
    10**30,
    1e300,
    "x",
    "\ud83d",
    "",
    True,
    [],
    ["a"],
    [{"a": 1}],
    {},
    {"a": {"b": 1}},
]
PER_SHAPE = 600
"""Mutations tried of one provider's replies, drawn with a fixed seed."""
MADE: list[tuple[type[HttpProvider], dict[str, object]]] = [
    (
        CompatibleProvider,
        {
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {
                        "role": "assistant",
                        "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"text": "4"}],
                        "reasoning_content": "Hm.",
                        "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}],
                        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                        "refusal": "no",
                    },
                    "logprobs": {"content": [{"token": "4", "logprob": -0.1, "top_logprobs": []}]},
                    "error": {"code": 429, "message": "m", "metadata": {"raw": "r", "provider_name": "p"}},
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 1}},
            "service_tier": "default",
        },
    ),
    (
        AnthropicProvider,
        {
            "type": "message",
            "content": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "text", "text": "4"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
            ],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 4, "service_tier": "standard"},
        },
    ),
    (
        GoogleProvider,
        {
            "candidates": [
                {
                    "index": 0,
                    "content": {
                        "parts": [
                            {"text": "4"},
                            {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s"},
                        ]
                    },
                    "finishReason": "STOP",
                    "logprobsResult": {
                        "chosenCandidates": [{"token": "4", "logProbability": -0.1}],
                        "topCandidates": [{"candidates": [{"token": "4", "logProbability": -0.1}]}],
                    },
                }
            ],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 2},
        },
    ),
    (GoogleProvider, {"promptFeedback": {"blockReason": "SAFETY"}}),
    (
        ResponsesProvider,
        {
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                {"type": "message", "content": [{"type": "output_text", "text": "4", "logprobs": [{"token": "4"}]}]},
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            ],
            "incomplete_details": {"reason": "max_output_tokens"},
            "usage": {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 1}},
        },
    ),
    (
        BedrockProvider,
        {
            "output": {
                "message": {
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
                        {"text": "4"},
                        {"toolUse": {"toolUseId": "1", "name": "f", "input": {"a": 1}}},
                    ]
                }
            },
            "stopReason": "end_turn",
            "usage": {"inputTokens": 3, "outputTokens": 4, "cacheDetails": [{"inputTokens": 1, "ttl": "1h"}]},
        },
    ),
    (
        GoogleProvider,
        {"error": {"code": 429, "message": "m", "status": "S", "details": [{"violations": [{"quotaId": "q"}]}]}},
    ),
    (OpenAIProvider, {"error": {"code": "c", "message": "m", "type": "t", "innererror": {"code": "c"}}}),
]
PATHS: list[tuple[str, type[HttpProvider]]] = [
    ("/chat/completions", CompatibleProvider),
    ("/messages", AnthropicProvider),
    (":generateContent", GoogleProvider),
    ("/responses", ResponsesProvider),
    ("/converse", BedrockProvider),
]


def outcome(provider: HttpProvider, body: bytes) -> str:
    """How a 200 with this body ends, after all that can be done with it: what is stored must be text."""
    try:
        parsed = provider.parse(200, {}, body)
    except GarbledReply as error:
        assert isinstance(error.fault, Fault) and str(error).isprintable()
        for status in (200, 400, 429):
            fault = provider.fault(status, {"retry-after": "caf\udce9", "x-request-id": "\udce9"}, body)
            assert isinstance(fault, Fault) and fault.message.encode() and fault.message.isprintable()
        return "fault"
    assert isinstance(parsed, Parsed) and parsed.model_dump_json().encode()
    assert all(0 <= tokens < 1 << 62 for tokens in parsed.usage.model_dump().values())
    assert Parsed.model_validate_json(parsed.model_dump_json()) == parsed
    return "read"


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside a JSON value, and of the whole."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, (*path, name))


def replaced(value: object, path: tuple[str | int, ...], mutant: object) -> object:
    if not path:
        return mutant
    made = copy.deepcopy(value)
    inside: object = made
    for name in path[:-1]:
        inside = inside[name]  # type: ignore[index]
    inside[path[-1]] = mutant  # type: ignore[index]
    return made


@pytest.mark.parametrize("number", range(len(MADE)))
def test_any_part_of_a_reply_may_be_anything(number: int) -> None:
    kind, reply = MADE[number]
    provider = kind("m", "http://h/v1", None)  # type: ignore[call-arg]
    ends = {outcome(provider, json.dumps(replaced(reply, path, m)).encode()) for path in places(reply) for m in MUTANTS}
    assert "fault" in ends


def test_any_part_of_a_real_reply_may_be_anything(data_dir: Callable[[str], Path]) -> None:
    shapes: dict[tuple[str, type[HttpProvider]], list[str]] = {}
    with gzip.open(data_dir("replies") / "replies.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            reply = json.loads(line)
            kind = next((kind for ending, kind in PATHS if reply["path"].endswith(ending)), None)
            if kind is not None and reply["status"] == 200 and len(reply["body"]) < 6000 and reply["body"][:1] == "{":
                shapes.setdefault((reply["host"], kind), []).append(reply["body"])
    draw, ends = random.Random(8), set[str]()
    for (_, kind), bodies in shapes.items():
        provider = kind("m", "http://h/v1", None)  # type: ignore[call-arg]
        for body in draw.sample(bodies, min(3, len(bodies))):
            value = json.loads(body)
            pairs = [(path, mutant) for path in places(value) for mutant in MUTANTS]
            for path, mutant in draw.sample(pairs, min(PER_SHAPE // 10, len(pairs))):
                ends.add(outcome(provider, json.dumps(replaced(value, path, mutant)).encode()))
    assert ends == {"read", "fault"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n  ",
        b"null",
        b"[" * 5000,
        b'{"choices":' + b"[" * 900 + b"]" * 900 + b"}",
        b"<html>",
        b'{"a":' + b"9" * 5000 + b"}",
        b"\xff\xfe{",
        b'{"choices":[{"finish_reason":"stop","message":{"content":"caf\xe9"}}]}',
    ],
)
def test_bodies_that_are_hardly_json_are_read_or_fail(body: bytes) -> None:
    for kind in (CompatibleProvider, AnthropicProvider, GoogleProvider):
        outcome(kind("m", "http://h/v1", None), body)


def test_a_latin_1_header_is_kept_as_text() -> None:
    headers = {"x-request-id": "caf\udce9"}  # aiohttp's form of the byte E9
    assert _request_id(HttpReply(200, headers, b"")) == "café"


def test_nonsense_in_the_headers_announces_nothing() -> None:
    nonsense = ["inf", "nan", "-1", "1e400", "caf\udce9", "9" * 400, "6m0x", "Mon, 99 Jan 99999 00:00:00 GMT", ""]
    names = ("limit-requests", "remaining-requests", "reset-requests", "limit-tokens", "reset-tokens")
    for kind in (CompatibleProvider, OpenAIProvider, AnthropicProvider, GoogleProvider):
        provider = kind("m", "http://h/v1", None)
        for value in nonsense:
            headers = {f"x-ratelimit-{name}": value for name in names} | {"retry-after": value, "retry-after-ms": value}
            headers |= {f"anthropic-ratelimit-requests-{name}": value for name in ("limit", "remaining", "reset")}
            assert all(window.limit is None or window.limit < 1e30 for window in provider.limits(headers).values())
            wait = provider.fault(429, headers, b"{}").retry_after_s
            assert wait is None or 0 <= wait < float("inf")
