"""Why a format can't hold a row: what the row has, against the format's capabilities. The only place that decides it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distil.formats.format import Capabilities
from distil.formats.rows import Row
from distil.records import Message
from distil.text import is_instruction, same_answer, spoken_turns

EMPTY_ANSWER = "the answer is empty"
ONLY_CONTEXT = "the answer has weight 0, so nothing is trained on"


def obstacle(row: Row, holds: Capabilities) -> str | None:
    """The first thing that the format has no place for, or None. The words are the same for the same cause."""
    return next(obstacles(row, holds), None)


def obstacles(row: Row, holds: Capabilities) -> Iterator[str]:
    """All of them, the most telling first."""
    turns = [*row.messages, row.rejected] if row.rejected else row.messages
    yield from _unreadable(row)
    for turn in turns:
        yield from _of_turn(turn, holds)
    if row.tools and not holds.tools:
        yield "tool definitions"
    yield from _of_instructions(row.messages, holds)
    yield from _of_order(row.messages, holds)
    yield from _of_weights(row.messages, holds)


def _unreadable(row: Row) -> Iterator[str]:
    if not row.messages or row.answer.role != "assistant":
        yield "the last turn is not the assistant's"
        return
    if _empty(row.answer) or (row.rejected is not None and _empty(row.rejected)):
        yield EMPTY_ANSWER
    if row.answer.weight == 0:
        yield ONLY_CONTEXT
    if row.rejected is not None and _same(row.answer, row.rejected):
        yield "both answers are the same"
    if not any(turn.role in ("user", "tool") for turn in row.messages):
        yield "no user turn"
    if any(_empty(turn) for turn in row.asked):
        yield "an empty turn"


def _of_turn(turn: Message, holds: Capabilities) -> Iterator[str]:
    if (turn.tool_calls or turn.role == "tool") and not holds.tools:
        yield "tool calls"
    elif turn.role not in holds.roles:
        yield f"a {turn.role} turn"
    if turn.reasoning_content and not holds.reasoning:
        yield "thinking (reasoning_content)"
    if turn.name is not None and not holds.names:
        yield "an author's name"
    for part in parts(turn):
        kind = part.get("type")
        if kind == "image_url":
            yield from _of_image(turn, part, holds)
        elif kind != "text":
            yield f"a content part of type {kind!r}"


def _of_image(turn: Message, part: dict[str, object], holds: Capabilities) -> Iterator[str]:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if holds.images == "none":
        yield "an image"
    elif turn.role != "user":
        yield "an image outside the user's turns"
    elif holds.images == "embedded" and not str(url).startswith("data:"):
        yield "an image by its address (only embedded ones are taken)"


def _of_instructions(messages: Sequence[Message], holds: Capabilities) -> Iterator[str]:
    places = [place for place, turn in enumerate(messages) if is_instruction(turn)]
    if holds.system == "anywhere" or not places:
        return
    if places != list(range(len(places))):
        yield "a system turn inside the conversation"
    elif len(places) > 1:
        yield "several system turns"


def _of_order(messages: Sequence[Message], holds: Capabilities) -> Iterator[str]:
    spoken = [turn for turn in spoken_turns(messages) if turn.role != "tool"]
    if holds.turns == "one" and len(spoken) != 2:
        yield "several turns"
    if holds.turns == "any":
        return
    for place, turn in enumerate(spoken):
        calls = place > 0 and bool(spoken[place - 1].tool_calls)  # call, results, answer: the assistant speaks twice
        if turn.role == "assistant" and calls:
            continue
        expected = "user" if place == 0 or spoken[place - 1].role == "assistant" else "assistant"
        if turn.role != expected:
            yield "turns that do not alternate between user and assistant"
            return


def _of_weights(messages: Sequence[Message], holds: Capabilities) -> Iterator[str]:
    earlier = [turn for turn in messages[:-1] if turn.role == "assistant"]
    if holds.trained == "pair":
        return  # what comes before the two answers is context for everybody
    if holds.trained == "last":
        if any(turn.weight != 0 for turn in earlier):
            yield "earlier answers that are trained on (only the last one would be)"
    elif not holds.weight and any(turn.weight == 0 for turn in earlier):
        yield "an earlier answer that is context only (weight 0)"


def parts(turn: Message) -> list[dict[str, object]]:
    """The content parts of a turn; none when its content is a text."""
    return list(turn.content) if isinstance(turn.content, list) else []


def _same(one: Message, other: Message) -> bool:
    return same_answer(one.text, other.text, one.tool_calls, other.tool_calls)


def _empty(turn: Message) -> bool:
    return not (turn.text.strip() or turn.tool_calls or any(part.get("type") != "text" for part in parts(turn)))
