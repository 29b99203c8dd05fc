"""Conversations written out as one text: ChatML, `### Human:` (Guanaco), `Human:` and `Assistant:` (Anthropic's HH).

Only a text that begins with such a mark and has an answer in it is taken apart: else the answer would be part of the question.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class _Form(NamedTuple):
    """One way to write a conversation."""

    mark: re.Pattern[str]
    """Before a turn; group 1 is its author."""
    end: str
    """After a turn; empty where the next mark ends it."""


_FORMS = (
    _Form(re.compile(r"<\|im_start\|>(system|user|assistant)\n"), "<|im_end|>"),
    _Form(re.compile(r"(?:^|\n)?### (Human|Assistant|System|User): ?"), ""),
    _Form(re.compile(r"(?:^|\n\n)(Human|Assistant): ?"), ""),
)
_ROLES = {"human": "user"}


def written_turns(text: str) -> list[object] | None:
    """The turns of a written-out conversation; None for any other text."""
    start = text.lstrip()
    for mark, end in _FORMS:
        if mark.match(start) is None:
            continue  # nearly all texts
        found = list(mark.finditer(start))
        if len(found) < 2 or not any(one[1].lower() == "assistant" for one in found):
            continue
        turns = list[object]()
        for index, one in enumerate(found):
            stop = found[index + 1].start() if index + 1 < len(found) else len(start)
            said = start[one.end() : stop]
            said = said.partition(end)[0] if end else said
            turns.append({"role": _ROLES.get(one[1].lower(), one[1].lower()), "content": said.strip()})
        if turns[-1] == {"role": "assistant", "content": ""}:
            turns.pop()
        return turns
    return None
