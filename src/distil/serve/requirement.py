"""Whether an answer is what the request's response_format, tools and tool_choice promise to the client's program.

Not every student is made to follow them, so each answer is checked.

Stricter than what curate and evaluate forgive: the program reads the text as it is, so JSON in a code fence is none.
"""

from __future__ import annotations

import re

from distil.json_schema import Requirement, fault_of, requirement_of
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, JsonObject
from distil.text import json_answer


def meets_requirement(request: ChatRequest, reply: ChatReply) -> bool:
    """True where nothing was asked for. Raises BadRequest for a schema or an expression that is none."""
    if not _calls_fit(request, reply):
        return False
    required = requirement_of(request.response_format)
    if reply.tool_calls or required == Requirement():
        return True
    if required.choices is not None:
        return reply.text in required.choices
    try:
        if required.pattern is not None:
            return re.fullmatch(required.pattern, reply.text, re.DOTALL) is not None
    except re.error as error:
        raise BadRequest(f"The regular expression can't be read: {error}.", param="response_format") from None
    is_json, value = json_answer(reply.text, exact=True)
    if not is_json or required.schema is None:
        return isinstance(value, dict)
    try:
        return fault_of(required.schema, value) is None
    except ValueError as error:
        raise BadRequest(f"The schema can't be read: {error}.", param="response_format") from None


def demands_calls(request: ChatRequest) -> bool:
    """Whether an answer without a call, or with the call of another tool, would be wrong."""
    return bool(request.tools) and request.tool_choice not in (None, "none")


def _calls_fit(request: ChatRequest, reply: ChatReply) -> bool:
    """Whether the calls are of the request's tools, as many as it allows, with arguments that follow the tools' schemas."""
    calls = [call.get("function") or {} for call in reply.tool_calls or ()]
    if not calls:
        return not demands_calls(request)
    if request.tool_choice == "none" or (len(calls) > 1 and not request.parallel_calls):
        return False
    tools = {tool["function"]["name"]: tool["function"] for tool in request.tools or ()}
    if isinstance(request.tool_choice, dict):
        named = request.tool_choice.get("function")
        name = named.get("name") if isinstance(named, dict) else None
        tools = {name: tools[name]} if name in tools else {}
    return all(_fits(call, tools.get(call.get("name"))) for call in calls)


def _fits(call: JsonObject, tool: JsonObject | None) -> bool:
    """Whether the arguments of a call follow the schema of its tool."""
    if tool is None:
        return False
    arguments = call.get("arguments") or "{}"
    value = json_answer(arguments, exact=True)[1] if isinstance(arguments, str) else None
    try:
        return isinstance(value, dict) and fault_of(tool.get("parameters") or {}, value) is None
    except ValueError as error:
        raise BadRequest(
            f"The parameters of {tool['name'][:60]!r} can't be read as a schema: {error}.", param="tools"
        ) from None
