"""The records that stages hand to each other: frozen, small, never half-filled.

New knowledge is a new record that carries its parent's id, not another optional field on an old one:
Prompt -> Answer -> Verdict -> Example, and Prompt -> Prediction -> Score. `Call` is the money, `Manifest` says a stage is done.
Where each lies on disk, who writes and who reads it: distil/runs/artifacts.py.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from distil.ids import content_id

SCHEMA_VERSION = 1

Role = Literal["system", "developer", "user", "assistant", "tool"]
Split = Literal["train", "validation", "test"]


class Record(BaseModel):
    """Base of all records: immutable, unknown fields refused, a docstring under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Message(Record):
    """One turn of a conversation, in OpenAI's chat shape."""

    role: Role
    """Who speaks."""
    content: str | list[dict[str, Any]] | None = None
    """The text, or OpenAI content parts; None only when an assistant turn is nothing but tool calls."""
    name: str | None = None
    """The speaker's name, where a provider uses it."""
    tool_calls: list[dict[str, Any]] | None = None
    """Calls that an assistant turn makes, in OpenAI's shape."""
    tool_call_id: str | None = None
    """Which call a tool turn answers."""
    weight: Literal[0, 1] | None = None
    """0 = an assistant turn that is context only and is not trained on (OpenAI's fine-tuning convention)."""

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that an OpenAI-compatible API takes: fields that are None are left out."""
        wire = self.model_dump(exclude_none=True)
        if "content" not in wire:
            wire["content"] = None
        return wire

    @property
    def text(self) -> str:
        """The plain text of the content (content parts joined)."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class Sampling(Record):
    """How a model is asked to sample. Defaults are the article's; use what production uses."""

    temperature: float = Field(default=0.7, ge=0, le=2)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=500, ge=1)
    """Most tokens in the answer (reasoning included, where the provider counts it)."""
    stop: list[str] | None = None
    """Strings that end the answer."""
    seed: int | None = None
    """Passed on where the provider takes one."""
    reasoning_effort: str | None = None
    """For reasoning models: none | minimal | low | medium | high, as the provider names it."""
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many alternatives per token to ask for (OpenAI, Together, vLLM: at most 20)."""


class Usage(Record):
    """Tokens that a provider billed."""

    input_tokens: int = 0
    """Prompt tokens, cached ones included."""
    output_tokens: int = 0
    """Answer tokens, reasoning included."""
    cached_tokens: int = 0
    """The part of the input that came from the provider's cache."""
    reasoning_tokens: int = 0
    """The part of the output that is not in the text."""


class Prompt(Record):
    """What a model is asked."""

    id: str
    """Hash of messages, tools and response format: what is asked, not what comes back."""
    messages: list[Message]
    """The conversation, system turn included; the last turn is not the assistant's."""
    reference: str | None = None
    """The right answer, where the user has one."""
    group: str | None = None
    """Rows of one group never lie on both sides of a split."""
    split: Split | None = None
    """Fixed by the user, or None: curate decides. `train` means never test: validation is cut from it where that is not fixed."""
    tools: list[dict[str, Any]] | None = None
    """Tool definitions, in OpenAI's shape."""
    response_format: dict[str, Any] | None = None
    """A JSON schema that the answer must follow, in OpenAI's shape."""

    @classmethod
    def make(cls, messages: list[Message], **fields: Any) -> Self:
        """A prompt with its id computed from what is asked."""
        asked = {
            "messages": [m.to_wire() for m in messages],
            "tools": fields.get("tools"),
            "response_format": fields.get("response_format"),
        }
        return cls(id=content_id("prompt", asked), messages=messages, **fields)


class Answer(Record):
    """One reply of one teacher to one prompt; a view of the ledger that can always be rebuilt."""

    id: str
    """Hash of prompt id, teacher, sampling and sample index: known before paying."""
    prompt_id: str
    """The prompt that was asked."""
    teacher: str
    """The model as the config names it, such as openai/gpt-5-mini."""
    sampling: Sampling
    """How it was asked."""
    sample: int = 0
    """Which of several samples of the same question."""
    text: str
    """The visible answer."""
    reasoning: str | None = None
    """Thinking that the provider returned, kept apart from the answer."""
    tool_calls: list[dict[str, Any]] | None = None
    """Calls that the answer makes."""
    finish_reason: str
    """stop | length | tool_calls | content_filter | ... as the provider says it; length = truncated, never trained on."""
    call_id: str
    """The ledger row that holds the raw reply, tokens and price."""


class Call(Record):
    """One paid call, as the ledger knows it (without the bodies)."""

    id: str
    """Hash of the final wire body, the endpoint and the sample index."""
    purpose: str
    """collect | expand | judge | evaluate | serve | train | import."""
    model: str
    """The model as the config names it."""
    status: Literal["intended", "answered", "failed"]
    """intended = sent or about to be sent, no whole reply seen: it may have been paid."""
    usage: Usage
    """What was billed."""
    usd: float
    """Price of the call in dollars."""
    price_input: float | None = None
    """$ per million input tokens at that time."""
    price_output: float | None = None
    """$ per million output tokens at that time."""
    price_source: str | None = None
    """config, or genai-prices and its version."""
    tier: str = "standard"
    """standard | flex | batch."""
    latency_s: float | None = None
    """Seconds from sending to the last byte; time in queues does not count."""
    attempts: int = 1
    """How often it was sent."""
    created: str
    """ISO time, UTC."""
    error: str | None = None
    """Why it failed, for a person."""


class Verdict(Record):
    """What one filter said of one answer."""

    answer_id: str
    """The answer that was judged."""
    prompt_id: str
    """Its prompt."""
    filter: str
    """The filter's name."""
    keep: bool
    """False = dropped."""
    reason: str
    """One line for a person."""


class Example(Record):
    """One training or test example: self-contained, readable by any other trainer."""

    id: str
    """Hash of the messages."""
    prompt_id: str
    """Where the question came from."""
    answer_id: str | None
    """Where the answer came from; None = it is the reference."""
    messages: list[Message]
    """Conversation with the answer as last turn."""
    reference: str | None = None
    """The right answer, where the user has one."""
    group: str | None = None
    """Split group."""
    split: Split
    """Which side it lies on."""
    teacher: str | None = None
    """Who answered."""
    tools: list[dict[str, Any]] | None = None
    """Tool definitions."""

    def to_chat(self) -> dict[str, Any]:
        """One line of OpenAI's chat fine-tuning format; what is ours lies under `metadata`."""
        line: dict[str, Any] = {"messages": [m.to_wire() for m in self.messages]}
        if self.tools:
            line["tools"] = self.tools
        line["metadata"] = self.model_dump(exclude={"messages", "tools"}, exclude_none=True) | {
            "schema": SCHEMA_VERSION
        }
        return line

    @classmethod
    def from_chat(cls, line: dict[str, Any]) -> Self:
        """The inverse of `to_chat`; raises pydantic.ValidationError on a line that is not one of ours."""
        metadata = {k: v for k, v in (line.get("metadata") or {}).items() if k != "schema"}
        metadata.setdefault("answer_id", None)
        return cls.model_validate({"messages": line.get("messages"), "tools": line.get("tools"), **metadata})

    @property
    def prompt_messages(self) -> list[Message]:
        """The conversation without the last (answer) turn."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The text of the last turn."""
        return self.messages[-1].text


class Prediction(Record):
    """What a model said to a held-out prompt while it was being evaluated."""

    id: str
    """Hash of prompt id, model and sample."""
    prompt_id: str
    """The held-out prompt."""
    model: str
    """teacher, base, or the student's name."""
    sample: int = 0
    """Which of several samples."""
    text: str
    """The answer."""
    finish_reason: str
    """stop | length."""
    output_tokens: int
    """Length of the answer in the model's own tokens."""
    latency_s: float | None = None
    """Seconds, where it was asked alone."""
    token_logprobs: list[float] = []
    """Natural log-probability of each generated token, untempered; empty where unknown."""
    token_entropies: list[float] = []
    """Entropy in nats of the distribution that each token was drawn from; empty where unknown."""


class Score(Record):
    """One metric's value for one prediction."""

    prediction_id: str
    """What was scored."""
    prompt_id: str
    """Its prompt: scores of two models pair on it."""
    model: str
    """teacher, base, or the student's name."""
    metric: str
    """The metric's name."""
    value: float
    """Higher is better unless the metric says otherwise."""
    detail: str | None = None
    """One line for a person, such as the judge's reason."""


class FileStamp(Record):
    """What a file or folder was when a stage read or wrote it."""

    sha256: str
    """Hash of the bytes (of a folder: over names and contents)."""
    count: int | None = None
    """Records in it, where it holds records."""


class Manifest(Record):
    """Written last and atomically into a stage's folder: its presence means that the stage is done."""

    schema_version: int = SCHEMA_VERSION
    """Of this file."""
    tool_version: str
    """Distil's version."""
    stage: str
    """The verb."""
    name: str | None = None
    """For train and evaluate: which student."""
    config: dict[str, Any]
    """The resolved settings that the stage ran with."""
    inputs: dict[str, FileStamp]
    """Project-relative path -> stamp."""
    outputs: dict[str, FileStamp]
    """Project-relative path -> stamp."""
    seeds: dict[str, int] = {}
    """Every seed that was used."""
    packages: dict[str, str] = {}
    """Versions of the packages that shaped the result."""
    usd: float = 0.0
    """Dollars spent by this stage."""
    started: str
    """ISO time, UTC."""
    finished: str
    """ISO time, UTC."""
    notes: dict[str, Any] = {}
    """What the stage wants a reader to know: counts, terms of use, warnings, measured figures."""
