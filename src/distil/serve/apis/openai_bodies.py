"""OpenAI's request bodies: chat completions, and the older completions. openapi.json is written from these models.

Sources: the types of the openai package (3.57, `chat.completion_create_params`, `completion_create_params`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from distil.serve.apis.checked import HAS_TEXT, MOST_TOKENS, SEEDS, Body


def _whole(value: object) -> object:
    """JSON has one kind of number: 16.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


WHOLE = BeforeValidator(_whole)
"""Stands after a number's bounds: before them it would keep them out of the document."""
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS), WHOLE]
Seed = Annotated[int, Field(ge=SEEDS[0], le=SEEDS[1]), WHOLE]
Alternatives = Annotated[int, Field(ge=0, le=20), WHOLE]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Stop = Annotated[str, Field(min_length=1)] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=64)]
MOST_SAMPLES = 128
Samples = Annotated[int, Field(ge=1, le=MOST_SAMPLES), WHOLE]
Text = Annotated[str, Field(pattern=r"\S")]
Name = Annotated[str, Field(min_length=1, max_length=256)]


PARTS: list[JsonValue] = [
    {"required": ["text"], "properties": {"type": {"const": "text"}, "text": {"type": "string"}}},
    {"properties": {"type": {"not": {"const": "text"}}}},
]
FORMATS: list[JsonValue] = [
    {"properties": {"type": {"enum": ["text", "json_object", "json", "regex", "choice", "choices"]}}},
    {
        "required": ["json_schema"],
        "properties": {"json_schema": {"type": "object", "properties": {"schema": {"type": "object"}}}},
    },
    {"required": ["schema"], "properties": {"schema": {"type": "object"}, "json_schema": {"not": {"type": "object"}}}},
]
"""A schema is needed for json_schema: nested as OpenAI has it, or flat."""
ALTERNATIVES: list[JsonValue] = [
    {"properties": {"top_logprobs": {"type": "null"}}},
    {"required": ["logprobs"], "properties": {"logprobs": {"const": True}}},
]
"""top_logprobs needs logprobs."""


class Part(Body):
    """A part of a turn's content: a text, an image, audio, a file."""

    model_config = ConfigDict(json_schema_extra={"anyOf": PARTS})

    type: str
    text: str | None = None

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if self.type == "text" and self.text is None:
            raise PydanticCustomError("text", "a part of the type text has no text")
        return self


class CalledFunction(Body):
    """The name of a function, and its arguments as JSON text."""

    name: str
    arguments: str | None = None


class ToolCall(Body):
    """A call that an earlier turn made."""

    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunction


class Turn(Body):
    """One turn. Fields that replies have (refusal, annotations, audio, ...) may be sent back and are not read."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Function(Body):
    """A function that the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    """JSON schema of the arguments."""
    strict: bool | None = None


class Tool(Body):
    """A function as a tool; no other kind of tool is supported."""

    type: Literal["function"] = "function"
    function: Function


class NamedFunction(Body):
    """Which function."""

    name: Name


class NamedTool(Body):
    """The tool that must be called."""

    type: Literal["function"] = "function"
    function: NamedFunction


class StreamOptions(Body):
    """How a stream ends."""

    include_usage: bool | None = None
    """Whether its last chunk holds the usage."""


class ResponseFormat(Body):
    """What the answer must follow."""

    model_config = ConfigDict(json_schema_extra={"anyOf": FORMATS})

    type: Literal["text", "json_object", "json_schema", "json", "regex", "choice", "choices"]


class ChatBody(Body):
    """POST /v1/chat/completions."""

    model_config = ConfigDict(json_schema_extra={"anyOf": ALTERNATIVES})

    model: str
    """The name under which the student is served."""
    messages: Annotated[list[Turn], Field(min_length=1, json_schema_extra=HAS_TEXT)]
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    """Comes before max_tokens."""
    stop: Stop | None = None
    seed: Seed | None = None
    n: Samples | None = None
    logprobs: bool | None = None
    top_logprobs: Alternatives | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    """False: at most one call in an answer."""
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    reasoning_effort: Annotated[str, Field(max_length=20)] | None = None
    """The teacher's; a student has none."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    modalities: list[str] | None = None
    verbosity: str | None = None
    user: str | None = None
    metadata: dict[str, object] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, object] | None = None


OLD_FORMS = {"functions": "tools", "function_call": "tool_choice"}
"""Refused, with the name of today's form."""
ONLY_THE_TEACHER = (
    "frequency_penalty", "presence_penalty", "logit_bias", "modalities", "verbosity", "reasoning_effort", "audio",
    "prediction", "web_search_options", "moderation",
)  # fmt: skip
"""A student can't do these: they go to a teacher that speaks OpenAI's API, or are refused by name."""


class CompletionBody(Body):
    """POST /v1/completions: each prompt becomes one user turn."""

    model: str
    """The name under which the student is served."""
    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=128)]
    """One text, or several that are answered side by side. Token ids are refused."""
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: Tokens | None = None
    """OpenAI's default is 16; here it is the gateway's own."""
    stop: Stop | None = None
    seed: Seed | None = None
    n: Samples | None = None
    logprobs: Alternatives | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    echo: Annotated[bool, Field(json_schema_extra={"const": False})] | None = None
    best_of: Annotated[int, Field(ge=1, le=1), WHOLE] | None = None
    suffix: Literal[""] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    user: str | None = None
