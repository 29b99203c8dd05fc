"""Prompt baking (context distillation): the student sees a short text, or none, in place of the instructions its teacher had.

`student.prompt` is written into the student's chat template, so that training, evaluation and every server show the student
the same short prompt while clients go on to send the long one. The teacher keeps the long one; see `Tokenized.for_teacher`.
Snell, Klein, Zhong: Learning by Distilling Context (2022).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

from distil.errors import UserError
from distil.records import Message
from distil.text import INSTRUCTIONS, one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

MOST_INSTRUCTIONS = 3
"""Different instructions in the data: with more, they hold what the answers are about, such as documents."""
_BLOCK = re.compile(r"\{# distil prompt (\{.*?\}) #\}.*?\{# distil: end of the prompt #\}\n?", re.DOTALL)


def setting(prompt: str) -> str | None:
    """`student.prompt` as the text that the student sees: None = what the teacher sees, "" = none."""
    return {"same": None, "none": ""}.get(prompt, prompt)


def baked_prompt(template: str) -> str | None:
    """The text that a chat template shows in place of the instructions; "" = none, None = it shows what it is given."""
    found = _BLOCK.search(template)
    return None if found is None else str(json.loads(found.group(1))["text"])


def block_of(template: str) -> str:
    """The Jinja that replaces the instructions in a chat template; "" where there is none."""
    found = _BLOCK.search(template)
    return found.group() if found else ""


def without_block(template: str) -> str:
    """A chat template as it was before `with_block`: as the teacher's instructions are shown."""
    return _BLOCK.sub("", template)


def show_whole_prompt(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Takes a baked prompt out of a tokenizer's template; returns whether there was one."""
    template = tokenizer.chat_template
    if not isinstance(template, str) or baked_prompt(template) is None:
        return False
    tokenizer.chat_template = without_block(template)
    return True


def block(text: str, *, in_parts: bool) -> str:
    """The Jinja that replaces the instructions by a text, to put before a template. in_parts: it wants lists of parts."""
    content: object = [{"type": "text", "text": text}] if in_parts else text
    first = json.dumps([{"role": "system", "content": content}] if text else [], ensure_ascii=False)
    roles = json.dumps(INSTRUCTIONS)
    # llama.cpp puts a system turn whose text no template reads into the user turn: so the text that is hidden is read.
    rest = (
        "{% for turn in messages %}{% if not (baked.head and turn.role in " + roles + ") %}"
        "{% set baked.head = false %}{% set baked.rest = baked.rest + [turn] %}"
        '{% else %}{% set baked.hidden = turn.content ~ "" %}{% endif %}{% endfor %}'
    )
    head = "{# distil prompt " + json.dumps({"text": text}).replace("#", "\\u0023") + " #}"
    return (
        head
        + "{% set baked = namespace(rest=[], head=true) %}"
        + rest
        + "{% set messages = "
        + first
        + " + baked.rest %}"
        "{# distil: end of the prompt #}\n"
    )


def as_student_sees(chat: Sequence[Message], text: str | None) -> list[Message]:
    """A conversation with the instructions at its start replaced; text: as `setting` returns it. Twice is the same as once."""
    return replaced(chat, text, lambda turn: turn.role, lambda shown: Message(role="system", content=shown))


def replaced(chat: Sequence[T], text: str | None, role: Callable[[T], str], system: Callable[[str], T]) -> list[T]:
    """`as_student_sees` for turns of any type; system: makes one of the text."""
    if text is None:
        return list(chat)
    rest = chat[count_instructions(map(role, chat)) :]
    return [*([system(text)] if text else []), *rest]


def count_instructions(roles: Iterable[str]) -> int:
    """How many turns at the start of a conversation are instructions."""
    return sum(1 for _ in takewhile(lambda role: role in INSTRUCTIONS, roles))


def require_common_instructions(chats: Iterable[Sequence[Message]]) -> None:
    """Raises UserError where the instructions that `student.prompt` hides differ from row to row: what differs would be lost."""
    texts = Counter(
        "\n".join(turn.text for turn in chat[: count_instructions(turn.role for turn in chat)]) for chat in chats
    )
    if len(texts) > MOST_INSTRUCTIONS:
        one, other = (one_line(text, 60) for text, _ in texts.most_common(2))
        raise UserError(
            f"student.prompt replaces the instructions, and the training rows have {len(texts):,} different ones (such as "
            f"{one!r} and {other!r}). What differs would be hidden from the student. Put what changes from request to request "
            "into the user turn, or set student.prompt: same."
        )
