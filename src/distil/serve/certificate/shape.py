"""Which requests a threshold holds for: those like the labels that it was found on. A pure function of request and shape.

What changes no answer may differ: metadata, streaming, wanting log-probabilities, and at temperature 0 top_p and seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from distil.ids import content_id
from distil.records import Message
from distil.runs.schemas.shape import Shape
from distil.serve.certificate.reasons import Reason
from distil.serve.wire import ChatReply, ChatRequest
from distil.text import is_instruction, spoken_turns

SHORTER, LONGER, MORE = 4, 2, 200
"""A prompt may be so many times shorter than the shortest label, and so many times longer, or have so many characters more,
than the longest."""
UNSEEN = 0.05
"""From this share on, requests with a system prompt (tools, a format) that no label had belong to the traffic."""


def shape_of(requests: Sequence[ChatRequest], replies: Sequence[ChatReply]) -> Shape:
    """The shape of the labeled requests (at least one), all made with the same sampling, and their replies."""
    sampling, turns = requests[0].sampling, [_turns(request) for request in requests]
    characters = [_characters(kept) for kept in turns]
    return Shape(
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens,
        answer_tokens=min(sampling.max_tokens, max(tokens_of(reply) for reply in replies)),
        system=_seen([_system(request) for request in requests]),
        system_characters=max(_system_characters(request) for request in requests),
        tools=_seen([_tools(request) for request in requests]),
        response_format=_seen([_format(request) for request in requests]),
        turns=max(len(kept) for kept in turns),
        last=sorted({request.messages[-1].role for request in requests}),
        characters=(min(characters), max(characters)),
    )


def outside(request: ChatRequest, shape: Shape) -> Reason | None:
    """Why a request is not like the labels; None: it is."""
    sampling, turns = request.sampling, _turns(request)
    fewest, most = shape.characters
    checks = {
        Reason.OTHER_TEMPERATURE: sampling.temperature != shape.temperature,
        Reason.SEVERAL_ANSWERS: request.samples > 1,
        Reason.UNKNOWN_PARAMETER: sampling.reasoning_effort is not None,
        Reason.FEWER_TOKENS: sampling.max_tokens < shape.answer_tokens,
        Reason.OTHER_SYSTEM_PROMPT: not _is_seen(_system(request), shape.system)
        or _system_characters(request) > _longer(shape.system_characters),
        Reason.OTHER_TOOLS: not _is_seen(_tools(request), shape.tools),
        Reason.OTHER_RESPONSE_FORMAT: not _is_seen(_format(request), shape.response_format),
        Reason.OTHER_TURNS: len(turns) > shape.turns or request.messages[-1].role not in shape.last,
        Reason.OTHER_LENGTH: not fewest / SHORTER <= _characters(turns) <= _longer(most),
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def tokens_of(reply: ChatReply) -> int:
    """Tokens of an answer, as the engine counts them."""
    return max(reply.usage.output_tokens, len(reply.token_logprobs))


def words(shape: Shape) -> str:
    """The shape for a person, in one sentence."""
    fewest, most = shape.characters
    system = "any system prompt" if shape.system is None else "the labels' system prompt"
    if shape.system == [_hash(())]:
        system = "no system prompt"
    turns = "one turn" if shape.turns == 1 else f"up to {shape.turns} turns"
    return (
        f"requests at temperature {shape.temperature:g} with {system}, {turns} and {fewest // SHORTER:,} to {_longer(most):,} "
        f"characters, which allow at least {shape.answer_tokens:,} answer tokens"
    )


def _seen(hashes: Sequence[str]) -> list[str] | None:
    """The different ones; None where new ones keep coming: by Good and Turing, the share of those that came once estimates
    the share of the next ones that nobody has seen."""
    counts = Counter(hashes)
    once = sum(count == 1 for count in counts.values())
    return None if len(counts) > 1 and once >= max(2, UNSEEN * len(hashes)) else sorted(counts)


def _longer(characters: int) -> int:
    return max(LONGER * characters, characters + MORE)


def _is_seen(value: str, seen: Sequence[str] | None) -> bool:
    return seen is None or value in seen


def _turns(request: ChatRequest) -> list[Message]:
    return spoken_turns(request.messages)


def _characters(turns: Sequence[Message]) -> int:
    return sum(len(turn.text) for turn in turns)


def _system_characters(request: ChatRequest) -> int:
    return sum(len(message.text) for message in request.messages if is_instruction(message))


def _hash(value: object) -> str:
    return content_id("part", value)


def _system(request: ChatRequest) -> str:
    """Of the system prompts with their places: one in the middle of a conversation is another prompt."""
    placed = [(at, message.text) for at, message in enumerate(request.messages) if is_instruction(message)]
    return _hash(placed)


def _tools(request: ChatRequest) -> str:
    if not request.tools:
        return _hash(None)
    return _hash([request.tools, request.tool_choice, request.parallel_calls])


def _format(request: ChatRequest) -> str:
    asked = request.response_format
    return _hash(None if asked is None or asked.get("type") == "text" else asked)
