"""A server's own name for a parameter is learned from its refusal: at once, for free, and without asking anything twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distil.calls.client import Client
from distil.calls.config import Price, TeacherConfig
from distil.calls.faults import CallFailed
from distil.calls.ledger.store import Ledger
from distil.calls.providers.adjust import Lessons
from tests.calls.asking import all_of, with_client
from tests.wire.ask import question
from tests.wire.openai import OpenAIServer
from tests.wire.server import Seen, Trouble

REFUSAL = {
    "error": {
        "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "type": "invalid_request_error",
        "param": "max_tokens",
        "code": "unsupported_parameter",
    }
}


def refuse_max_tokens(seen: Seen) -> Trouble | None:
    return Trouble(400, REFUSAL) if seen.method == "POST" and "max_tokens" in seen.body else None


def config(server: OpenAIServer) -> TeacherConfig:
    return TeacherConfig(model=f"{server.url}#gpt-5-mini", price=Price(input=1, output=1))


async def ask_many(client: Client, model: str, count: int) -> list[Any]:
    requests = [question(f"Question {number}", model) for number in range(count)]
    return [reply for _, reply in await all_of(client, requests)]


def test_a_server_that_wants_max_completion_tokens_gets_it(tmp_path: Path) -> None:
    with OpenAIServer(models=("gpt-5-mini",), key=None) as server:
        server.trouble_for = refuse_max_tokens
        teacher = config(server)
        found = with_client(tmp_path, [teacher], lambda client: ask_many(client, teacher.model, 30))
        assert all(reply.text.startswith("An answer to") for reply in found)
        assert sum("max_completion_tokens" in seen.body for seen in server.posts()) == 30
        sent = len(server.posts())
        again = with_client(tmp_path, [teacher], lambda client: ask_many(client, teacher.model, 30))
        assert all(reply.cached for reply in again) and len(server.posts()) == sent, (
            "nothing is asked, or learned, again"
        )
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert not list(ledger.attempts()) and ledger.uncertain().requests == 0


def test_a_server_that_refuses_both_is_reported(tmp_path: Path) -> None:
    body = {
        "error": {
            "message": "Unsupported parameter: max_tokens, max_completion_tokens",
            "code": "unsupported_parameter",
        }
    }
    with OpenAIServer(models=("gpt-5-mini",), key=None) as server:
        server.trouble_for = lambda seen: Trouble(400, body)
        teacher = config(server)
        with pytest.raises(CallFailed, match="Unsupported parameter"):
            with_client(tmp_path, [teacher], lambda client: client.complete(question("Hi", teacher.model)))
        assert len(server.posts()) <= 4


@pytest.mark.parametrize(
    ("sent", "reply", "adjusted"),
    [
        ({"max_tokens": 5}, REFUSAL, {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 5},
         {"error": {"message": "Unrecognized request argument supplied: max_completion_tokens", "type": "invalid_request_error"}},
         {"max_tokens": 5}),
        ({"max_completion_tokens": 5},
         {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs"}]},
         {"max_tokens": 5}),
        ({"reasoning": {"effort": "low", "summary": "auto"}},
         {"error": {"message": "Your organization must be verified to generate reasoning summaries.", "code": "unsupported_value",
                    "param": "reasoning.summary"}}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"summary": "auto"}, "x": 1},
         {"error": {"message": "Unsupported parameter: 'reasoning.summary'", "code": "unsupported_parameter"}}, {"x": 1}),
    ],
)  # fmt: skip
def test_refusals_of_real_servers_teach(sent: dict[str, Any], reply: dict[str, Any], adjusted: dict[str, Any]) -> None:
    lessons = Lessons()
    assert lessons.adjusted(sent) is sent
    assert lessons.learn(400, sent, json.dumps(reply).encode())
    assert lessons.adjusted(sent) == adjusted
    assert not lessons.learn(400, adjusted, json.dumps(reply).encode())


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens is too large: 9000. This model supports at most 4096 completion tokens"),
        (400, "Unsupported value: 'temperature' does not support 0.7 with this model."),
        (429, "Unsupported parameter: 'max_tokens'"),
        (400, "Unsupported parameter: 'max_tokens_to_sample'"),
    ],
)
def test_other_refusals_teach_nothing(status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
    assert not Lessons().learn(status, {"max_tokens": 9000, "temperature": 0.7}, body)
