"""Preference pairs: a question, the better answer and the worse one."""

from __future__ import annotations

from distil.formats.format import Capabilities, Format, Limits
from distil.formats.rows import Line, Row
from distil.formats.trainers import TRL, trl_tools, trl_turns
from distil.formats.wire import only_keys, read_tools, read_turns, turn_wire
from distil.records import Message


def openai_line(row: Row) -> Line:
    """{"input": {"messages", "tools"}, "preferred_output": [turn], "non_preferred_output": [turn]}."""
    asked: Line = {"messages": [turn_wire(_bare(turn)) for turn in row.asked]}
    if row.tools:
        asked["tools"] = list(row.tools)
    better, worse = turn_wire(_bare(row.answer)), turn_wire(_bare(_rejected(row)))
    return {"input": asked, "preferred_output": [better], "non_preferred_output": [worse]}


def openai_row(line: Line, key: str) -> Row:
    """The inverse of `openai_line`. Raises ValueError."""
    only_keys(line, ("input", "preferred_output", "non_preferred_output"))
    asked = line["input"]
    if not isinstance(asked, dict):
        raise ValueError("input is not an object")
    only_keys(asked, ("messages",), ("tools", "parallel_tool_calls"))
    return _row(asked["messages"], line["preferred_output"], line["non_preferred_output"], asked.get("tools"), key)


def trl_line(row: Row) -> Line:
    """TRL's conversational preference with the prompt apart: {"prompt", "chosen", "rejected"}, each a list of turns."""
    line: Line = {
        "prompt": trl_turns(list(row.asked)),
        "chosen": trl_turns([row.answer]),
        "rejected": trl_turns([_rejected(row)]),
    }
    return line | trl_tools(row)


def trl_row(line: Line, key: str) -> Row:
    """The inverse of `trl_line`. Raises ValueError."""
    only_keys(line, ("prompt", "chosen", "rejected"), ("tools",))
    return _row(line["prompt"], line["chosen"], line["rejected"], line.get("tools"), key)


def _row(asked: object, better: object, worse: object, tools: object, key: str) -> Row:
    chosen, rejected = read_turns(better), read_turns(worse)
    if len(chosen) != 1 or len(rejected) != 1:
        raise ValueError("an answer is not one message")
    return Row([*read_turns(asked), *chosen], tools=read_tools(tools), rejected=rejected[0], key=key)


def _rejected(row: Row) -> Message:
    if row.rejected is None:
        raise ValueError("no answer that is worse")
    return row.rejected


def _bare(turn: Message) -> Message:
    return turn.model_copy(update={"weight": None})


TRL_PREFERENCE = Format(
    name="trl_preference",
    title="TRL's DPOTrainer",
    holds=TRL.holds.model_copy(update={"trained": "pair", "weight": True}),
    limits=TRL.limits,
    to_line=trl_line,
    to_row=trl_row,
    pairs=True,
)
OPENAI_PREFERENCE = Format(
    name="dpo",
    title="preference pairs at OpenAI, Azure, Together and Fireworks",
    holds=Capabilities(
        roles=frozenset({"system", "user", "assistant", "tool"}),
        trained="pair",
        weight=True,
        tools=True,
        turns="alternating",
    ),
    limits=Limits(
        min_rows=10,
        max_bytes=512 * 2**20,
        source="developers.openai.com/api/docs/guides/direct-preference-optimization",
    ),
    to_line=openai_line,
    to_row=openai_row,
    pairs=True,
)
