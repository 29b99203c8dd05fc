"""OpenAI's chat format, {"messages": [...], "tools": [...]}, and the providers that take it with rules of their own."""

from __future__ import annotations

from distil.formats.format import Capabilities, Format, Limits
from distil.formats.obstacles import parts
from distil.formats.rows import Line, Row
from distil.formats.wire import TURN_KEYS, only_keys, read_tools, read_turns, turn_wire

_MIB = 2**20
_ROLES = frozenset({"system", "user", "assistant", "tool"})
MAX_IMAGES = 10
"""Images in one example: OpenAI's and Together's limit."""


def to_line(row: Row) -> Line:
    """The conversation as it was sent, with the answer."""
    line: Line = {"messages": [turn_wire(turn) for turn in row.messages]}
    return line | ({"tools": list(row.tools)} if row.tools else {})


def to_row(line: Line, key: str) -> Row:
    """The inverse of `to_line`, for all providers of this file. Raises ValueError."""
    only_keys(line, ("messages",), ("tools", "parallel_tool_calls"))
    turns = read_turns(line["messages"], TURN_KEYS | {"reasoning"})
    if sum(part.get("type") == "image_url" for turn in turns for part in parts(turn)) > MAX_IMAGES:
        raise ValueError(f"more than {MAX_IMAGES} images")
    return Row(turns, tools=read_tools(line.get("tools")), key=key)


def together_line(row: Row) -> Line:
    """As `to_line`; where one turn has an image, the content of every turn is a list of parts."""
    pictured = any(parts(turn) and turn.content != turn.text for turn in row.messages if _pictured(turn.content))
    line: Line = {"messages": [turn_wire(turn, embedded=pictured) for turn in row.messages]}
    return line | ({"tools": list(row.tools)} if row.tools else {})


def _pictured(content: object) -> bool:
    return isinstance(content, list) and any(part.get("type") == "image_url" for part in content)


OPENAI = Format(
    name="openai",
    title="OpenAI's chat fine-tuning, and all that read its format",
    holds=Capabilities(roles=_ROLES, system="anywhere", weight=True, tools=True, images="any", names=True),
    limits=Limits(
        min_rows=10,
        max_bytes=512 * _MIB,
        max_tokens=65_536,
        source="developers.openai.com/api/docs/guides/supervised-fine-tuning",
    ),
    to_line=to_line,
    to_row=to_row,
)
AZURE = Format(
    name="azure",
    title="Azure OpenAI (Microsoft Foundry)",
    holds=OPENAI.holds,
    limits=Limits(
        min_rows=10,
        max_bytes=512 * _MIB,
        max_tokens=65_536,
        source="learn.microsoft.com/azure/foundry/openai/how-to/fine-tuning",
    ),
    to_line=to_line,
    to_row=to_row,
    bom=True,
)
TOGETHER = Format(
    name="together",
    title="Together AI",
    holds=Capabilities(roles=_ROLES, turns="alternating", weight=True, tools=True, images="embedded", reasoning=True),
    limits=Limits(
        max_bytes=int(50.1 * 2**30), source="docs.together.ai/docs/fine-tuning/data-preparation; together 3.1.1"
    ),
    to_line=together_line,
    to_row=to_row,
)
FIREWORKS = Format(
    name="fireworks",
    title="Fireworks AI",
    holds=Capabilities(roles=_ROLES, weight=True, tools=True, images="embedded", reasoning=True),
    limits=Limits(min_rows=3, max_rows=3_000_000, source="docs.fireworks.ai/fine-tuning/fine-tuning-models"),
    to_line=to_line,
    to_row=to_row,
)
