"""What a student's server sent, read: a whole reply, and the events of a stream. Nothing in it is believed before it is checked.

Pure functions. Sources of the shapes: OpenAI's chat.completion and chat.completion.chunk objects, vLLM's and llama.cpp's own
replies, and together 3.1.1 (types/log_probs.py), whose log-probabilities are numbers beside the tokens.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from distil.endings import ending
from distil.records import Usage
from distil.serve.engines.piece import Piece
from distil.serve.wire import ChatReply, ChatRequest, JsonObject
from distil.text import one_line

UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""What reading raises for a reply that is none."""
MOST_TOKENS = 1 << 31
IMPOSSIBLE = -9999.0
"""OpenAI's log-probability of what has none: JSON cannot hold minus infinity."""


class ServerSaidError(ValueError):
    """The server reported an error inside a reply that began well."""


def read_reply(raw: bytes, request: ChatRequest) -> ChatReply:
    """A chat.completion. Raises one of UNREADABLE."""
    body = json.loads(raw)
    choice = body["choices"][0]
    message = choice["message"]
    text, calls = _text(message.get("content")), message.get("tool_calls") or None
    for call in calls or ():
        if not all(isinstance(call["function"][name], str) for name in ("name", "arguments")):
            raise TypeError("a tool call's name and arguments are texts")
    tokens = _tokens(choice)
    if not _covers(tokens, text):
        raise ValueError("there are log-probabilities for a part of the answer only")
    return ChatReply(
        text=text,
        finish_reason=_finish(choice.get("finish_reason")),
        usage=_usage(body.get("usage"), len(tokens)),
        tool_calls=calls,
        token_logprobs=[logprob_of(token) for token in tokens],
        logprobs=openai_logprobs(tokens, request.sampling.top_logprobs or 0) if request.logprobs else None,
        reasoning=_thinking(message),
    )


class Read(NamedTuple):
    """Some events of a stream."""

    piece: Piece
    """What they add to the answer."""
    done: bool
    """Whether `[DONE]` was among them."""


def read_events(lines: bytes, request: ChatRequest) -> Read:
    """Whole lines of a stream of chat.completion.chunk. Raises one of UNREADABLE."""
    events, done = [], False
    for line in lines.split(b"\n"):
        if not line.startswith(b"data:"):
            if line.startswith((b":", b"event:", b"id:", b"retry:")) or not line.strip():
                continue
            raise ValueError(f"a line that is none of an event: {one_line(line.decode('utf-8', 'replace'), 40)}")
        data = line[5:].strip()
        if data == b"[DONE]":
            done = True
        elif data:
            events.append(data)
    # all at once: a call of the parser costs as much as an event
    return Read(_joined_events(json.loads(b"[%b]" % b",".join(events)), request), done)


def _joined_events(events: list[JsonObject], request: ChatRequest) -> Piece:
    """What some events add to the answer."""
    texts: list[str] = []
    thoughts: list[str] = []
    tokens: list[JsonObject] = []
    calls: list[JsonObject] = []
    finish: str | None = None
    usage: Usage | None = None
    for event in events:
        if event.get("error"):
            raise ServerSaidError(one_line(str(event["error"]), 200))
        if event.get("usage") is not None:
            usage = _usage(event["usage"], 0)
        choices = event.get("choices")
        if not choices:
            continue
        choice = choices[0]
        delta = choice.get("delta") or {}
        if (text := delta.get("content")) is not None:
            texts.append(text)
        thoughts.append(_thinking(delta))
        if choice.get("logprobs"):
            tokens += _tokens(choice)
        if delta.get("tool_calls"):
            calls += _call_parts(delta["tool_calls"])
        if choice.get("finish_reason") is not None:
            finish = _finish(choice["finish_reason"])
    wanted = request.logprobs and tokens
    return Piece(
        text="".join(texts),
        reasoning="".join(thoughts),
        token_logprobs=[logprob_of(token) for token in tokens],
        logprobs=openai_logprobs(tokens, request.sampling.top_logprobs or 0) if wanted else [],
        tool_calls=calls,
        finish_reason=finish,
        usage=usage,
    )


def _thinking(message: JsonObject) -> str:
    """`reasoning_content` (SGLang, llama.cpp, older vLLM) or `reasoning` (vLLM)."""
    said = message.get("reasoning_content") or message.get("reasoning")
    return said if isinstance(said, str) else ""


def _call_parts(parts: object) -> list[JsonObject]:
    if not isinstance(parts, list) or not all(isinstance(part.get("function") or {}, dict) for part in parts):
        raise TypeError("tool_calls is not a list of calls")
    return parts


def _finish(reason: object) -> str:
    if not isinstance(reason, str) or ending(reason) == "fault":
        raise ValueError(f"the finish reason is {reason!r}")
    return reason


def _usage(usage: JsonObject | None, tokens: int) -> Usage:
    """Token counts; what a server leaves out is 0, or the number of tokens that it told. Raises ValueError for nonsense."""
    told = usage or {}
    counts = [told.get(name) or 0 for name in ("prompt_tokens", "completion_tokens")]
    counts.append((told.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
    if not all(isinstance(count, int) and 0 <= count < MOST_TOKENS for count in counts):
        raise ValueError(f"the usage is {str(usage)[:100]}")
    prompt, answer, thinking = counts
    return Usage(input_tokens=prompt, output_tokens=answer or tokens, reasoning_tokens=min(thinking, answer or tokens))


def _tokens(choice: JsonObject) -> list[JsonObject]:
    """OpenAI's objects, one for each token; none without log-probabilities."""
    found = choice.get("logprobs") or {}
    content: list[JsonObject] = found.get("content") or []
    # Together's shape: the numbers alone.
    return content or [{"logprob": value} for value in found.get("token_logprobs") or [] if value is not None]


def _covers(tokens: list[JsonObject], text: str) -> bool:
    """Whether the tokens can be those of the whole text: a confidence in its first word says nothing about the rest.

    A token is at least a character here, since one that is a part of a character may have no text; tokens without texts are
    not looked at.
    """
    if not tokens or any(not isinstance(token.get("token"), str) for token in tokens):
        return True
    return 2 * sum(max(1, len(token["token"])) for token in tokens) >= len(text)


def _text(content: object) -> str:
    """A message's content: a text, nothing, or a list of parts of which some are texts. Raises TypeError otherwise."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise TypeError(f"content is a {type(content).__name__}")
    texts = [part["text"] for part in content if part.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a part's text is none")
    return "".join(texts)


def logprob_of(token: JsonObject) -> float:
    """A natural log-probability; rounding may put it just above 0. Raises ValueError for what is none, such as a text."""
    value = token["logprob"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= 1e-3:  # also NaN
        raise ValueError(f"logprob {str(value)[:40]!r} is not that of a probability")
    return max(IMPOSSIBLE, min(float(value), 0.0))


def openai_logprobs(content: list[JsonObject], alternatives: int) -> list[JsonObject]:
    """OpenAI's fields and as many alternatives as the client asked for; servers send more of both."""

    def of_openai(token: JsonObject) -> JsonObject:
        return {"token": token.get("token"), "logprob": logprob_of(token), "bytes": token.get("bytes")}

    return [
        of_openai(token)
        | {"top_logprobs": [of_openai(other) for other in (token.get("top_logprobs") or [])[:alternatives]]}
        for token in content
    ]
