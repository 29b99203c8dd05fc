"""The request for more prompts like one, and the reading of its reply.

Self-Instruct (Wang et al. 2023), but with one parent at a time, so that the split that the children belong to is known. Pure
functions; expand.py sends the requests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from distil.calls.config import TeacherConfig
from distil.calls.request import Request
from distil.records import Message, Prompt
from distil.text import find_json, instructions, whole

PER_REQUEST = 8
MAX_LENGTH_FACTOR, MIN_LENGTH_LIMIT = 8, 400  # a child may be 8 times as long as its parent, or 400 characters
TOKENS_PER_CHARACTER = 0.5
TEMPERATURE = 1.0
_NUMBERED = re.compile(r"^\s*(?:\d+[.)]|[-*])\s+(.+?)\s*$")
_INSTRUCTIONS = (
    "You write realistic user messages that are used to train and test an assistant. You are shown one real message. Write new "
    "ones that the same kind of user could send to the same assistant, as different from it and from each other as real traffic "
    "is: other situations, details, names and numbers, other wording, length, tone and level of care. Do not answer them. "
    "Reply with nothing but a JSON array of strings."
)


def request_for(teacher: TeacherConfig, parent: Prompt, sample: int, avoid: Sequence[str] = ()) -> Request:
    """A request for PER_REQUEST messages like the parent's last turn. avoid: kinds that are common enough already."""
    system = instructions(parent.messages)
    earlier = [message for message in parent.messages[:-1] if message.role in ("user", "assistant")]
    parts = [f"The assistant's instructions:\n{system}"] if system else []
    if earlier:
        parts.append("The conversation so far:\n" + "\n".join(f"{turn.role}: {turn.text}" for turn in earlier))
    parts.append(f"The message:\n{text_of(parent)}")
    if avoid:
        parts.append(f"There are already many about: {'; '.join(avoid)}.")
    parts.append(f"Write {PER_REQUEST} new messages as a JSON array of {PER_REQUEST} strings.")
    characters = PER_REQUEST * max(200, 2 * len(text_of(parent)))
    max_tokens = max(teacher.sampling.max_tokens, round(characters * TOKENS_PER_CHARACTER))
    sampling = teacher.sampling.model_copy(
        update={"temperature": TEMPERATURE, "top_p": 1.0, "max_tokens": max_tokens, "stop": None, "top_logprobs": None}
    )
    messages = [Message(role="system", content=_INSTRUCTIONS), Message(role="user", content="\n\n".join(parts))]
    return Request(model=teacher.model, messages=messages, sampling=sampling, sample=sample, purpose="expand")


def read_reply(text: str) -> list[str]:
    """The messages in a reply: a JSON array (also fenced, also of objects with one string), or a numbered list."""
    value = find_json(text, "[")
    if isinstance(value, list):
        return [message for item in value if (message := _string(item))]
    return [line[1].strip().strip('"') for line in map(_NUMBERED.match, text.splitlines()) if line]


def acceptable(text: str, parent: Prompt) -> bool:
    """Not empty, and not far longer than its parent. Two characters say something in Chinese."""
    return (3 if text.isascii() else 2) <= len(text) <= max(MIN_LENGTH_LIMIT, MAX_LENGTH_FACTOR * len(text_of(parent)))


def child(parent: Prompt, text: str, group: str) -> Prompt:
    """The parent with another last turn and no reference; it keeps the parent's split where that is fixed."""
    messages = [*parent.messages[:-1], Message(role="user", content=text)]
    return Prompt.make(
        messages, group=group, split=parent.split, tools=parent.tools, response_format=parent.response_format
    )


def text_of(prompt: Prompt) -> str:
    """The text of the last turn: the user's."""
    return prompt.messages[-1].text


def _string(item: object) -> str:
    if isinstance(item, dict):
        strings = [value for value in item.values() if isinstance(value, str)]
        item = strings[0] if len(strings) == 1 else None
    return whole(item.strip()) if isinstance(item, str) else ""
