"""What is exported: a conversation that ends in an answer, and for preference data the answer that lost to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.records import Example, Message

Line = dict[str, object]
"""One JSON object of an exported file."""
Tool = Mapping[str, object]
"""A tool definition, in OpenAI's shape."""


class Row(NamedTuple):
    """One example, or one pair of answers, on its way into a format."""

    messages: Sequence[Message]
    """The conversation with the answer (the preferred one) as its last turn."""
    tools: Sequence[Tool] = ()
    """Tool definitions; empty = none."""
    rejected: Message | None = None
    """The answer that is worse than the last turn; None where the data has no preference."""
    key: str = ""
    """The prompt's id, to name a row that is left out; in a file, its line."""
    about: Mapping[str, str] = {}
    """What only a table with columns of its own can hold: teacher, reference, group, ids and the user's further columns."""
    request: Sequence[str] = ()
    """Parameters of the request that no training file holds (tool_choice, response_format): named when they are dropped."""

    @classmethod
    def of(cls, example: Example, rejected: Message | None = None) -> Row:
        """An example as a row; with `rejected`, the pair of its answer and that one."""
        about = {
            "prompt_id": example.prompt_id,
            "answer_id": example.answer_id,
            "teacher": example.teacher,
            "reference": example.reference,
            "group": example.group,
        }
        sent = [name for name in ("tool_choice", "response_format") if getattr(example, name) is not None]
        return cls(
            messages=example.messages,
            tools=example.tools or (),
            rejected=rejected,
            key=example.prompt_id,
            about={name: value for name, value in about.items() if value is not None},
            request=sent,
        )

    @property
    def asked(self) -> Sequence[Message]:
        """The conversation without the last (answer) turn."""
        return self.messages[:-1]

    @property
    def answer(self) -> Message:
        """The last turn."""
        return self.messages[-1]


class LeftOut(NamedTuple):
    """A row that a format can't hold."""

    key: str
    """The row's key: a prompt id, or a line."""
    reason: str
    """What it has that the format has no place for; the same words for the same cause."""
