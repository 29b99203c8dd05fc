"""OpenAI's older completions: each prompt is asked as one user turn, through the same gate, and answered in the older shape."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence

from distil.serve.apis.checked import Defaults, checked, read_object, unsupported
from distil.serve.apis.openai_bodies import MOST_SAMPLES, ChatBody, CompletionBody
from distil.serve.engines.piece import Piece, whole
from distil.serve.parse import chat_request
from distil.serve.streaming import DONE
from distil.serve.wire import (
    BadRequest,
    Caller,
    ChatReply,
    ChatRequest,
    JsonObject,
    reply_head,
    sse,
    summed,
    usage_body,
)

_NEUTRAL: dict[str, tuple[object, ...]] = {
    "echo": (None, False), "suffix": (None, ""), "best_of": (None, 1), "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0), "logit_bias": (None, {}),
}  # fmt: skip
"""Refused by name unless they change nothing: a chat has no form for them."""
_SAME = ("temperature", "top_p", "max_tokens", "stop", "seed", "n", "stream", "stream_options", "user")


def parse_completion(raw: bytes, *, defaults: Defaults, caller: Caller) -> list[ChatRequest]:
    """One request for each prompt. Raises BadRequest that names the parameter."""
    body = read_object(raw)
    unsupported([name for name, neutral in _NEUTRAL.items() if body.get(name) not in neutral])
    prompt = body.get("prompt")
    first = prompt[0] if isinstance(prompt, list) and prompt else None
    if isinstance(first, (int, list)):
        raise BadRequest("prompt holds token ids, which are not supported; send texts.", param="prompt")
    if not all(text.strip() for text in (prompt if isinstance(prompt, list) else [prompt]) if isinstance(text, str)):
        raise BadRequest("A prompt has no text.", param="prompt")
    read = checked(body, CompletionBody, defaults.served)
    unsupported(list(read.model_extra or {}))
    prompts = [read.prompt] if isinstance(read.prompt, str) else read.prompt
    if len(prompts) * (read.n or 1) > MOST_SAMPLES:
        raise BadRequest(f"These are more than {MOST_SAMPLES} answers; send fewer prompts at once.", param="prompt")
    return [_as_chat(body, text, read, defaults, caller) for text in prompts]


def _as_chat(body: JsonObject, text: str, read: CompletionBody, defaults: Defaults, caller: Caller) -> ChatRequest:
    chat = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat |= {"model": read.model, "messages": [{"role": "user", "content": text}]}
    if read.logprobs is not None:
        chat |= {"logprobs": True, "top_logprobs": read.logprobs}
    return chat_request(chat, checked(chat, ChatBody, defaults.served), defaults, caller)


def completion_body(request: ChatRequest, replies: Sequence[ChatReply], fingerprint: str) -> JsonObject:
    """The body of a reply that is not streamed."""
    choices = [_choice(request, reply, index) for index, reply in enumerate(replies)]
    usage = usage_body(summed(reply.usage for reply in replies))
    return _head(request, fingerprint) | {"choices": choices, "usage": usage}


def completion_events(request: ChatRequest, replies: Sequence[ChatReply], fingerprint: str) -> Iterator[bytes]:
    """The answers as server-sent events: one for each, the usage where it is wanted, and `[DONE]`."""
    head = _head(request, fingerprint)
    for index, reply in enumerate(replies):
        yield sse(head | {"choices": [_choice(request, reply, index)]})
    if request.include_usage:
        yield sse(head | {"choices": [], "usage": usage_body(summed(reply.usage for reply in replies))})
    yield DONE


async def live_completion_events(
    request: ChatRequest, pieces: AsyncIterator[Piece], fingerprint: str
) -> AsyncIterator[bytes]:
    """One event for each piece of an answer that is being generated. Raises what `pieces` raises."""
    head, came, offset = _head(request, fingerprint), list[Piece](), 0
    async for piece in pieces:
        came.append(piece)
        if piece.text or piece.finish_reason:
            wanted = request.logprobs and piece.logprobs
            choice = {"text": piece.text, "index": 0, "finish_reason": piece.finish_reason}
            yield sse(
                head | {"choices": [choice | {"logprobs": _logprobs(piece.logprobs, offset) if wanted else None}]}
            )
        offset += sum(len(token["token"]) for token in piece.logprobs)
    if request.include_usage:
        yield sse(head | {"choices": [], "usage": usage_body(whole(came).usage)})
    yield DONE


def _choice(request: ChatRequest, reply: ChatReply, index: int) -> JsonObject:
    return {
        "text": reply.text,
        "index": index,
        "logprobs": _logprobs(reply.logprobs) if request.logprobs and reply.logprobs is not None else None,
        "finish_reason": reply.finish_reason,
    }


def _logprobs(content: list[JsonObject], at: int = 0) -> JsonObject:
    """Columns instead of rows; the offset of a token counts from the beginning of the answer, where this part is at `at`."""
    offsets = []
    for token in content:
        offsets.append(at)
        at += len(token["token"])
    return {
        "tokens": [token["token"] for token in content],
        "token_logprobs": [token["logprob"] for token in content],
        "top_logprobs": [{t["token"]: t["logprob"] for t in token.get("top_logprobs") or []} for token in content],
        "text_offset": offsets,
    }


def _head(request: ChatRequest, fingerprint: str) -> JsonObject:
    return reply_head(request, fingerprint, "text_completion") | {"id": f"cmpl-{os.urandom(16).hex()}"}
