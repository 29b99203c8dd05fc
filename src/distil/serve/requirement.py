"""Whether an answer is what the request's response_format promises to the client's program.

A student isn't made to follow it, so its answer is checked.

Stricter than what curate and evaluate forgive: the program reads the text as it is, so JSON in a code fence is none.
"""

from __future__ import annotations

import json
import re

from distil.json_schema import Requirement, fault_of, requirement_of
from distil.serve.wire import BadRequest, ChatReply, ChatRequest


def meets_requirement(request: ChatRequest, reply: ChatReply) -> bool:
    """True where nothing was asked for, and for a tool call. Raises BadRequest for a schema or an expression that is none."""
    required = requirement_of(request.response_format)
    if reply.tool_calls or required == Requirement():
        return True
    if required.choices is not None:
        return reply.text in required.choices
    try:
        if required.pattern is not None:
            return re.fullmatch(required.pattern, reply.text, re.DOTALL) is not None
        value = json.loads(reply.text)
        if required.schema is None:
            return isinstance(value, dict)
    except re.error as error:
        raise BadRequest(f"The regular expression can't be read: {error}.", param="response_format") from None
    except (ValueError, RecursionError):
        return False
    try:
        return fault_of(required.schema, value) is None
    except ValueError as error:
        raise BadRequest(f"The schema can't be read: {error}.", param="response_format") from None
