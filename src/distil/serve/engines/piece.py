"""A piece of an answer that is still being generated: what every engine that streams yields, whatever API the client speaks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from distil.records import Usage
from distil.serve.wire import ChatReply, JsonObject


@dataclass(frozen=True, slots=True)
class Piece:
    """What came since the piece before. An answer is whole once a piece has a finish reason; one that ends without is broken."""

    text: str = ""
    """Appended to the answer; whole characters only."""
    reasoning: str = ""
    """Appended to the thinking before the answer."""
    token_logprobs: list[float] = field(default_factory=list)
    """Natural log-probability per new token at temperature 1, as in ChatReply; empty where the model gives none."""
    token_entropies: list[float] = field(default_factory=list)
    """Nats per new token; empty where the model gives none."""
    logprobs: list[JsonObject] = field(default_factory=list)
    """OpenAI's `logprobs.content` of the new tokens, where the client asked for it."""
    tool_calls: list[JsonObject] = field(default_factory=list)
    """OpenAI's `delta.tool_calls`: parts of calls, each with the `index` of its call."""
    finish_reason: str | None = None
    """How the answer ended; only in its last piece or the last but one."""
    usage: Usage | None = None
    """The whole answer's tokens; only in its last piece, None where the engine does not tell."""


def joined(pieces: Iterable[Piece]) -> Piece:
    """Pieces that came at once as one."""
    found = list(pieces)
    if len(found) == 1:
        return found[0]
    return Piece(
        text="".join(piece.text for piece in found),
        reasoning="".join(piece.reasoning for piece in found),
        token_logprobs=[value for piece in found for value in piece.token_logprobs],
        token_entropies=[value for piece in found for value in piece.token_entropies],
        logprobs=[token for piece in found for token in piece.logprobs],
        tool_calls=[call for piece in found for call in piece.tool_calls],
        finish_reason=next((piece.finish_reason for piece in reversed(found) if piece.finish_reason), None),
        usage=next((piece.usage for piece in reversed(found) if piece.usage), None),
    )


def whole(pieces: Iterable[Piece]) -> ChatReply:
    """The answer that pieces make up. Without a usage its tokens are those that have a log-probability."""
    piece = joined(pieces)
    return ChatReply(
        text=piece.text,
        finish_reason=piece.finish_reason or "",
        usage=piece.usage or Usage(output_tokens=len(piece.token_logprobs)),
        tool_calls=joined_calls(piece.tool_calls) or None,
        token_logprobs=piece.token_logprobs,
        token_entropies=piece.token_entropies,
        logprobs=piece.logprobs or None,
        reasoning=piece.reasoning,
    )


def joined_calls(parts: Iterable[JsonObject]) -> list[JsonObject]:
    """Whole tool calls out of their parts: the first of a call has its id and name, all have a part of the arguments."""
    calls: dict[int, JsonObject] = {}
    for part in parts:
        function = part.get("function") or {}
        call = calls.setdefault(
            part.get("index") or 0, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = call["id"] or part.get("id") or ""
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
    return [calls[index] for index in sorted(calls)]
