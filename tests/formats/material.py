"""Rows of every kind that formats disagree about."""

from __future__ import annotations

from distil.formats.rows import Row
from distil.records import Message

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def turn(role: str, content: object = None, **fields: object) -> Message:
    """One turn."""
    return Message.model_validate({"role": role, "content": content, **fields})


def row(*turns: Message, **fields: object) -> Row:
    """A row of these turns."""
    return Row(turns, **fields)  # type: ignore[arg-type]


ASKED, ANSWERED = turn("user", "What is 2+2?"), turn("assistant", "4")
PLAIN = row(turn("system", "Be brief."), ASKED, ANSWERED, key="plain")
MANY = row(ASKED, ANSWERED, turn("user", "And 3+3?"), turn("assistant", "6"), key="many")
CONTEXT = row(ASKED, turn("assistant", "5", weight=0), turn("user", "Wrong."), ANSWERED, key="context")
DEVELOPER = row(turn("developer", "Be brief."), ASKED, ANSWERED, key="developer")
LATE_SYSTEM = row(
    ASKED, ANSWERED, turn("system", "Now in French."), turn("user", "3+3?"), turn("assistant", "six"), key="late"
)
CALLING = row(ASKED, turn("assistant", tool_calls=[CALL]), tools=[TOOL], key="calling")
CALLED = row(
    turn("user", "Weather in Bern?"),
    turn("assistant", tool_calls=[CALL]),
    turn("tool", "sunny", tool_call_id="call_1"),
    turn("assistant", "Sunny."),
    tools=[TOOL],
    key="called",
)
ADDRESS = row(turn("user", [{"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}]), ANSWERED, key="address")
EMBEDDED = row(
    turn("user", [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]),
    ANSWERED,
    key="embedded",
)
THINKING = row(ASKED, turn("assistant", "4", reasoning_content="two and two"), key="thinking")
TWICE = row(ASKED, turn("user", "Please."), ANSWERED, key="twice")
NAMED = row(turn("user", "Hi", name="ann"), ANSWERED, key="named")
EMPTY = row(ASKED, turn("assistant", " "), key="empty")
ONLY_CONTEXT = row(ASKED, turn("assistant", "4", weight=0), key="only_context")
GALLERY = (
    PLAIN,
    MANY,
    CONTEXT,
    DEVELOPER,
    LATE_SYSTEM,
    CALLING,
    CALLED,
    ADDRESS,
    EMBEDDED,
    THINKING,
    TWICE,
    NAMED,
    EMPTY,
    ONLY_CONTEXT,
)
