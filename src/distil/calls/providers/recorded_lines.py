"""The shapes in which existing answers are written down: one reader for the recorded teacher and `evaluate --answers`.

A line is one JSON object (or one row of a table) of any shape that distil/sources/rows.py reads (columns, conversations, logs), a
line of OpenAI's batch output (`custom_id` = the prompt's id), a sample of lm-evaluation-harness, or one of Distil's own answers
and predictions (`prompt_id`). Nothing is read from disk here.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from distil.calls.faults import GarbledReply
from distil.calls.providers import reading
from distil.calls.providers.base import Parsed
from distil.calls.providers.usage import tokens
from distil.calls.request import JsonObject
from distil.ids import canonical_json
from distil.records import Message, Usage
from distil.sources.replies import Answered, read_reply
from distil.sources.rows import read_row
from distil.sources.values import Row
from distil.text import parse_json, spoken_turns

PROMPT_FIELDS = ("prompt", "instruction", "question", "input", "query")
OUTPUT_FIELDS = ("output", "response", "completion", "answer", "text", "generated_text")
THINKING_FIELDS = ("reasoning", "reasoning_content", "thinking")
NAME_FIELDS = ("generator", "model", "teacher")
CHARACTERS_PER_TOKEN = 4


class Parts(NamedTuple):
    """A line, taken apart; what is not there is None."""

    prompt_id: str | None
    """Distil's id of the prompt."""
    asked: list[list[Message]]
    """What was asked: empty, or the readings that are possible, the most exact first (lm-eval gives two)."""
    answer: Any
    """The answer as it stands: a text, content parts, a message or a reply body; None where there is none."""
    generator: str | None
    """Who answered, where the line says so."""


def split_line(line: JsonObject) -> Parts:
    """Raises pydantic.ValidationError on invalid messages."""
    generator = next((line[name] for name in NAME_FIELDS if isinstance(line.get(name), str)), None)
    prompt_id = line.get("prompt_id") or line.get("id")
    if isinstance(prompt_id, str) and ("prompt_id" in line or prompt_id.startswith("prompt_")):
        return Parts(prompt_id, [], _own_answer(line), generator)
    if isinstance(line.get("custom_id"), str):
        return Parts(line["custom_id"], [], _batch_answer(line), None)
    if isinstance(line.get("doc"), dict) and "resps" in line:
        prompt_id, asked, answer = _lm_eval(line)
        return Parts(prompt_id, asked, answer, generator)
    exchange = read_row(Row("", line))
    turns = exchange.asked.turns if exchange.asked else []
    asked = [[Message.read(turn) for turn in turns]] if turns else []
    for text in exchange.readings:
        asked.append([*asked[0][:-1], asked[0][-1].model_copy(update={"content": text})])
    if exchange.answer is not None:
        return Parts(None, asked, _with_thinking(exchange.answer, line), generator)
    problem = exchange.problem or ("the answer is empty" if _is_empty(line) else None)
    return Parts(None, asked, problem and Broken(problem), generator)


def _with_thinking(answer: Answered, line: JsonObject) -> Answered:
    """A row {"prompt", "output", "reasoning"} has the thinking in a column of its own."""
    column = next((line[name] for name in THINKING_FIELDS if isinstance(line.get(name), str)), None)
    if not column or answer.parsed.reasoning:
        return answer
    return answer._replace(parsed=answer.parsed.model_copy(update={"reasoning": column}))


def _is_empty(line: JsonObject) -> bool:
    """Whether there is a place for an answer, with nothing in it: one such row says nothing about the others."""
    named = [line[name] for name in OUTPUT_FIELDS if name in line]
    turns = line.get("messages")
    if isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
        named.append(turns[-1].get("content"))
    return bool(named) and all(value is None or (isinstance(value, str) and not value.strip()) for value in named)


class Broken(NamedTuple):
    """An answer that can't be used."""

    why: str


def _own_answer(line: JsonObject) -> Any:
    """Of a line with `prompt_id`: Distil's own records carry the text and more in the line itself."""
    if isinstance(line.get("text"), str) or line.get("tool_calls"):
        names = ("tool_calls", "reasoning", "finish_reason")
        return {
            "role": "assistant",
            "content": line.get("text"),
            **{name: line[name] for name in names if line.get(name)},
        }
    return next((line[name] for name in OUTPUT_FIELDS if line.get(name) is not None), None)


def _batch_answer(line: JsonObject) -> Any:
    """The reply of a batch output line; None where the request failed."""
    response = line.get("response")
    if not isinstance(response, dict) or line.get("error") or response.get("status_code", 200) != 200:
        return None
    return response.get("body", response)


def _lm_eval(line: JsonObject) -> tuple[str | None, list[list[Message]], Any]:
    """(prompt id, readings, answer): the text sent to the model is under `arguments`, the task's own row under `doc`."""
    doc = line["doc"]
    metadata = doc.get("metadata") if isinstance(doc.get("metadata"), dict) else {}  # a line of Distil's own test.jsonl
    prompt_id = doc.get("prompt_id") or metadata.get("prompt_id")
    arguments = line.get("arguments")
    first: Any = None
    if isinstance(arguments, dict) and arguments:
        first = next(iter(arguments.values()))
        first = first.get("arg_0") if isinstance(first, dict) else first
    elif isinstance(arguments, list) and arguments and isinstance(arguments[0], list) and arguments[0]:
        first = arguments[0][0]
    turns = parse_json(first) if isinstance(first, str) else None
    first = turns if isinstance(turns, list) and turns and isinstance(turns[0], dict) else first
    asked = [
        *_asked(first),
        *_asked(_before_answer(doc.get("messages"))),
        *_asked(next((doc[name] for name in PROMPT_FIELDS if doc.get(name)), None)),
    ]
    answer = line["resps"]
    while isinstance(answer, list) and answer:
        answer = answer[0]
    return prompt_id if isinstance(prompt_id, str) else None, asked, answer if isinstance(answer, str) else None


def _before_answer(turns: object) -> object:
    """A conversation without the assistant's last turn, which is the target and not the answer."""
    if isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
        return turns[:-1]
    return turns


def _asked(turns: Any) -> list[list[Message]]:
    if isinstance(turns, str) and turns.strip():
        return [[Message(role="user", content=turns)]]
    if isinstance(turns, list) and turns:
        return [[Message.model_validate(turn) for turn in turns]]
    return []


def message_keys(messages: list[Message]) -> Iterator[bytes]:
    """What a conversation is found by, the most exact first: all its turns, its turns without the operator's."""
    for kind, turns in (("all", messages), ("spoken", spoken_turns(messages))):
        yield digest(kind, [[turn.role, turn.text.strip()] for turn in turns])


def digest(kind: str, value: Any) -> bytes:
    """A short key for an index of many lines."""
    return blake2b(canonical_json([kind, value]).encode("utf-8", "surrogatepass"), digest_size=10).digest()


def parse_recorded(line: JsonObject, answer: object, messages: list[Message]) -> Parsed:
    """The reply of a line whose `answer` split_line found. Tokens are estimated where the line has no usage.

    messages: what was asked. Raises GarbledReply when a reply body holds no message.
    """
    if isinstance(answer, Broken):
        raise GarbledReply(answer.why)
    found = answer if isinstance(answer, Answered) else read_reply(answer)
    if found is None:  # an answer that says nothing is one all the same
        found = Answered(Parsed(text="", finish_reason="stop", usage=Usage()))
    parsed = found.parsed
    update: dict[str, object] = {}
    if isinstance(line.get("finish_reason"), str) and found.body is None:
        update["finish_reason"] = line["finish_reason"]
    logprobs = line.get("logprobs")
    if parsed.logprobs is None and isinstance(logprobs, list) and all(isinstance(token, dict) for token in logprobs):
        update["logprobs"] = logprobs
    if parsed.usage == Usage() or isinstance(line.get("usage"), dict):
        update["usage"] = _usage(line.get("usage"), messages, parsed.text)
    return reading.finished(parsed.model_copy(update=update)) if update else parsed


def _usage(usage: Any, messages: list[Message], text: str) -> Usage:
    """As recorded; estimated where the line has none."""
    if isinstance(usage, dict):
        return Usage(
            input_tokens=tokens(usage, "input_tokens") or tokens(usage, "prompt_tokens"),
            output_tokens=tokens(usage, "output_tokens") or tokens(usage, "completion_tokens"),
        )
    characters = sum(len(message.text) for message in messages)
    return Usage(
        input_tokens=-(-characters // CHARACTERS_PER_TOKEN), output_tokens=-(-len(text) // CHARACTERS_PER_TOKEN)
    )
