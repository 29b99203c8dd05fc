"""Turns one row of a source into a Prompt, or raises an error that names place and field.

Keys that look like a misspelling of a known one are refused; other extra columns are allowed, since real tables have ids,
dates and old answers: short ones are kept as the prompt's `fields`, the others are counted as not used.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from distil.errors import UserError
from distil.ids import canonical_json
from distil.prompts.config import Attachments
from distil.records import Message, Prompt, Split
from distil.runs.jsonl import describe
from distil.sources.columns import ANSWERS, PROMPTS
from distil.sources.parts import attachments
from distil.sources.rows import EXPECTED, Exchange, nothing_asked, read_row, reference_of
from distil.sources.values import Row, by_name, described, is_absent, plain_name
from distil.text import is_instruction, spoken_turns

KNOWN = (
    "prompt",
    "messages",
    "reference",
    "group",
    "split",
    "tools",
    "tool_choice",
    "response_format",
    "question",
    "category",
)
LABELS = ("category", "label", "intent")
"""Columns that are the reference where no answer is there (a task of classification)."""
MEDIA = ("image", "images", "audio", "audios", "video", "videos")
"""Columns that hold what a student of text can't read."""
MAX_FIELD = 100
"""Characters of a further column's value that is kept: labels and ids, not texts."""
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# minimum similarity of a misspelling to a known key: promt, mesages, refernce; not id, source
_MISSPELLED = 0.8


class Loaded(NamedTuple):
    """What a row gave."""

    prompt: Prompt | None
    """None: the row was passed over, and `skipped` says why."""
    kept: tuple[str, ...] = ()
    """Further columns that are kept as the prompt's `fields`."""
    unused: tuple[str, ...] = ()
    """Further columns that are not used."""
    left_out: tuple[str, ...] = ()
    """Parts of the row that have no place in a prompt."""
    skipped: str | None = None


def to_prompt(
    row: Row,
    system: str | None,
    media: Attachments = "refuse",
    response_format: Mapping[str, object] | None = None,
) -> Loaded:
    """The prompt of a row. Raises UserError that names place and field.

    system and response_format are for a row that has none of its own.
    The last turn of a conversation becomes the reference if it is the assistant's (OpenAI's fine-tuning format).
    """
    exchange = read_row(row)
    if exchange.skip is not None:
        return Loaded(None, skipped=exchange.skip)
    if not exchange.logged:
        _refuse_misspelled(row)
    if exchange.asked is None or not exchange.asked.turns:
        if exchange.logged:
            return Loaded(None, skipped="calls without messages")
        raise _no_question(row, exchange)
    messages = exchange.messages()
    found = _attached(row, messages)
    if found is not None and media != "keep":
        if media == "leave_out":
            return Loaded(None, skipped=f"rows with {found[1]}")
        raise UserError(
            f"{row.where}: field {found[0]!r} holds {found[1]}, and a student reads text only. Set prompts.attachments to "
            "leave_out to load the rows without, or to keep to send them to the teacher all the same."
        )
    while messages and messages[-1].role == "assistant":  # an answer that the model was to go on with
        messages.pop()
        exchange.left_out["beginnings of answers"] += 1
    if not any(m.text.strip() or isinstance(m.content, list) for m in spoken_turns(messages)):
        if exchange.logged:
            return Loaded(None, skipped="calls without a text of the user")
        raise UserError(f"{row.where}: field 'messages': found no turn with text before the answer. {EXPECTED}")
    if system and not is_instruction(messages[0]):
        messages = [Message(role="system", content=system), *messages]
    if exchange.asked.response_format is None and response_format is not None:
        exchange = exchange._replace(asked=exchange.asked._replace(response_format=dict(response_format)))
    return _made(row, exchange, messages, found if media == "keep" else None)


def _made(row: Row, exchange: Exchange, messages: list[Message], media: tuple[str, str] | None) -> Loaded:
    names = by_name(exchange.own)
    columns = by_name(row.fields)
    labels = tuple(
        row.fields[columns[name]] for name in LABELS if name in columns and not is_absent(row.fields[columns[name]])
    )
    reference = _text(row, "reference", reference_of(exchange, labels))
    as_reference = {
        key for key in exchange.unused if plain_name(key) in LABELS and _text(row, key, row.fields[key]) == reference
    }
    further = [key for key in exchange.unused if key not in as_reference and not is_absent(row.fields[key])]
    fields = {} if exchange.logged else _further_fields(row, (key for key in further if not _is_text(key)))
    asked = exchange.asked
    assert asked is not None
    if asked.tool_choice is not None and not asked.tools:
        raise UserError(
            f"{row.where}: field 'tool_choice' without 'tools'. Add the tools, or delete it, and run again."
        )
    try:
        prompt = Prompt.make(
            messages,
            reference=reference,
            group=_text(row, "group", exchange.own[names["group"]]) if "group" in names else None,
            split=_split(row, exchange.own[names["split"]]) if "split" in names else None,
            tools=asked.tools,
            tool_choice=asked.tool_choice,
            response_format=asked.response_format,
            fields=fields,
        )
    except ValidationError as error:
        raise UserError(f"{row.where}: {describe(error)}. {EXPECTED}") from None
    left_out = [*exchange.left_out.elements()]
    if any("\ufffd" in message.text for message in messages):
        left_out.append("characters that could not be read (U+FFFD)")
    unused = [key for key in further if key not in fields]
    if media is not None:
        left_out.append(f"{media[1]}, sent to the teacher only")
    return Loaded(prompt, tuple(fields), tuple(unused), tuple(dict.fromkeys(left_out)))


def _no_question(row: Row, exchange: Exchange) -> UserError:
    null = next(
        (key for key in row.fields if plain_name(key) in ("prompt", "messages", "text") and is_absent(row.fields[key])),
        None,
    )
    if null is not None and exchange.problem is not None and "found no prompt" in exchange.problem:
        return UserError(f"{row.where}: field {null!r}: found {described(None)}, expected text. {EXPECTED}")
    return nothing_asked(exchange, row.fields)


def _attached(row: Row, messages: Iterable[Message]) -> tuple[str, str] | None:
    """(field, what) of the first attachment: `('messages.0', 'an image')`."""
    for index, message in enumerate(messages):
        for kind in attachments(message.content):
            return f"messages.{index}", f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    for name, key in by_name(row.fields).items():
        value = row.fields[key]
        if name in MEDIA and value and not isinstance(value, (bool, int, float)):
            kind = name.rstrip("s")
            return key, f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    return None


def _refuse_misspelled(row: Row) -> None:
    names = by_name(row.fields)
    for name, key in names.items():
        meant = _meant(name)
        if meant is not None and meant not in names:
            raise UserError(f"{row.where}: unknown key {key!r}. Did you mean {meant!r}? Rename it and run again.")


@functools.lru_cache(maxsize=4_096)
def _meant(name: str) -> str | None:
    """The known key that a name looks like; None for a known one, and for any other column."""
    if name in KNOWN or any(part in KNOWN for part in name.split("_")):  # prompt_id, label_count: other columns
        return None
    return next(iter(difflib.get_close_matches(name, KNOWN, n=1, cutoff=_MISSPELLED)), None)


def _is_text(key: str) -> bool:
    """Whether a column is another question or answer, which nobody slices an evaluation by. `prompt (2)` is one."""
    return re.sub(r"_\d+$", "", plain_name(key)) in (*PROMPTS, *ANSWERS)


def _further_fields(row: Row, keys: Iterable[str]) -> dict[str, str]:
    """The short plain values of other columns, as text: what an evaluation can be sliced by."""
    values = {key: row.fields[key] for key in keys if isinstance(row.fields[key], (str, int, float, bool))}
    texts = {key: (json.dumps(v) if isinstance(v, bool) else str(v)).strip() for key, v in values.items()}
    return {key: text for key, text in texts.items() if 0 < len(text) <= MAX_FIELD}


def _text(row: Row, field: str, value: object) -> str | None:
    """A text, or the canonical JSON of an object or list (a reference may be written as an object)."""
    if is_absent(value) or value == "":
        return None
    if isinstance(value, str):
        return value
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        raise UserError(f"{row.where}: field {field!r}: found {described(value)}, expected text or JSON.") from None


def _split(row: Row, value: object) -> Split | None:
    if value is None or value == "":
        return None
    for split in _SPLITS:
        if value == split:
            return split
    raise UserError(f"{row.where}: field 'split': found {value!r}, expected one of {', '.join(_SPLITS)} or nothing.")
