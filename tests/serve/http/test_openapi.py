"""What openapi.json says of a body is what happens to it: refused where the document refuses it, and taken where it does not.

`schemathesis run URL/openapi.json` (docs/results_serving.md) checks the same with far more bodies, and the replies as well.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from distil.serve.apis.checked import Defaults
from distil.serve.apis.completions import parse_completion
from distil.serve.apis.messages import parse_messages
from distil.serve.http.openapi import document
from distil.serve.parse import parse_request
from distil.serve.wire import BadRequest, Caller
from tests.serve.http.fuzzing import BODIES, bodies

DEFAULTS = Defaults("student", 0.0, 100)
SAYS = {"role": "user", "content": "hi"}
BETWEEN_FIELDS = (
    "The last turn is the assistant's", "which is none of the tools", "The schema can't be read", "more than 128 answers",
    "nested more than", "not valid JSON",
)  # fmt: skip
"""Rules that JSON schema has no words for."""


def refusal(path: str, raw: bytes) -> str | None:
    """Why the gateway refuses a body; None: it does not."""
    try:
        if path == "/v1/chat/completions":
            parse_request(raw, defaults=Defaults("student", 0.0, 100))
        elif path == "/v1/completions":
            parse_completion(raw, defaults=DEFAULTS, caller=Caller())
        else:
            parse_messages(raw, defaults=DEFAULTS, caller=Caller(), count_only=path.endswith("count_tokens"))
    except BadRequest as error:
        return str(error)
    return None


def described(path: str) -> jsonschema.Draft202012Validator:
    whole = document("student")
    body = whole["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema.Draft202012Validator(body | {"components": whole["components"]})


def test_the_document_and_the_gateway_refuse_the_same_bodies() -> None:
    validators = {path: described(path) for path in BODIES}
    taken = refused = 0
    for path, raw in bodies(500, seed=3):
        try:
            body = json.loads(raw)
        except ValueError:
            continue
        valid, why = validators[path].is_valid(body), refusal(path, raw)
        if why is not None and any(rule in why for rule in BETWEEN_FIELDS):
            continue
        assert valid == (why is None), (path, raw[:3000], why)
        taken, refused = taken + valid, refused + (not valid)
    assert taken > 50 and refused > 200


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/v1/chat/completions", {"n": 0}),
        ("/v1/chat/completions", {"seed": 2**63}),
        ("/v1/chat/completions", {"response_format": {"type": "json_schema"}}),
        ("/v1/chat/completions", {"top_logprobs": 2}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]}),
        ("/v1/completions", {"echo": 0}),
        ("/v1/completions", {"best_of": True}),
        ("/v1/messages", {"max_tokens": 0}),
        ("/v1/messages", {"tool_choice": {"type": "tool"}}),
        ("/v1/messages", {"messages": [SAYS, {"role": "user", "content": [{"type": "video"}]}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}], "system": "s"}),
        ("/v1/messages", {"messages": [{"role": "assistant", "content": [{"type": "image", "source": {}}]}, SAYS]}),
        ("/v1/messages/count_tokens", {"max_tokens": 5}),
    ],
)
def test_what_the_document_forbids_is_refused(path: str, change: dict[str, Any]) -> None:
    body = {"model": "student", "messages": [SAYS], "prompt": "hi", "max_tokens": 5}
    kept = {"/v1/completions": ("model", "prompt"), "/v1/messages": ("model", "messages", "max_tokens")}
    plain = {name: body[name] for name in kept.get(path, ("model", "messages"))}
    assert described(path).is_valid(plain) and refusal(path, json.dumps(plain).encode()) is None
    assert not described(path).is_valid(plain | change)
    assert refusal(path, json.dumps(plain | change).encode()) is not None


@pytest.mark.parametrize(("path", "change"), [
    ("/v1/completions", {"best_of": 1.0, "max_tokens": 16.0}),
    ("/v1/messages/count_tokens", {"messages": [{"role": "assistant", "content": "hi"}]}),
    ("/v1/chat/completions", {"response_format": {"type": "json_schema", "schema": {}}, "messages": [SAYS]}),
])  # fmt: skip
def test_what_the_document_allows_is_taken(path: str, change: dict[str, Any]) -> None:
    body = {"model": "student"} | ({"prompt": "hi"} if path == "/v1/completions" else {"messages": [SAYS]}) | change
    assert described(path).is_valid(body) and refusal(path, json.dumps(body).encode()) is None
