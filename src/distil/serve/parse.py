"""A body of /v1/chat/completions becomes a ChatRequest, or a BadRequest that names the parameter: nothing else comes out.

Fields of earlier turns that replies add (refusal, annotations, audio, ...) are left out. What the student can't do, or was never
measured with, is marked in `beyond`, so that it goes to the teacher or is refused by name.
"""

from __future__ import annotations

from pydantic import ValidationError

from distil.json_schema import check_schema, requirement_of
from distil.records import Message, Sampling, ToolChoice
from distil.serve.apis.checked import ASKS_NOTHING, Defaults, checked, invalid, read_object
from distil.serve.apis.openai_bodies import OLD_FORMS, ONLY_THE_TEACHER, ChatBody
from distil.serve.wire import BadRequest, Beyond, Caller, ChatRequest, JsonObject

_READ = frozenset(ChatBody.model_fields) - set(ONLY_THE_TEACHER)


def parse_request(raw: bytes, *, defaults: Defaults, caller: Caller = Caller()) -> ChatRequest:
    """Reads and checks a request. Raises BadRequest that names the parameter."""
    body = read_object(raw)
    return chat_request(body, checked(body, ChatBody, defaults.served), defaults, caller)


def chat_request(body: JsonObject, read: ChatBody, defaults: Defaults, caller: Caller) -> ChatRequest:
    """A checked body as a request. Raises BadRequest."""
    messages = turns(body["messages"])
    further = _further(body)
    beyond, named = _beyond(messages, further, bool(body.get("stop")))
    return ChatRequest(
        model=read.model,
        messages=messages,
        sampling=_sampling(read, defaults),
        tools=body.get("tools") or None,
        tool_choice=_tool_choice(body, read),
        response_format=_response_format(body),
        parallel_calls=read.parallel_tool_calls is not False,
        stream=bool(read.stream),
        include_usage=bool(read.stream_options and read.stream_options.include_usage),
        logprobs=bool(read.logprobs),
        samples=read.n or 1,
        beyond=beyond,
        beyond_name=named,
        further=further,
        body=body,
        caller=caller,
    )


def _further(body: JsonObject) -> JsonObject:
    """The parameters that only a server knows which speaks OpenAI's API. Raises BadRequest for forms that are replaced."""
    found = {}
    for name, value in body.items():
        if name in _READ or value in ASKS_NOTHING:  # 0 == False
            continue
        if name in OLD_FORMS:
            raise BadRequest(f"{name} is not supported; its form today is {OLD_FORMS[name]}.", param=name)
        found[name] = value
    return found


def _beyond(messages: list[Message], further: JsonObject, stops: bool) -> tuple[Beyond | None, str]:
    """(why only the teacher may answer, what is meant)."""
    for message in messages:
        parts = message.content if isinstance(message.content, list) else []
        other = next((part.get("type") for part in parts if part.get("type") not in ("text", "refusal")), None)
        if other is not None:
            return "not_text", str(other)[:40]
    if further:
        return "unknown_parameter", next(iter(further))[:60]
    return ("stop_sequences", "stop") if stops else (None, "")


def turns(given: list[object]) -> list[Message]:
    """The messages of a conversation. Raises BadRequest that names the turn."""
    messages = []
    for index, turn in enumerate(given):
        try:
            messages.append(Message.read(turn))
        except ValidationError as error:
            raise invalid(error, turn, f"messages.{index}") from None
    if not any(m.text.strip() or isinstance(m.content, list) or m.tool_calls for m in messages):
        raise BadRequest("No message has any text.", param="messages")
    return messages


def _sampling(read: ChatBody, defaults: Defaults) -> Sampling:
    if read.top_logprobs is not None and not read.logprobs:
        raise BadRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
    most = read.max_tokens if read.max_completion_tokens is None else read.max_completion_tokens
    return Sampling(  # three times faster than model_construct, which is not compiled
        temperature=defaults.temperature if read.temperature is None else float(read.temperature),
        top_p=1.0 if read.top_p is None else float(read.top_p),
        max_tokens=defaults.max_tokens if most is None else most,
        stop=[read.stop] if isinstance(read.stop, str) else read.stop or None,
        seed=read.seed,
        reasoning_effort=read.reasoning_effort,
        top_logprobs=read.top_logprobs,
    )


def _tool_choice(body: JsonObject, read: ChatBody) -> ToolChoice | None:
    choice = body.get("tool_choice")
    if choice in (None, "auto") or not read.tools:
        return None
    if choice == "none" or choice == "required":  # so that the type is one of two words
        return choice
    assert isinstance(choice, dict)  # the body's model has checked it
    name = choice["function"]["name"]
    if all(tool.function.name != name for tool in read.tools):
        raise BadRequest(f"tool_choice names {name[:60]!r}, which is none of the tools.", param="tool_choice")
    return choice


def _response_format(body: JsonObject) -> JsonObject | None:
    """Raises BadRequest for a schema that is none, before anybody has answered."""
    asked: JsonObject | None = body.get("response_format") or None
    required = requirement_of(asked)
    if asked is not None and asked["type"] == "json_schema" and required.schema is None:
        raise BadRequest("response_format.json_schema has no schema.", param="response_format")
    if required.schema is not None:
        try:
            check_schema(required.schema)
        except ValueError as error:
            raise BadRequest(f"The schema can't be read: {error}.", param="response_format") from None
    return asked
