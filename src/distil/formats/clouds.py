"""Amazon Bedrock's and Google's formats, with the instructions in a field of their own."""

from __future__ import annotations

from collections.abc import Sequence

from distil.formats.format import Capabilities, Format, Limits
from distil.formats.rows import Line, Row
from distil.formats.wire import only_keys, text_of
from distil.records import Message, Role
from distil.text import is_instruction, spoken_turns

SCHEMA_VERSION = "bedrock-conversation-2024"
RESERVED = (
    *("System:", "SYSTEM:", "User:", "USER:", "Bot:", "BOT:", "Assistant:", "ASSISTANT:", "Thought:"),
    *("[EOS]", "<image>", "<video>", "<unk>"),
)
"""Amazon Nova's job fails where a text holds one of these (nova_ft_dataset_validator.py in aws-samples/amazon-nova-samples)."""


def bedrock_line(row: Row) -> Line:
    """{"schemaVersion", "system": [{"text"}], "messages": [{"role", "content": [{"text"}]}]}."""
    system = [{"text": turn.text} for turn in row.messages if is_instruction(turn)]
    turns = [{"role": turn.role, "content": [{"text": turn.text}]} for turn in spoken_turns(row.messages)]
    line: Line = {"schemaVersion": SCHEMA_VERSION}
    return line | ({"system": system} if system else {}) | {"messages": turns}


def bedrock_row(line: Line, key: str) -> Row:
    """The inverse of `bedrock_line`. Raises ValueError, also on a word that Bedrock reserves."""
    only_keys(line, ("schemaVersion", "messages"), ("system",))
    messages = [Message(role="system", content=text) for text in _texts(line.get("system", []), "system")]
    turns = line["messages"]
    if not isinstance(turns, list):
        raise ValueError("no list of messages")
    for turn in turns:
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in ("user", "assistant"):
            raise ValueError(f"a turn of {role!r} (expected user or assistant)")
        messages.append(Message(role=_role(role), content="".join(_texts(turn.get("content"), "content"))))
    if any(word in message.text for message in messages for word in RESERVED):
        raise ValueError(f"a word that Bedrock reserves ({' '.join(RESERVED)})")
    return Row(messages, key=key)


def gemini_line(row: Row) -> Line:
    """{"systemInstruction": {"parts": [{"text"}]}, "contents": [{"role": "user" | "model", "parts": [{"text"}]}]}."""
    system = [{"text": turn.text} for turn in row.messages if is_instruction(turn)]
    names = {"user": "user", "assistant": "model"}
    contents = [{"role": names[turn.role], "parts": [{"text": turn.text}]} for turn in spoken_turns(row.messages)]
    line: Line = {"systemInstruction": {"role": "system", "parts": system}} if system else {}
    return line | {"contents": contents}


def gemini_row(line: Line, key: str) -> Row:
    """The inverse of `gemini_line`. Raises ValueError."""
    only_keys(line, ("contents",), ("systemInstruction",))
    instruction = line.get("systemInstruction", {"parts": []})
    if not isinstance(instruction, dict):
        raise ValueError("systemInstruction is not an object")
    messages = [Message(role="system", content=text) for text in _texts(instruction.get("parts"), "systemInstruction")]
    contents = line["contents"]
    if not isinstance(contents, list):
        raise ValueError("contents is not a list")
    for turn in contents:
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in ("user", "model"):
            raise ValueError(f"a turn of {role!r} (expected user or model)")
        messages.append(Message(role=_role(role), content="".join(_texts(turn.get("parts"), "parts"))))
    return Row(messages, key=key)


def _role(name: object) -> Role:
    return "user" if name == "user" else "assistant"


def _texts(value: object, name: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(part, dict) and set(part) == {"text"} for part in value):
        raise ValueError(f"{name} is not a list of texts")
    return [text_of(part["text"], name) for part in value]


BEDROCK = Format(
    name="bedrock",
    title="Amazon Bedrock (Nova)",
    holds=Capabilities(system="apart", turns="alternating"),
    limits=Limits(
        min_rows=8,  # 200 for Nova 2 Lite
        max_rows=20_000,
        source="docs.aws.amazon.com/nova/latest/userguide; nova_ft_dataset_validator.py of aws-samples/amazon-nova-samples",
    ),
    to_line=bedrock_line,
    to_row=bedrock_row,
)
GEMINI = Format(
    name="gemini",
    title="Gemini on Google Cloud",
    holds=Capabilities(system="apart", turns="alternating"),
    limits=Limits(
        max_rows=1_000_000,
        max_validation_rows=5_000,
        max_bytes=2**30,
        max_tokens=131_072,
        source="cloud.google.com/vertex-ai/generative-ai/docs/models/tune-text-models-supervised",
    ),
    to_line=gemini_line,
    to_row=gemini_row,
)
