"""The body of Anthropic's messages. openapi.json is written from these models.

Sources: the types of the anthropic package (2.14, `message_create_params`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from distil.serve.apis.anthropic_blocks import CHOICES, SAYS_SOMETHING, TURNS
from distil.serve.apis.checked import Body
from distil.serve.apis.openai_bodies import WHOLE, Name, Tokens, TopP


class Block(Body):
    """A block of a turn: text, image, tool_use, tool_result, thinking, ..."""

    type: str
    text: str | None = None


class TextBlock(Body):
    """A block of the system prompt."""

    type: Literal["text"]
    text: str


class AnthropicTurn(Body):
    """One turn. Which blocks it may hold depends on its role."""

    model_config = ConfigDict(json_schema_extra={"anyOf": TURNS})

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class AnthropicTool(Body):
    """A tool of the client's own; tools that run at Anthropic are not supported."""

    type: Literal["custom"] | None = None
    name: Name
    description: str | None = None
    input_schema: dict[str, object]
    """JSON schema of the arguments."""


class AnthropicToolChoice(Body):
    """Whether and which tool must be called."""

    model_config = ConfigDict(json_schema_extra={"anyOf": CHOICES})

    type: Literal["auto", "any", "tool", "none"]
    name: Name | None = None
    """For `tool`."""
    disable_parallel_tool_use: bool | None = None


class JsonOutput(Body):
    """A schema that the answer must follow."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, object], Field(alias="schema")]


class OutputConfig(Body):
    """What the answer is like."""

    effort: Annotated[str, Field(max_length=20)] | None = None
    """The teacher's; a student has none."""
    format: JsonOutput | None = None


class Thinking(Body):
    """disabled or adaptive: the model thinks as it was trained to. Other types are refused by name."""

    type: Literal["disabled", "adaptive"]


class CountBody(Body):
    """POST /v1/messages/count_tokens."""

    model: str
    """The name under which the student is served."""
    messages: Annotated[list[AnthropicTurn], Field(min_length=1, json_schema_extra=SAYS_SOMETHING)]
    system: str | list[TextBlock] | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: AnthropicToolChoice | None = None
    output_config: OutputConfig | None = None
    thinking: Thinking | None = None
    cache_control: dict[str, object] | None = None
    """This and the rest: accepted; they ask nothing that changes an answer."""
    diagnostics: dict[str, object] | None = None
    inference_geo: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None


class MessagesBody(CountBody):
    """POST /v1/messages."""

    max_tokens: Tokens
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] | None = None
    """For a teacher whose server takes it; a student has none."""
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=64)] | None = None
    stream: bool | None = None
    metadata: dict[str, object] | None = None
    service_tier: str | None = None
