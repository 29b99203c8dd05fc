"""The records that stages pass to each other: frozen, small, always complete.

New knowledge is a new record that carries its parent's id, not another optional field on an old one:
Prompt -> Answer -> Verdict -> Example, and Prompt -> Prediction -> Score. `Call` is one paid request,
`Manifest` marks a stage as done. The file of each record: distil/runs/artifacts.py.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from distil.ids import content_id

SCHEMA_VERSION = 1

Role = Literal["system", "developer", "user", "assistant", "tool"]
Split = Literal["train", "validation", "test"]
ToolChoice = Literal["none", "required"] | dict[str, object]
"""What a prompt demands of a model with tools: no call, some call, or {"type": "function", "function": {"name": ...}}."""


class Record(BaseModel):
    """Base of all records: immutable, unknown fields rejected, a docstring under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Message(Record):
    """One turn of a conversation, in OpenAI's chat shape."""

    role: Role
    """Author of the turn."""
    content: str | list[dict[str, Any]] | None = None
    """The text, or OpenAI content parts; None only when an assistant turn has only tool calls."""
    name: str | None = None
    """The author's name, for providers that use it."""
    tool_calls: list[dict[str, Any]] | None = None
    """Tool calls of an assistant turn, in OpenAI's shape."""
    tool_call_id: str | None = None
    """The tool call that a tool turn answers."""
    reasoning_content: str | None = None
    """Thinking of an assistant turn, apart from its text (the name that chat templates and servers of reasoning models use)."""
    weight: Literal[0, 1] | None = None
    """0 = an assistant turn that is context only, not trained on (OpenAI's fine-tuning convention)."""

    @classmethod
    def read(cls, turn: object) -> Self:
        """A turn that somebody else wrote: a client, a log, a reply that is sent back as it came. Raises ValidationError.

        What replies add (`refusal: null`, `annotations`, ids, ...) is left out, except for a key that looks misspelled; a refusal
        is the text of a turn without one; OpenAI's old `function_call` and role `function` become what they are today.
        """
        if not isinstance(turn, dict) or (turn.keys() == {"role", "content"} and turn["role"] in ("system", "user")):
            return cls.model_validate(turn)  # most turns: nothing to leave out, nothing to rename
        known = {name: value for name, value in turn.items() if name in cls.model_fields and value is not None}
        if not known.get("tool_calls", True):
            del known["tool_calls"]  # [] is none
        if isinstance(turn.get("refusal"), str) and not known.get("content"):
            known["content"] = turn["refusal"]
        if isinstance(turn.get("function_call"), dict) and "tool_calls" not in known:
            called = turn["function_call"]
            known["tool_calls"] = [{"id": f"call_{called.get('name')}", "type": "function", "function": called}]
        if turn.get("role") == "function":
            known = {"tool_call_id": f"call_{turn.get('name')}"} | known | {"role": "tool"}
        for name, value in turn.items():
            close = name not in cls.model_fields and difflib.get_close_matches(
                str(name), cls.model_fields, n=1, cutoff=0.8
            )
            if close and value is not None and name not in ("reasoning_details", "function_call"):
                known[str(name)] = value  # pydantic refuses it, and names it
        return cls.model_validate(known)

    def to_wire(self) -> dict[str, Any]:
        """The JSON object for an OpenAI-compatible API, without the fields that are None."""
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
    """Sampling parameters. The defaults are the article's; use the ones of your production traffic."""

    temperature: float = Field(default=0.7, ge=0, le=2)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=500, ge=1)
    """Maximum tokens in the answer (including reasoning, if the provider counts it)."""
    stop: list[str] | None = None
    """Strings that end the answer."""
    seed: int | None = None
    """Passed on to providers that accept a seed."""
    reasoning_effort: str | None = None
    """For reasoning models: none | minimal | low | medium | high, in the provider's terms."""
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """Number of alternatives per token to request (OpenAI, Together, vLLM: at most 20)."""


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
    cache_write_tokens: int = 0
    """The part of the input that the provider took into its cache, at a price of its own."""
    cache_write_1h_tokens: int = 0
    """The part of those that it keeps for an hour (Anthropic), which costs more."""


class Prompt(Record):
    """One input for a model."""

    id: str
    """Hash of messages, tools and response format."""
    messages: list[Message]
    """The conversation, including the system turn; the last turn is not the assistant's."""
    reference: str | None = None
    """The correct answer, if the user has one."""
    group: str | None = None
    """Rows of one group are never on both sides of a split."""
    split: Split | None = None
    """Fixed by the user, or None: curate decides. `train` rows are never tested; validation rows may be taken from them."""
    tools: list[dict[str, Any]] | None = None
    """Tool definitions, in OpenAI's shape."""
    tool_choice: ToolChoice | None = None
    """None: the model chooses (OpenAI's `auto`)."""
    response_format: dict[str, Any] | None = None
    """A JSON schema that the answer must follow, in OpenAI's shape."""
    fields: dict[str, str] = {}
    """Further columns of the user's row (a channel, a language, a customer tier): the evaluation slices by them."""

    @classmethod
    def make(cls, messages: list[Message], **fields: Any) -> Self:
        """A prompt with its id computed from its content."""
        content = {
            "messages": [m.to_wire() for m in messages],
            "tools": fields.get("tools"),
            "response_format": fields.get("response_format"),
        }
        if fields.get("tool_choice") is not None:  # not otherwise: the ids of prompts that are there already stay
            content["tool_choice"] = fields["tool_choice"]
        return cls(id=content_id("prompt", content), messages=messages, **fields)


class Answer(Record):
    """One teacher's reply to one prompt; a view of the ledger that can always be rebuilt."""

    id: str
    """Hash of prompt id, teacher, sampling and sample index: known before it is paid for."""
    prompt_id: str
    """The prompt it answers."""
    teacher: str
    """The model as the config names it, such as openai/gpt-5-mini."""
    sampling: Sampling
    """Sampling parameters of the request."""
    sample: int = 0
    """Index among several samples of the same prompt."""
    text: str
    """The visible answer."""
    reasoning: str | None = None
    """Reasoning that the provider returned, kept separate from the answer."""
    tool_calls: list[dict[str, Any]] | None = None
    """Tool calls in the answer."""
    finish_reason: str
    """As reported by the provider; distil.endings reads it. A truncated answer is never trained on."""
    call_id: str
    """The ledger row that holds the raw reply, tokens and price."""


class Call(Record):
    """One paid call as stored in the ledger, without the bodies."""

    id: str
    """Hash of the final wire body, the endpoint and the sample index."""
    purpose: str
    """collect | expand | curate | judge | evaluate | serve | train | import."""
    model: str
    """The model as the config names it."""
    status: Literal["intended", "answered", "failed"]
    """intended = sent or about to be sent, no complete reply yet: it may have been charged."""
    usage: Usage
    """What was billed."""
    usd: float
    """Price of the call in dollars."""
    table_usd: float | None = None
    """What the tokens cost by the known price, where `usd` is what the provider itself said; None: `usd` is that price."""
    price_input: float | None = None
    """$ per million input tokens at the time."""
    price_output: float | None = None
    """$ per million output tokens at the time."""
    price_source: str | None = None
    """config, genai-prices and its version, or the field of the reply in which the provider names the cost."""
    tier: str = "standard"
    """standard | flex | batch."""
    latency_s: float | None = None
    """Seconds from sending to the last byte, without time in queues."""
    attempts: int = 1
    """Number of times it was sent."""
    created: str
    """ISO time, UTC."""
    error: str | None = None
    """Why it failed, readable."""


class Verdict(Record):
    """One filter's decision on one answer."""

    answer_id: str
    """The filtered answer."""
    prompt_id: str
    """Its prompt."""
    filter: str
    """The filter's name."""
    keep: bool
    """False = dropped."""
    reason: str
    """The reason, in one line."""


class Example(Record):
    """One training or test example: self-contained, readable by any other trainer."""

    id: str
    """Hash of the messages."""
    prompt_id: str
    """The prompt it came from."""
    answer_id: str | None
    """The answer it came from; None = the answer is the reference."""
    messages: list[Message]
    """The conversation with the answer as its last turn."""
    reference: str | None = None
    """The correct answer, if the user has one."""
    group: str | None = None
    """Split group."""
    split: Split
    """The split it belongs to."""
    teacher: str | None = None
    """The model that answered."""
    tools: list[dict[str, Any]] | None = None
    """Tool definitions."""
    tool_choice: ToolChoice | None = None
    """As the prompt's."""
    response_format: dict[str, Any] | None = None
    """A JSON schema that the answer must follow, in OpenAI's shape."""
    fields: dict[str, str] = {}
    """Further columns of the prompt's row."""

    @classmethod
    def of(cls, prompt: Prompt, answer: Answer, split: Split, *, reasoning: str | None = None) -> Self:
        """The prompt's conversation with the answer as its last turn. reasoning: thinking that this turn carries."""
        turn = Message(
            role="assistant",
            content=answer.text or (None if answer.tool_calls else ""),
            tool_calls=answer.tool_calls,
            reasoning_content=reasoning or None,
        )
        messages = [*prompt.messages, turn]
        return cls(
            id=content_id("example", [m.to_wire() for m in messages]),
            prompt_id=prompt.id,
            answer_id=answer.id,
            messages=messages,
            reference=prompt.reference,
            group=prompt.group,
            split=split,
            teacher=answer.teacher,
            tools=prompt.tools,
            tool_choice=prompt.tool_choice,
            response_format=prompt.response_format,
            fields=prompt.fields,
        )

    def to_chat(self) -> dict[str, Any]:
        """One line of OpenAI's chat fine-tuning format; Distil's fields are under `metadata`."""
        line: dict[str, Any] = {"messages": [m.to_wire() for m in self.messages]}
        if self.tools:
            line["tools"] = self.tools
        metadata = self.model_dump(exclude={"messages", "tools"}, exclude_none=True)
        if not self.fields:
            del metadata["fields"]
        line["metadata"] = metadata | {"schema": SCHEMA_VERSION}
        return line

    @classmethod
    def from_chat(cls, line: dict[str, Any]) -> Self:
        """The inverse of `to_chat`; raises pydantic.ValidationError on a line that Distil did not write."""
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
    """A model's answer to a held-out prompt, generated for the evaluation."""

    id: str
    """Hash of prompt id, model and sample."""
    prompt_id: str
    """The held-out prompt."""
    model: str
    """teacher, base, or the student's name."""
    sample: int = 0
    """Index among several samples."""
    text: str
    """The answer."""
    tool_calls: list[dict[str, Any]] | None = None
    """Tool calls in the answer, in OpenAI's shape."""
    finish_reason: str
    """stop | length | tool_calls | ..."""
    output_tokens: int
    """Length of the answer in the model's tokens."""
    latency_s: float | None = None
    """Seconds, if the prompt was run alone."""
    token_logprobs: list[float] = []
    """Natural log-probability of each generated token, untempered; empty if unknown."""
    token_entropies: list[float] = []
    """Entropy in nats of the distribution each token was drawn from; empty if unknown."""


class Score(Record):
    """One metric's value for one prediction."""

    prediction_id: str
    """The scored prediction."""
    prompt_id: str
    """Its prompt; scores of two models are paired by prompt."""
    model: str
    """teacher, base, or the student's name."""
    metric: str
    """The metric's name."""
    value: float
    """Higher is better unless the metric says otherwise."""
    detail: str | None = None
    """One readable line, such as the judge's reason."""


class FileStamp(Record):
    """State of a file or folder when a stage read or wrote it."""

    sha256: str
    """Hash of the bytes (for a folder: of names and contents)."""
    count: int | None = None
    """Number of records, if it contains records."""


class Manifest(Record):
    """Written last and atomically into a stage's folder: if it exists, the stage is done."""

    schema_version: int = SCHEMA_VERSION
    """Version of this file's schema."""
    tool_version: str
    """Version of Distil."""
    stage: str
    """The stage's command."""
    name: str | None = None
    """For train and evaluate: the student."""
    config: dict[str, Any]
    """The resolved settings of the run."""
    inputs: dict[str, FileStamp]
    """Project-relative path -> stamp."""
    outputs: dict[str, FileStamp]
    """Project-relative path -> stamp."""
    seeds: dict[str, int] = {}
    """The seeds used."""
    packages: dict[str, str] = {}
    """Versions of the packages that affect the result."""
    usd: float = 0.0
    """Dollars spent by this stage."""
    started: str
    """ISO time, UTC."""
    finished: str
    """ISO time, UTC."""
    notes: dict[str, Any] = {}
    """Anything else worth knowing: counts, terms of use, warnings, measurements."""
