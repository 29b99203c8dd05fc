"""Rows of plain columns: a question, what belongs to it, and its answer, under the names that people give them.

The question is the first of PROMPTS that is there. To an instruction or a question belongs its `input` (Alpaca) or `context`
(Dolly, SQuAD), one line below; `system` and `history` become turns. What else is there is for the caller to name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from distil.sources.values import described, is_absent, parsed

PROMPTS = (
    *(
        "prompt",
        "instruction",
        "question",
        "query",
        "input",
        "text",
        "user_prompt",
        "user_input",
        "user_message",
        "user_query",
        "user",
    ),
    *("problem", "human", "inputs", "content", "message", "q"),
)
"""What a column with the question may be called; the first one counts."""
BELONGS = {"instruction": ("input", "context"), "question": ("context",)}
"""Question -> the columns that are part of it."""
SYSTEM = ("system", "system_prompt", "system_message")
ANSWERS = (
    *(
        "output",
        "response",
        "completion",
        "answer",
        "generated_text",
        "chosen",
        "target",
        "expected_output",
        "expected",
        "ideal",
    ),
    *("solution", "gold", "assistant", "gpt", "answers", "a", "text"),
)
"""What a column with the answer may be called."""
ONLY_ANSWERS = ("text", "generated_text")
"""Those of them that are never taken for a reference: beside a prompt, a `text` is as often the prompt again."""


class Columns(NamedTuple):
    """A row of columns, taken apart."""

    question: str
    system: str
    history: list[tuple[str, str]]
    """Earlier questions with their answers."""
    readings: tuple[str, ...]
    """Other ways to join the question of its parts, in which somebody else may have asked it."""
    used: tuple[str, ...]
    """The plain names of the columns that are read."""


def find_question(fields: Mapping[str, object], names: Mapping[str, str]) -> Columns | str | None:
    """names: plain name -> key. None: no column has such a name. A text: what is wrong with the one that is there."""
    wrong: str | None = None
    for name in PROMPTS:
        if name not in names:
            continue
        value = fields[names[name]]
        if isinstance(value, str) and value.strip():
            return _joined(name, value, fields, names)
        wrong = wrong or f"field {names[name]!r}: found {described(value)}, expected text"
    return wrong


def _joined(name: str, question: str, fields: Mapping[str, object], names: Mapping[str, str]) -> Columns:
    used, parts = [name], [question]
    for part in BELONGS.get(name, ()):
        value = fields.get(names.get(part, ""))
        if part in names and (value is None or isinstance(value, str)):
            used.append(part)
            if value and value.strip():
                parts.append(value)
                break
    system = ""
    for key in SYSTEM:
        value = fields.get(names.get(key, ""))
        if isinstance(value, str):
            used.append(key)
            system = system or (value if value.strip() else "")
    history = _history(fields.get(names.get("history", "")))
    if "history" in names:
        used.append("history")
    others = tuple(glue.join(parts) for glue in ("\n\n", " ")) if len(parts) > 1 else ()
    return Columns("\n".join(parts), system, history, others, tuple(used))


def _history(value: object) -> list[tuple[str, str]]:
    value = parsed(value)
    pairs = value if isinstance(value, list) else []
    return [(str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]


def find_answer(
    fields: Mapping[str, object], names: Mapping[str, str], taken: tuple[str, ...]
) -> tuple[str, object] | None:
    """(plain name, value) of the column with the answer, without those in `taken`."""
    for name in ANSWERS:
        if name in names and name not in taken:
            value = _one_of(fields[names[name]]) if name == "answers" else fields[names[name]]
            if not is_absent(value) and value not in ("", [], {}):
                return name, value
    return None


def _one_of(value: object) -> object:
    """The first of several right answers (SQuAD: `{"text": [...]}`)."""
    value = value.get("text") if isinstance(value, dict) else value
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else None
