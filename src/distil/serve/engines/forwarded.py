"""What a student's server is sent: the parameters that this gateway reads, by name, and nothing else that a client wrote.

The same function makes the requests of the calibration and those of the gateway. `stream` is the engine's own matter.
"""

from __future__ import annotations

from distil.records import Message
from distil.serve.wire import ChatRequest, JsonObject

ASKS_NOTHING: tuple[object, ...] = (None, 0, {}, [])  # 0 == False


def forwarded(request: ChatRequest, model: str) -> JsonObject:
    """The body for a server that knows the student as `model`."""
    sampling = request.sampling
    body: JsonObject = {
        "model": model,
        "messages": [_turn(message) for message in request.messages],
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.temperature > 0:  # otherwise they change nothing, and some servers run seeded requests alone
        named = {"top_p": None if request.body.get("top_p") is None else sampling.top_p, "seed": sampling.seed}
        body |= {name: value for name, value in named.items() if value is not None}
    asked = {
        "stop": sampling.stop,
        "tools": request.tools,
        "tool_choice": request.tool_choice,
        "response_format": request.response_format,
        "reasoning_effort": sampling.reasoning_effort,
        "logprobs": request.logprobs,
        "top_logprobs": sampling.top_logprobs,
    }
    body |= {name: value for name, value in asked.items() if value not in ASKS_NOTHING}
    if request.tools and not request.parallel_calls:
        body["parallel_tool_calls"] = False
    return body


def _turn(message: Message) -> JsonObject:
    """A turn of texts alone as one text: vLLM joins parts by line breaks, the student's training by nothing."""
    wire = message.to_wire()
    if isinstance(message.content, list) and all(part.get("type") in ("text", "refusal") for part in message.content):
        wire["content"] = message.text
    return wire
