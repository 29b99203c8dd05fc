"""Turns one row of a source into a Prompt, or raises an error that names place and field.

Keys that look like a misspelling of a known one are refused; other extra columns are allowed, since real tables have ids,
dates and old answers; short ones are kept as the prompt's `fields`.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Sequence

from pydantic import ValidationError

from distil.errors import UserError
from distil.ids import canonical_json
from distil.prompts.sources import Row
from distil.records import Message, Prompt, Split
from distil.runs.jsonl import describe
from distil.text import is_instruction, spoken_turns

ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "text", "question"),
    "reference": ("reference", "category", "label"),
}
"""What a column may be called; the first name wins when several are there."""
REQUEST_KEYS = ("messages", "tools", "tool_choice", "response_format")
KNOWN = (*REQUEST_KEYS, "group", "split", *itertools.chain.from_iterable(ALIASES.values()))
MAX_FIELD = 100
"""Characters of a further column's value that is kept: labels and ids, not texts."""
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# minimum similarity of a misspelling to a known key: promt, mesages, refernce; not id, source
_MISSPELLED = 0.8


def unwrap(row: Row) -> Row:
    """The request inside an OpenAI-format log line.

    `{"request": {...}, "response": {...}}` and `{"custom_id", "url", "body": {...}}` (a batch file) become the fields of
    the request. The logged response is left out: it is a model's output, not a reference.
    """
    for key in ("request", "body"):
        inner = row.fields.get(key)
        if isinstance(inner, dict):
            inner = inner["body"] if isinstance(inner.get("body"), dict) else inner
            request = {name: inner[name] for name in REQUEST_KEYS if name in inner}
            if request:
                extra = {name: row.fields[name] for name in ("reference", "group", "split") if name in row.fields}
                return Row(row.where, request | extra)
    return row


def to_prompt(row: Row, system: str | None) -> tuple[Prompt, list[str]]:
    """The prompt of a row, and its unused keys. Raises UserError that names place and field.

    The last turn of a conversation becomes the reference if it is the assistant's (OpenAI's fine-tuning format).
    """
    row = unwrap(row)
    unused = _unknown_keys(row)
    reference = _text_field(row, "reference")
    messages = _messages(row)
    if messages[-1].role == "assistant":
        reference = reference or messages[-1].text or None
        messages = messages[:-1]
    if not messages or not any(m.text.strip() or isinstance(m.content, list) for m in spoken_turns(messages)):
        raise UserError(f"{row.where}: field 'messages': found no turn with text before the answer. {_EXPECTED}")
    if system and not is_instruction(messages[0]):
        messages = [Message(role="system", content=system), *messages]
    try:
        prompt = Prompt.make(
            messages,
            reference=reference,
            group=_text_field(row, "group"),
            split=_split(row),
            tools=row.fields.get("tools") or None,
            tool_choice=_tool_choice(row),
            response_format=row.fields.get("response_format") or None,
            fields=_further_fields(row, unused),
        )
    except ValidationError as error:
        raise UserError(f"{row.where}: {describe(error)}. {_EXPECTED}") from None
    return prompt, unused


_EXPECTED = (
    'Expected {"prompt": "..."} or {"messages": [{"role": "user", "content": "..."}]}; fix that row and run again.'
)


def _messages(row: Row) -> list[Message]:
    value = row.fields.get("messages")
    if value is not None:
        if not isinstance(value, list) or not value:
            raise UserError(
                f"{row.where}: field 'messages': found {_kind(value)}, expected a list of turns. {_EXPECTED}"
            )
        turns = []
        for index, turn in enumerate(value):
            try:
                turns.append(Message.read(turn))
            except ValidationError as error:
                raise UserError(f"{row.where}: field 'messages.{index}': {describe(error)}. {_EXPECTED}") from None
        return turns
    for name in ALIASES["prompt"]:
        if name in row.fields:
            text = row.fields[name]
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"{row.where}: field {name!r}: found {_kind(text)}, expected text. {_EXPECTED}")
            return [Message(role="user", content=text)]
    keys = ", ".join(row.fields) or "nothing"
    raise UserError(f"{row.where}: found no prompt (keys: {keys}). {_EXPECTED}")


def _unknown_keys(row: Row) -> list[str]:
    unused = []
    for key in row.fields:
        if key in KNOWN:
            continue
        close = difflib.get_close_matches(key.lower(), KNOWN, n=1, cutoff=_MISSPELLED)
        derived = any(part in KNOWN for part in key.split("_"))  # prompt_id, label_count: other columns
        if close and not derived:
            raise UserError(f"{row.where}: unknown key {key!r}. Did you mean {close[0]!r}? Rename it and run again.")
        unused.append(key)
    return unused


def _tool_choice(row: Row) -> object:
    """`auto` is what a model does by itself."""
    value = row.fields.get("tool_choice") or None
    if value == "auto":
        return None
    if value == "any":
        return "required"  # Mistral's word
    if value is not None and not row.fields.get("tools"):
        raise UserError(
            f"{row.where}: field 'tool_choice' without 'tools'. Add the tools, or delete it, and run again."
        )
    return value


def _further_fields(row: Row, keys: Sequence[str]) -> dict[str, str]:
    """The short plain values of other columns, as text: what an evaluation can be sliced by."""
    values = {key: row.fields[key] for key in keys if isinstance(row.fields[key], (str, int, float, bool))}
    texts = {key: (json.dumps(v) if isinstance(v, bool) else str(v)).strip() for key, v in values.items()}
    return {key: text for key, text in texts.items() if 0 < len(text) <= MAX_FIELD}


def _text_field(row: Row, field: str) -> str | None:
    """A text, or the canonical JSON of an object or list (a reference may be written as an object)."""
    for name in ALIASES.get(field, (field,)):
        value = row.fields.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            return value
        try:
            return canonical_json(value)
        except (TypeError, ValueError):
            raise UserError(f"{row.where}: field {name!r}: found {_kind(value)}, expected text or JSON.") from None
    return None


def _split(row: Row) -> Split | None:
    value: Split | None = row.fields.get("split") or None
    if value is not None and value not in _SPLITS:
        raise UserError(
            f"{row.where}: field 'split': found {value!r}, expected one of {', '.join(_SPLITS)} or nothing."
        )
    return value


def _kind(value: object) -> str:
    if isinstance(value, (str, list, dict)) and not (value.strip() if isinstance(value, str) else value):
        return "an empty " + {"str": "text", "list": "list", "dict": "object"}[type(value).__name__]
    return "null" if value is None else f"a JSON {type(value).__name__}"
