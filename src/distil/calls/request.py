"""A request to a model and its reply. Plain records: no HTTP, no money, no provider's names.

`Request` is made by the stages (collect, expand, judge, evaluate, serve), `Reply` by `Client.complete` only.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from distil.records import Message, Record, Sampling, ToolChoice, Usage

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object of a provider's API."""
Tier = Literal["standard", "flex", "batch"]
WhenFull = Literal["wait", "standard"]


class Request(Record):
    """One question to one model."""

    model: str
    """The model as the config names it: openai/gpt-5-mini, http://host:8000/v1#name, recorded/FILE.jsonl, ..."""
    messages: list[Message]
    """The conversation, system turn included."""
    sampling: Sampling = Sampling()
    """How to sample."""
    sample: int = 0
    """Which of several answers to the same question. Part of the ledger's key."""
    purpose: str = "collect"
    """collect | expand | judge | evaluate | serve | train | import. Not part of the key: the same question is paid once."""
    tools: list[JsonObject] | None = None
    """Tool definitions in OpenAI's shape."""
    tool_choice: ToolChoice | None = None
    """None: the model chooses."""
    response_format: JsonObject | None = None
    """A JSON schema in OpenAI's shape."""
    further: JsonObject | None = None
    """Further parameters of OpenAI's API, as a client of a gateway named them: only for a server that speaks it."""
    tier: Tier = "standard"
    """What kind of service is paid for: standard, flex (slower, about half price, synchronous) or batch."""
    flex_full: WhenFull = "wait"
    """What a flex request does when the tier is full: wait and try again, or go at the standard price."""
    hedge: float | None = None
    """Send it a second time after so many times the 95th percentile of its model's latencies; None: never."""
    patience_s: float | None = None
    """After a failed try, send it again only within so many seconds of the first; None: as often as the config allows."""

    @property
    def seed(self) -> int | None:
        """The seed that goes on the wire: the config's plus the sample index, or n samples would be n equal answers."""
        return None if self.sampling.seed is None else self.sampling.seed + self.sample

    def neutral_body(self) -> JsonObject:
        """The provider-neutral body of this request, for models without a wire format (local, bundled, recorded)."""
        body: JsonObject = {
            "messages": [message.to_wire() for message in self.messages],
            "sampling": self.sampling.model_dump(mode="json", exclude_none=True),
        }
        if self.tools:
            body["tools"] = self.tools
        if self.tool_choice is not None:
            body["tool_choice"] = self.tool_choice
        if self.response_format:
            body["response_format"] = self.response_format
        return body


class Reply(Record):
    """A whole answer, durable in the ledger before it is handed over."""

    text: str
    """The visible answer."""
    reasoning: str | None = None
    """Thinking that the provider returned, kept apart from the answer."""
    tool_calls: list[JsonObject] | None = None
    """Calls that the answer makes, in OpenAI's shape."""
    finish_reason: str
    """stop | length | tool_calls | content_filter | ... as the provider says it."""
    usage: Usage
    """Tokens that were billed."""
    logprobs: list[JsonObject] | None = None
    """One object per token, as OpenAI's `logprobs.content`, where the provider gives them."""
    usd: float
    """What the call cost when it was paid for, in dollars (also for a cached one, whose cost now is nothing)."""
    latency_s: float
    """Seconds from sending to the last byte; queues and retries do not count."""
    model: str
    """The model as the config names it."""
    call_id: str
    """The ledger row with the raw reply."""
    cached: bool = False
    """It came from the ledger and cost nothing now."""
