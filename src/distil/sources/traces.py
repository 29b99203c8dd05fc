"""Where logging tools keep the two halves of a call: its request and its reply.

Langfuse, LangSmith, Braintrust, Helicone, LiteLLM, OpenTelemetry's GenAI conventions (also as Traceloop writes them),
OpenInference (Phoenix), stored completions of OpenAI, and anybody's `{"request": ..., "response": ...}`. What the halves hold is
the business of requests.py and replies.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from distil.calls.request import JsonObject
from distil.sources.replies import wire_of
from distil.sources.turns import LISTS
from distil.sources.values import mapping, nest, objects, parsed

REQUESTS = (
    *(
        "request",
        "request_body",
        "requestBody",
        "backendRequestBody",
        "full_request",
        "body",
        "input",
        "inputs",
        "kwargs",
    ),
    *("raw_request", "modelInput", "params"),
)
REPLIES = (
    *(
        "response",
        "response_body",
        "responseBody",
        "backendResponseBody",
        "full_response",
        "output",
        "outputs",
        "completion",
    ),
    *("raw_response", "modelOutput", "result", "error"),
)
AROUND = ("properties", "jsonPayload", "protoPayload")
"""What the logs of Azure and Google Cloud put around a call."""
STORED = ("output", "outputs", "completion", "result")
"""Where tracing tools keep what they made of a reply."""
MODEL_KINDS = ("llm", "chat_model", "chat", "generation", "text_completion", "generate_content", "completion")
"""How tools call a call of a model, beside the other steps of a trace."""
_KINDS = (
    "type",
    "run_type",
    "span_attributes",
    "call_type",
    "object",
    "method",
    "url",
    "custom_id",
    "providedModelName",
)
_STATUS = ("status", "status_code", "response_status")
_BESIDE = (*_STATUS, "model", "usage", "usage_metadata", "usageDetails", "metrics", "finish_reason", "stop_reason")


class Halves(NamedTuple):
    """A row of a log."""

    request: object
    reply: object
    used: frozenset[str]
    """The row's keys that are read."""
    skip: str | None = None
    """Why the row is not a call of a model; None where it is one."""
    stored: bool = False
    """The reply is what a tracing tool made of it, not the body of a provider."""
    example: bool = False
    """It is a row of a data set that a tool keeps (LangSmith's examples): its answer is a reference."""


def find_halves(fields: JsonObject) -> Halves | None:
    """None where the row is not from a log."""
    attributes = _attributes(fields)
    if attributes is not None:
        return _of_attributes(fields, attributes)
    around = next((inner for key in AROUND if isinstance(inner := parsed(fields.get(key)), dict)), None)
    if around is not None and not any(key in fields for key in (*REQUESTS, *REPLIES, *LISTS)):
        found = find_halves(around)
        return found and found._replace(used=frozenset({*AROUND}))
    kind = _kind(fields)
    if kind is not None and kind.lower() not in MODEL_KINDS:
        return Halves(None, None, frozenset(fields), f"steps of kind {kind!r}")
    if wire_of(fields) is not None and (own := _asked_beside(fields)) is not None:
        return Halves(own[1], fields, frozenset({*fields}))
    reply_key = next((key for key in REPLIES if fields.get(key)), None)
    request_key = next((key for key in REQUESTS if fields.get(key) and key != reply_key), None)
    plain = (
        request_key in ("input", "inputs")
        and kind is None
        and not _is_call(fields[request_key], fields.get(reply_key or ""))
    )
    if request_key is None or plain:
        if reply_key is not None and isinstance(parsed(fields[reply_key]), (dict, list)):
            return _beside_turns(fields, reply_key)
        if fields.get("signed_body_url") and request_key is None:
            return Halves(
                None, None, frozenset(fields), "requests whose bodies are not in the file (export with --include-body)"
            )
        return None
    request = parsed(fields[request_key])
    metadata = {**mapping(mapping(fields.get("extra")).get("invocation_params")), **mapping(fields.get("metadata"))}
    named = {
        name: fields[key] for name, key in (("model", "providedModelName"), ("model", "model_name")) if fields.get(key)
    }
    request = _completed(request, {**metadata, **named, **fields})
    beside = {key: fields[key] for key in _BESIDE if fields.get(key)} | (
        {"model": metadata["model"]} if isinstance(metadata.get("model"), str) and not fields.get("model") else {}
    )
    reply = {**beside, "body": fields[reply_key]} if reply_key is not None and reply_key != "error" else None
    if reply_key == "error":
        reply = {"error": fields["error"]}
    used = frozenset(
        {request_key, *([reply_key] if reply_key else []), *_BESIDE, *_KINDS, "metadata", "extra", "tools"}
    )
    return Halves(request, reply, used, stored=reply_key in STORED, example=kind is None and reply_key == "outputs")


def _kind(fields: JsonObject) -> str | None:
    """What kind of step a tool's record is; None where it says nothing."""
    span = mapping(fields.get("span_attributes"))
    if isinstance(fields.get("run_type"), str):
        return str(fields["run_type"])
    if isinstance(span.get("type"), str):
        return str(span["type"])
    kind = fields.get("type")
    if isinstance(kind, str) and ("input" in fields or "output" in fields) and kind.isupper():
        return kind
    return None


def _is_call(request: object, reply: object) -> bool:
    """Whether two columns are a logged call, not a plain question with its answer."""
    return isinstance(parsed(request), (dict, list)) or (
        isinstance(parsed(reply), (dict, list)) and _is_reply(parsed(reply))
    )


def _is_reply(value: object) -> bool:
    return isinstance(value, dict) and (
        wire_of(value) is not None or value.get("role") == "assistant" or "body" in value
    )


def _asked_beside(fields: JsonObject) -> tuple[str, object] | None:
    """The request beside a reply's own fields: a stored completion."""
    for key in (*LISTS, "contents", "input", "request", "prompt"):
        if fields.get(key) and not (key == "contents" and not isinstance(fields[key], list)):
            return key, fields if key != "request" else fields[key]
    return None


def _beside_turns(fields: JsonObject, reply_key: str) -> Halves | None:
    """`{"messages": [...], "response": {...}}`, as LiteLLM writes it."""
    key = next((key for key in (*LISTS, "contents", "prompt") if fields.get(key)), None)
    if key is None or reply_key == "error" or not _is_reply(parsed(fields[reply_key])):
        return None
    parameters = mapping(fields.get("model_parameters")) or mapping(fields.get("optional_params"))
    used = frozenset({key, reply_key, *_BESIDE, *_KINDS, "model_parameters", "optional_params", "tools", "system"})
    request = {**parameters, **{name: fields[name] for name in (key, "tools", "system", "model") if fields.get(name)}}
    return Halves(
        request, {**{k: fields[k] for k in ("model", "usage") if fields.get(k)}, "body": fields[reply_key]}, used
    )


def _completed(request: object, beside: Mapping[str, object]) -> object:
    """A request's turns with the tools and the model that the tool wrote elsewhere."""
    if isinstance(request, str):
        request = {"prompt": request}
    if isinstance(request, list):
        request = {"messages": request}
    if not isinstance(request, dict):
        return request
    names = ("tools", "tool_choice", "response_format", "model", "instructions", "system")
    return {**{name: beside[name] for name in names if beside.get(name) and name not in request}, **request}


def _attributes(fields: JsonObject) -> JsonObject | None:
    """The attributes of an OpenTelemetry span with a call of a model, dotted names as nested objects; None for any other row."""
    found = parsed(fields.get("attributes", fields.get("span_attributes", fields.get("SpanAttributes"))))
    if isinstance(found, list):  # OTLP's JSON
        found = {str(item.get("key")): _any_value(item.get("value")) for item in objects(found)}
    if not isinstance(found, dict):
        found = {key.removeprefix("attributes."): value for key, value in fields.items() if "." in key}
    events = [
        mapping(event.get("attributes")) if isinstance(event.get("attributes"), dict) else _listed(event)
        for event in objects(fields.get("events"))
    ]
    for event in events:
        if any(key.startswith("gen_ai.") for key in event):
            found = {**event, **found}
    if not any(key.partition(".")[0] in ("gen_ai", "llm", "openinference") or key == "ai.operationId" for key in found):
        return None
    return nest(found)


def _listed(event: JsonObject) -> JsonObject:
    return {str(item.get("key")): _any_value(item.get("value")) for item in objects(event.get("attributes"))}


def _any_value(value: object) -> object:
    """A value of OTLP: {"stringValue": ...}, {"arrayValue": {"values": [...]}}, {"kvlistValue": {"values": [...]}}."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "arrayValue":
        return [_any_value(item) for item in mapping(inner).get("values") or []]
    if kind == "kvlistValue":
        return {str(item.get("key")): _any_value(item.get("value")) for item in objects(mapping(inner).get("values"))}
    return inner


def _of_attributes(fields: JsonObject, tree: JsonObject) -> Halves:
    used = frozenset(fields)
    gen, llm = mapping(tree.get("gen_ai")), mapping(tree.get("llm"))
    kind = mapping(mapping(tree.get("openinference")).get("span")).get("kind") or mapping(gen.get("operation")).get(
        "name"
    )
    kind = (
        kind or mapping(tree.get("traceloop")).get("span", {}).get("kind")
        if isinstance(tree.get("traceloop"), dict)
        else kind
    )
    if isinstance(kind, str) and kind.lower() not in MODEL_KINDS:
        return Halves(None, None, used, f"steps of kind {kind!r}")
    turns = _first(mapping(gen.get("input")).get("messages"), gen.get("prompt"), llm.get("input_messages"))
    answer = _first(mapping(gen.get("output")).get("messages"), gen.get("completion"), llm.get("output_messages"))
    vercel = mapping(tree.get("ai"))
    if isinstance(vercel.get("operationId"), str) and not vercel["operationId"].endswith(("doGenerate", "doStream")):
        return Halves(
            None, None, used, f"steps of kind {vercel['operationId']!r}"
        )  # the call itself is a span inside it
    turns = _first(turns, mapping(vercel.get("prompt")).get("messages"))
    answer = _first(answer, _said_by(mapping(vercel.get("response"))))
    turns = _first(turns, mapping(tree.get("input")).get("value"), llm.get("prompts"))
    answer = _first(answer, mapping(tree.get("output")).get("value"))
    if turns is None:
        return Halves(None, None, used, "spans without the text of the call (switch on the capture of message content)")
    request = turns if isinstance(turns, dict) and not isinstance(turns.get("role"), str) else {"messages": turns}
    model = _first(mapping(gen.get("request")).get("model"), llm.get("model_name"))
    tools = _first(
        mapping(gen.get("tool")).get("definitions"), _tools(llm), mapping(llm.get("request")).get("functions")
    )
    beside = {"model": model, "tools": tools, "system": gen.get("system_instructions")}
    told = mapping(gen.get("response"))
    reasons = told.get("finish_reasons", told.get("finish_reason"))
    usage, counts = mapping(gen.get("usage")), mapping(llm.get("token_count"))
    reply = {
        "body": answer,
        "model": _first(told.get("model"), model),
        "id": told.get("id"),
        "usage": usage or {"input_tokens": counts.get("prompt"), "output_tokens": counts.get("completion")},
        "finish_reason": reasons[0] if isinstance(reasons, list) and reasons else reasons,
    }
    return Halves(
        _completed(request, {k: v for k, v in beside.items() if v}), reply if answer is not None else None, used
    )


def _said_by(response: JsonObject) -> object:
    """Vercel's SDK: ai.response.text, ai.response.toolCalls."""
    calls = parsed(response.get("toolCalls"))
    parts = [{"type": "tool-call", **call} for call in objects(calls)]
    text = [{"type": "text", "text": response["text"]}] if response.get("text") else []
    return {"role": "assistant", "content": [*text, *parts]} if text or parts else None


def _tools(llm: JsonObject) -> object:
    """OpenInference: llm.tools.0.tool.json_schema."""
    return [
        mapping(tool.get("tool")).get("json_schema", tool.get("json_schema")) for tool in objects(llm.get("tools"))
    ] or None


def _first(*values: object) -> object:
    """The first that says something, JSON in a text parsed."""
    for value in values:
        found = parsed(value)
        if found not in (None, "", [], {}):
            return found
    return None
