"""The OpenAPI document of a gateway, written from the models that its requests are checked against."""

from __future__ import annotations

import functools
from typing import TypeAlias

from pydantic.json_schema import models_json_schema

import distil
from distil.serve.apis.anthropic_bodies import CountBody, MessagesBody
from distil.serve.apis.checked import Body
from distil.serve.apis.openai_bodies import ChatBody, CompletionBody
from distil.serve.wire import JsonObject

REFS = "#/components/schemas/{model}"
_COUNT = {"type": "object", "required": ["input_tokens"], "properties": {"input_tokens": {"type": "integer"}}}
Post: TypeAlias = tuple[str, type[Body], str, str]
POSTS: dict[str, Post] = {
    "/v1/chat/completions": ("OpenAI's chat completions", ChatBody, "ChatCompletion", "OpenAIError"),
    "/v1/completions": ("OpenAI's older completions", CompletionBody, "Completion", "OpenAIError"),
    "/v1/messages": ("Anthropic's messages", MessagesBody, "Message", "AnthropicError"),
    "/v1/messages/count_tokens": ("Tokens of a prompt, in process", CountBody, "TokenCount", "AnthropicError"),
}
"""Path -> what it is, the body, the reply, an error."""
GETS = {
    "/v1/models": "The models",
    "/v1/models/{id}": "One model",
    "/healthz": "Whether it runs",
    "/readyz": "Whether it can answer",
    "/metrics": "Prometheus' text format",
    "/openapi.json": "This document",
}


@functools.cache
def document(model: str) -> JsonObject:
    """The document of a gateway that serves `model`."""
    _, definitions = models_json_schema([(post[1], "validation") for post in POSTS.values()], ref_template=REFS)
    schemas: JsonObject = definitions["$defs"]
    for strict in (CompletionBody, MessagesBody, CountBody):
        schemas[strict.__name__]["additionalProperties"] = False  # what is not known is refused by name
    for post in POSTS.values():
        schemas[post[1].__name__]["properties"]["model"] = {"type": "string", "enum": [model]}
    paths: JsonObject = {path: {"post": _post(*post)} for path, post in POSTS.items()}
    paths |= {path: {"get": _get(path, summary)} for path, summary in GETS.items()}
    keys = {"bearer": {"type": "http", "scheme": "bearer"}, "x-api-key": _key_header()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Distil gateway", "version": distil.__version__, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": schemas | _REPLIES, "securitySchemes": keys},
        "security": [{}, {"bearer": []}, {"x-api-key": []}],
    }


def _post(summary: str, body: type[Body], reply: str, error: str) -> JsonObject:
    answered: JsonObject = {"application/json": {"schema": _ref(reply)}}
    if "stream" in body.model_fields:
        answered["text/event-stream"] = {}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body.__name__)}}},
        "responses": {
            "200": {"description": "The answer", "headers": _HEADERS, "content": answered},
            **{status: _refused(why, error) for status, why in _STATUSES.items()},
        },
    }


def _get(path: str, summary: str) -> JsonObject:
    kind = "text/plain" if path == "/metrics" else "application/json"
    schema = {"type": "string"} if path == "/metrics" else {"type": "object"}
    responses = {"200": {"description": summary, "content": {kind: {"schema": schema}}}}
    operation: JsonObject = {"summary": summary, "responses": responses}
    if path.startswith("/v1/"):
        responses |= {status: _refused(_STATUSES[status], "OpenAIError") for status in ("401", "404", "429")}
    if path == "/readyz":
        responses["503"] = {"description": "Not now", "content": {kind: {"schema": schema}}}
    if "{id}" in path:
        operation["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    return operation


def _refused(why: str, error: str) -> JsonObject:
    return {"description": why, "content": {"application/json": {"schema": _ref(error)}}}


def _ref(name: str) -> JsonObject:
    return {"$ref": REFS.format(model=name)}


def _key_header() -> JsonObject:
    return {"type": "apiKey", "in": "header", "name": "x-api-key"}


def _object(required: list[str], **properties: JsonObject) -> JsonObject:
    return {"type": "object", "required": required, "properties": properties}


_TEXT: JsonObject = {"type": "string"}
_MAYBE: JsonObject = {"type": ["string", "null"]}
_CHOICES: JsonObject = {"type": "array", "minItems": 1, "items": {"type": "object"}}
_REPLIES: JsonObject = {
    "ChatCompletion": _object(
        ["id", "object", "created", "model", "choices", "usage"],
        id=_TEXT,
        object={"const": "chat.completion"},
        choices=_CHOICES,
    ),
    "Completion": _object(
        ["id", "object", "created", "model", "choices", "usage"],
        id=_TEXT,
        object={"const": "text_completion"},
        choices=_CHOICES,
    ),
    "Message": _object(
        ["id", "type", "role", "model", "content", "stop_reason", "usage"],
        id=_TEXT,
        type={"const": "message"},
        content={"type": "array", "items": {"type": "object"}},
    ),
    "TokenCount": _COUNT,
    "OpenAIError": _object(
        ["error", "request_id"],
        error=_object(["message", "type", "param", "code"], message=_TEXT, type=_TEXT, param=_MAYBE, code=_MAYBE),
        request_id=_TEXT,
    ),
    "AnthropicError": _object(
        ["type", "error", "request_id"],
        type={"const": "error"},
        error=_object(["type", "message"], type=_TEXT, message=_TEXT),
        request_id=_TEXT,
    ),
}
_HEADERS: JsonObject = {
    "x-request-id": {"schema": _TEXT, "description": "The client's own id, or a new one"},
    "x-distil-answered-by": {
        "schema": _TEXT,
        "description": "student or teacher; one for each answer where they differ",
    },
    "x-distil-reason": {"schema": _TEXT, "description": "Why, from a closed list"},
    "x-distil-confidence": {"schema": _TEXT, "description": "The student's confidence, between 0 and 1"},
}
_STATUSES = {
    "400": "The request can't be answered as it is",
    "401": "No API key, or a wrong one",
    "403": "A request of a web page from elsewhere",
    "404": "No such model",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "Another content type than JSON",
    "422": "The student's answer does not follow response_format, and there is no teacher",
    "429": "Too many requests of this key, or its dollars are spent",
    "500": "The gateway failed",
    "502": "The student's server or the teacher failed",
    "503": "Nobody can answer now",
    "504": "No answer in time",
}
_ABOUT = "The student answers, and the teacher where the student is unsure."
