"""A row of any source, taken apart: what was asked, what was answered, and what of the row is not used.

The one reader of prompts (`prompts.path`), logs (`collect --from-log`) and recorded answers (`recorded/FILE`, `evaluate
--answers`), so that a file means the same to all of them. Nothing is read from disk here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from distil.calls.faults import GarbledReply
from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.records import Message
from distil.runs.jsonl import describe
from distil.sources.columns import ONLY_ANSWERS, Columns, find_answer, find_question
from distil.sources.replies import Answered, read_reply
from distil.sources.requests import Asked, choice_of, read_request, tools_of
from distil.sources.traces import REPLIES, find_halves
from distil.sources.turns import LISTS, read_turns, system_text, turn_list
from distil.sources.values import Row, by_name, described, is_absent, parsed, present, unreadable
from distil.sources.written import written_turns

OWN = ("reference", "group", "split")
REQUEST_KEYS = ("tools", "functions", "tool_choice", "response_format")
TARGETS = ("ideal", "expected", "expected_output", "expectedOutput", "preferred_output")
"""What is a right answer beside a logged request."""
MADE_BY = ("model", "model_name", "generator", "teacher", "usage", "finish_reason", "output_tokens")
"""Keys that say that a model gave the answer: it is not a reference then."""
_FINAL = re.compile(r"(?:^|\n)\s*#### *(.+?)\s*$")  # GSM8K's solutions end so
EXPECTED = (
    'Expected {"prompt": "..."} or {"messages": [{"role": "user", "content": "..."}]}; fix that row and run again.'
)


class Exchange(NamedTuple):
    """A row, taken apart."""

    where: str
    asked: Asked | None
    """None where the row asks nothing."""
    answer: Answered | None
    """None where the row has no answer, or one that can't be used (`problem`)."""
    target: object
    """The answer that a person gave, as it stands: a reference. None where a model gave it, or there is none."""
    own: JsonObject
    """The row's reference, group and split, as they stand."""
    unused: tuple[str, ...]
    """Keys that are not read."""
    left_out: Counter[str]
    """What has no place in a prompt, as messages call it -> how often."""
    readings: tuple[str, ...] = ()
    """Other ways to write the last question."""
    problem: str | None = None
    """Why the answer can't be used."""
    skip: str | None = None
    """Why the row is not a call of a model: it is passed over and counted."""
    logged: bool = False
    """It comes from a log of calls."""

    def messages(self) -> list[Message]:
        """The turns that were asked. Raises UserError that names the turn and the field."""
        messages = list[Message]()
        for index, turn in enumerate(self.asked.turns if self.asked else []):
            try:
                messages.append(Message.read(turn))
            except ValidationError as error:
                raise UserError(f"{self.where}: field 'messages.{index}': {describe(error)}. {EXPECTED}") from None
        return messages


def read_row(row: Row) -> Exchange:
    """Never fails: what can't be read has no `asked`, `problem` or `skip` say why, or a turn is refused by `messages`."""
    fields = present(row.fields)
    names = by_name(fields)
    own = {name: fields[names[name]] for name in OWN if name in names}
    left_out: Counter[str] = Counter()
    halves = find_halves(fields)
    if halves is None:
        return _plain(row, fields, names, own, left_out)
    unused = tuple(key for key in fields if key not in halves.used and key not in {names[name] for name in own})
    if halves.skip is not None:
        return Exchange(row.where, None, None, None, own, (), left_out, skip=halves.skip, logged=True)
    asked = read_request(halves.request, left_out)
    answer, problem = _answer(halves.reply, halves.stored)
    given = next((key for key in TARGETS if key in fields), None)
    target = None if given is None else fields[given]
    unused = tuple(key for key in unused if key != given)
    if halves.example and answer is not None and target is None and not any(name in names for name in MADE_BY):
        target = answer.parsed.text
    return Exchange(row.where, asked, answer, target, own, unused, left_out, problem=problem, logged=True)


def _answer(reply: object, stored: bool = False) -> tuple[Answered | None, str | None]:
    if reply is None:
        return None, None
    try:
        return read_reply(reply, stored=stored), None
    except GarbledReply as error:
        return None, str(error)


def _plain(row: Row, fields: JsonObject, names: Mapping[str, str], own: JsonObject, left_out: Counter[str]) -> Exchange:
    """A conversation, or columns."""
    used = {names[name] for name in own} | {key for key in REQUEST_KEYS if key in fields}
    request = Asked(
        [],
        tools_of(fields.get("tools") or fields.get("functions"), left_out),
        choice_of(fields.get("tool_choice")),
        fields.get("response_format") or None,
    )
    found = _conversation(fields, names)
    if found is not None:
        key, turns = found
        asked = request._replace(turns=[*_system(fields, names, used), *read_turns(turns, left_out)])
        used.add(key)
        return _split(row, fields, names, own, left_out, asked, used, ())
    question = find_question(fields, names)
    if not isinstance(question, Columns):
        problem = question or (f"found no prompt (keys: {', '.join(row.fields) or 'nothing'})")
        return Exchange(row.where, None, None, None, own, (), left_out, problem=problem)
    used |= {names[name] for name in question.used}
    turns = [{"role": "user", "content": question.question}]
    for asked_before, answered in reversed(question.history):
        turns[:0] = [{"role": "user", "content": asked_before}, {"role": "assistant", "content": answered}]
    if question.system:
        turns.insert(0, {"role": "system", "content": question.system})
    return _split(row, fields, names, own, left_out, request._replace(turns=list(turns)), used, question.readings)


def _conversation(fields: JsonObject, names: Mapping[str, str]) -> tuple[str, object] | None:
    """(key, turns) of a row that is a conversation; also TRL's `prompt` that is one, and `chosen` without a prompt."""
    for name in LISTS:
        if name in names:
            value = fields[names[name]]
            turns = turn_list(value)
            if turns or name in ("messages", "conversations"):
                return names[name], turns or (parsed(value) if not isinstance(parsed(value), str) else [])
    for name in ("contents", "prompt", "chosen"):
        if name in names and (name != "chosen" or "prompt" not in names) and turn_list(fields[names[name]]):
            return names[name], turn_list(fields[names[name]])
    for name in ("text", "prompt", "chosen"):
        written = fields.get(names.get(name, ""))
        if (
            isinstance(written, str)
            and (name != "chosen" or "prompt" not in names)
            and (turns := written_turns(written))
        ):
            return names[name], turns
    return None


def _system(fields: JsonObject, names: Mapping[str, str], used: set[str]) -> list[object]:
    """A system prompt beside the turns: Anthropic's, Gemini's, or a column."""
    for name in (
        "system",
        "system_prompt",
        "systeminstruction",
        "system_instruction",
        "instructions",
        "system_message",
    ):
        if name in names and (text := system_text(fields[names[name]])):
            used.add(names[name])
            return [{"role": "system", "content": text}]
    return []


def _split(
    row: Row,
    fields: JsonObject,
    names: Mapping[str, str],
    own: JsonObject,
    left_out: Counter[str],
    asked: Asked,
    used: set[str],
    readings: tuple[str, ...],
) -> Exchange:
    """The answer apart from the question: the last turn, where it is the assistant's, or a column."""
    reply: object = None
    target: object = None
    last = asked.turns[-1] if asked.turns else None
    column = find_answer(fields, names, tuple(name for name, key in names.items() if key in used))
    made = any(name in names for name in MADE_BY)
    if isinstance(last, dict) and last.get("role") == "assistant":
        reply, asked = last, asked._replace(turns=asked.turns[:-1])
        target = None if made else last
        if target is not None and last.get("tool_calls"):
            left_out["tool calls of the answer"] += 1
    elif column is not None:
        reply = column[1]
        if not made and column[0] not in ONLY_ANSWERS:
            target = reply
            used.add(names[column[0]])
    beside: JsonObject = {key: fields[key] for key in ("model", "usage", "finish_reason") if key in fields}
    answer, problem = _answer({**beside, "body": reply} if beside and reply is not None else reply)
    unused = tuple(key for key in fields if key not in used)
    return Exchange(row.where, asked, answer, target, own, unused, left_out, readings, problem)


def reference_of(exchange: Exchange, labels: tuple[object, ...] = ()) -> object:
    """The reference as it stands: the row's own, the answer that a person gave, else a label. None where there is none."""
    own = exchange.own.get("reference")
    if not is_absent(own) and own != "":
        return own
    target = exchange.target
    if turn_list([target] if isinstance(target, dict) else target):
        answer = exchange.answer or _answer(target)[0]
        target = answer.parsed.text if answer else None
    if isinstance(target, str) and (final := _FINAL.search(target)):
        return final[1]
    return target if target not in (None, "") else next((label for label in labels if label not in (None, "")), None)


def is_half_of_batch(fields: Mapping[str, object]) -> str | None:
    """The name by which a line of a batch file finds its other half; None for any other row."""
    for name in ("custom_id", "key", "recordId"):
        value = fields.get(name)
        half = any(key in fields for key in ("body", "params", "request", "response", "result", "error", "modelInput"))
        if (
            isinstance(value, (str, int))
            and half
            and not ("request" in fields and "response" in fields)
            and not ("modelInput" in fields and "modelOutput" in fields)
        ):
            return str(value)
    return None


def nothing_asked(exchange: Exchange, fields: Mapping[str, object]) -> UserError:
    """The error for a row without a question."""
    if is_half_of_batch(fields) is not None and any(key in fields for key in REPLIES):
        problem = (
            "the reply of a batch without its request. Name the batch's input file as prompts, it holds the questions."
        )
        return unreadable(Row(exchange.where, {}), problem)
    if exchange.asked is not None and exchange.answer is not None:
        return unreadable(
            Row(exchange.where, {}), f"field 'messages': found no turn with text before the answer. {EXPECTED}"
        )
    problem = exchange.problem or f"found no prompt (keys: {', '.join(fields) or 'nothing'})"
    if any(kind in exchange.where for kind in (".csv", ".tsv")) and "found no prompt" in problem:
        problem += "; the first line of a table names its columns"
    if "messages" in fields and not turn_list(fields["messages"]):
        problem = f"field 'messages': found {described(fields['messages'])}, expected a list of turns"
    return unreadable(Row(exchange.where, {}), f"{problem}. {EXPECTED}")
