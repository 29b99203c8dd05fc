"""http://HOST:PORT/v1#NAME: servers that copied OpenAI's API, each with its own habits."""

from __future__ import annotations

import json

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.faults import GarbledReply
from distil.calls.providers.base import HttpProvider, Window
from distil.calls.providers.catalog import open_teacher
from distil.calls.providers.chat import CompatibleProvider
from distil.records import Sampling
from tests.wire.ask import ask, fault, question
from tests.wire.openai import OpenAIServer
from tests.wire.server import Trouble


def provider(server: OpenAIServer) -> CompatibleProvider:
    return CompatibleProvider("llama", server.url, None)


def test_a_self_hosted_server_gets_max_tokens_and_no_key() -> None:
    with OpenAIServer(models=("llama",), key=None) as server:
        assert ask(provider(server), question("Hi")).text == "An answer to: Hi"
        seen = server.posts()[0]
    assert "authorization" not in seen.headers
    assert seen.body["max_tokens"] == 500 and "max_completion_tokens" not in seen.body


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_both_reasoning_fields_stay_out_of_the_answer(field: str) -> None:
    with OpenAIServer(models=("llama",), key=None) as server:
        server.reasoning_field = field
        parsed = ask(provider(server), question("Hi"))
    assert parsed.reasoning == "Let me think." and parsed.text == "An answer to: Hi"


def test_top_logprobs_of_a_server_that_gives_them_are_kept() -> None:
    with OpenAIServer(models=("llama",), key=None) as server:
        parsed = ask(provider(server), question("Hi", sampling=Sampling(top_logprobs=20)))
    assert parsed.logprobs is not None and len(parsed.logprobs[0]["top_logprobs"]) == 20


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (
            {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "slow down"}}},
            "rate_limit",
            "slow down",
        ),
        ({"error": {"code": "429", "message": "slow down"}}, "rate_limit", "slow down"),
        ({"error": {"code": 402, "message": "Insufficient credits"}}, "quota", "credits"),
        ({"error": {"code": 502, "message": "upstream"}}, "server", "upstream"),
        ({"error": {"code": 400, "message": "bad"}}, "bad_request", "bad"),
        ({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}, "rate_limit", "slow down"),
        ({"error": "model is loading"}, "server", "loading"),
        (
            {"error": {"code": 403, "message": "m", "metadata": {"flagged_input": "x", "reasons": ["hate"]}}},
            "filtered",
            "hate",
        ),
        (
            {"choices": [{"error": {"code": 429, "message": "slow down"}, "finish_reason": "error"}]},
            "rate_limit",
            "slow down",
        ),
        ({"object": "error", "message": "too long", "code": 400}, "bad_request", "too long"),  # older vLLM
        ({"code": 1302, "msg": "too many at once", "success": False}, "rate_limit", "too many"),  # Z.ai
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rpm"}}, "rate_limit", "rpm"),  # MiniMax
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no balance"}}, "quota", "balance"),
        ({"choices": [], "base_resp": {"status_code": 1027, "status_msg": "sensitive"}}, "filtered", "sensitive"),
        ({"success": False, "errors": [{"code": 7009, "message": "upstream"}]}, "server", "upstream"),  # Cloudflare
        ({"message": "Too many connections"}, "server", "Too many connections"),  # an API gateway
    ],
)
def test_an_error_inside_a_200_obeys_its_own_code(body: object, kind: str, words: str) -> None:
    sent, asked = json.dumps(body).encode(), CompatibleProvider("m", "http://h/v1", None)
    with pytest.raises(GarbledReply):
        asked.parse(200, {}, sent)
    found = asked.fault(200, {}, sent)
    assert found.kind == kind and words in found.message


def test_a_reply_with_an_empty_error_is_an_answer() -> None:
    choice = {"index": 0, "message": {"content": "fine"}, "finish_reason": "stop"}
    for extra in (
        {"error": None},
        {"error": {}},
        {"message": "ok"},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
    ):
        sent = json.dumps({"choices": [choice], **extra}).encode()
        assert CompatibleProvider("m", "http://h/v1", None).parse(200, {}, sent).text == "fine"


def test_log_probabilities_of_thinking_are_not_the_answers() -> None:
    tokens = [{"token": token, "logprob": -0.1} for token in ("<think>", "Hm.", "</think>", "\n\n", "Par", "is")]
    choice = {
        "message": {"content": "<think>Hm.</think>\n\nParis"},
        "finish_reason": "stop",
        "logprobs": {"content": tokens},
    }
    parsed = CompatibleProvider("m", "http://h/v1", None).parse(200, {}, json.dumps({"choices": [choice]}).encode())
    assert parsed.text == "Paris" and [token["token"] for token in parsed.logprobs or []] == ["Par", "is"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, {"error": "model 'llama' not found"}, "not_found", "model 'llama' not found"),  # Ollama
        (
            400,
            {"object": "error", "message": "maximum context length is 4096", "code": 400},
            "bad_request",
            "4096",
        ),  # older vLLM
        (422, {"detail": "messages: field required"}, "bad_request", "field required"),  # FastAPI, Mistral
        (
            402,
            {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}},
            "quota",
            "Insufficient",
        ),  # DeepSeek
        (
            498,
            {"error": {"message": "capacity exceeded", "code": "capacity_exceeded"}},
            "shed",
            "capacity",
        ),  # Groq flex
        (503, b"no available server", "overload", "503"),
        (500, {"error": {"message": None, "type": "internal"}}, "server", "500"),
    ],
)
def test_the_error_shapes_of_other_servers_are_read(status: int, body: object, kind: str, words: str) -> None:
    with OpenAIServer(models=("llama",), key=None, troubles=[Trouble(status, body)]) as server:
        found = fault(provider(server), question())
    assert found.kind == kind and words in found.message


def test_a_base_url_without_v1_gets_a_hint() -> None:
    with OpenAIServer(models=("llama",), key=None) as server:
        found = fault(CompatibleProvider("llama", server.origin, None), question())
    assert found.kind == "not_found" and "/v1" in found.message


def test_limits_per_day_are_not_taken_for_limits_per_minute() -> None:
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    groq = CompatibleProvider("llama", "https://api.groq.com/openai/v1", "k").limits(headers)
    assert groq == {"tokens": Window(18000, None, 7.66)}
    cerebras = CompatibleProvider("llama", "https://api.cerebras.ai/v1", "k").limits(
        {
            "X-RateLimit-Limit-Requests-Day": "14400",
            "x-ratelimit-limit-tokens-minute": "60000",
            "x-ratelimit-remaining-tokens-minute": "59000",
        }
    )
    assert cerebras == {"tokens": Window(60000, 59000)}


def test_several_base_urls_give_several_replicas_of_one_teacher() -> None:
    teacher = TeacherConfig(model="http://127.0.0.1:8001/v1#llama", base_urls=["http://127.0.0.1:8002/v1/"])
    opened = open_teacher(teacher, environ={})
    assert [replica.wire(question()).url for replica in opened.replicas] == [
        "http://127.0.0.1:8001/v1/chat/completions",
        "http://127.0.0.1:8002/v1/chat/completions",
    ]
    assert all(isinstance(replica, HttpProvider) for replica in opened.replicas)
