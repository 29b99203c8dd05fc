"""A generated answer of the student in this process as a reply, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Sequence

from distil.models.answer import model_answer
from distil.models.continuous.row import Row
from distil.models.generate import Generation
from distil.models.load import Loaded, stop_ids
from distil.models.token_bytes import bytes_of_ids
from distil.records import Usage
from distil.serve.wire import ChatReply, ChatRequest, JsonObject


class TokenTexts:
    """The texts of single tokens. Uses no tokenizer, so that any thread may ask."""

    def __init__(self, loaded: Loaded) -> None:
        self._bytes = bytes_of_ids(loaded.tokenizer)
        self._ends = stop_ids(loaded.model, loaded.tokenizer)

    def content(
        self, tokens: Sequence[int], logprobs: Sequence[float], tops: Sequence[list[tuple[int, float]]]
    ) -> list[JsonObject]:
        """OpenAI's `logprobs.content` without the end token, which has no text; tops: each token's alternatives, or nothing."""
        return [
            self._entry(token, logprob)
            | {"top_logprobs": [self._entry(other, value) for other, value in (tops[i] if tops else ())]}
            for i, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True))
            if token not in self._ends
        ]

    def _entry(self, token: int, logprob: float) -> JsonObject:
        spelled = self._bytes.get(token, b"")
        return {"token": spelled.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(spelled)}


def make_reply(
    loaded: Loaded, texts: TokenTexts, request: ChatRequest, row: Row, generation: Generation, *, in_thinking: bool
) -> ChatReply:
    """The whole answer. Uses the tokenizer only for thinking, tools and log-probabilities."""
    tools = None if request.tool_choice == "none" else request.tools
    answer = model_answer(loaded.tokenizer, generation, tools, in_thinking=in_thinking)
    tokens = len(generation.token_ids)
    return ChatReply(
        text=answer.text,
        finish_reason=answer.finish_reason,
        tool_calls=answer.tool_calls,
        usage=Usage(
            input_tokens=len(row.ids), output_tokens=tokens, reasoning_tokens=min(answer.reasoning_tokens, tokens)
        ),
        token_logprobs=generation.token_logprobs,
        token_entropies=generation.token_entropies,
        logprobs=texts.content(row.tokens, row.logprobs, row.tops) if request.logprobs else None,
        reasoning=answer.reasoning or "",
    )
