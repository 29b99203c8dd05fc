"""What trainers on your own machines read: TRL, and the older prompt_completion, ShareGPT and Alpaca (LLaMA-Factory, Axolotl)."""

from __future__ import annotations

import json

from distil.formats.format import Capabilities, Format, Limits
from distil.formats.rows import Line, Row
from distil.formats.wire import only_keys, read_tools, read_turns, text_of, turn_wire
from distil.records import Message
from distil.text import instructions, spoken_turns

_TEXT = Capabilities(system="apart", turns="alternating")
_TEMPLATE = frozenset({"system", "developer", "user", "assistant", "tool"})


def trl_turns(turns: list[Message]) -> list[Line]:
    """Turns for a chat template: arguments of tool calls as objects, no weights."""
    return [turn_wire(turn.model_copy(update={"weight": None}), arguments="object") for turn in turns]


def trl_tools(row: Row) -> Line:
    """The column `tools`, as JSON text: TRL parses it, and tables keep it as it is."""
    return {"tools": json.dumps(list(row.tools), ensure_ascii=False)} if row.tools else {}


def trl_line(row: Row) -> Line:
    """TRL's conversational language modeling: {"messages": [...]}, `tools` as JSON text."""
    line: Line = {"messages": trl_turns(list(row.messages))}
    return line | trl_tools(row)


def trl_row(line: Line, key: str) -> Row:
    """The inverse of `trl_line`. Raises ValueError."""
    only_keys(line, ("messages",), ("tools",))
    return Row(read_turns(line["messages"]), tools=read_tools(line.get("tools")), key=key)


def trl_pair_line(row: Row) -> Line:
    """TRL's conversational prompt-completion: the loss counts on the completion alone."""
    line: Line = {"prompt": trl_turns(list(row.asked)), "completion": trl_turns([row.answer])}
    return line | trl_tools(row)


def trl_pair_row(line: Line, key: str) -> Row:
    """The inverse of `trl_pair_line`; earlier answers are context. Raises ValueError."""
    only_keys(line, ("prompt", "completion"), ("tools",))
    asked, answer = read_turns(line["prompt"]), read_turns(line["completion"])
    if len(answer) != 1:
        raise ValueError("the completion is not one message")
    context = [t.model_copy(update={"weight": 0}) if t.role == "assistant" else t for t in asked]
    return Row([*context, *answer], tools=read_tools(line.get("tools")), key=key)


def prompt_completion_line(row: Row) -> Line:
    """{"prompt", "completion"}: one question and its answer as plain texts."""
    return {"prompt": row.asked[0].text, "completion": row.answer.text}


def prompt_completion_row(line: Line, key: str) -> Row:
    """The inverse of `prompt_completion_line`. Raises ValueError."""
    only_keys(line, ("prompt", "completion"))
    return Row(_exchange(line["prompt"], line["completion"]), key=key)


def sharegpt_line(row: Row) -> Line:
    """{"conversations": [{"from": human | gpt, "value"}], "system"}."""
    names = {"user": "human", "assistant": "gpt"}
    line: Line = {"conversations": [{"from": names[t.role], "value": t.text} for t in spoken_turns(row.messages)]}
    return line | _system(row)


def sharegpt_row(line: Line, key: str) -> Row:
    """The inverse of `sharegpt_line`. Raises ValueError."""
    only_keys(line, ("conversations",), ("system",))
    turns = line["conversations"]
    if not isinstance(turns, list):
        raise ValueError("conversations is not a list")
    messages = _instructions(line)
    for turn in turns:
        author = turn.get("from") if isinstance(turn, dict) else None
        if author not in ("human", "gpt"):
            raise ValueError(f"a turn from {author!r} (expected human or gpt)")
        messages.append(
            Message(role="user" if author == "human" else "assistant", content=text_of(turn["value"], "value"))
        )
    return Row(messages, key=key)


def alpaca_line(row: Row) -> Line:
    """instruction / input / output, with `system` and LLaMA-Factory's `history` of earlier turns (which it trains on too)."""
    turns = spoken_turns(row.asked)
    history = [[turns[i].text, turns[i + 1].text] for i in range(0, len(turns) - 1, 2)]
    line: Line = {"instruction": turns[-1].text, "input": "", "output": row.answer.text}
    return line | _system(row) | ({"history": history} if history else {})


def alpaca_row(line: Line, key: str) -> Row:
    """The inverse of `alpaca_line`; `input` follows the instruction on a line of its own, as the trainers have it."""
    only_keys(line, ("instruction", "output"), ("input", "system", "history"))
    messages = _instructions(line)
    history = line.get("history", [])
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise ValueError("history is not a list of question and answer")
    for asked, answered in history:
        messages += _exchange(asked, answered)
    given = text_of(line.get("input", ""), "input")
    question = text_of(line["instruction"], "instruction") + (f"\n{given}" if given else "")
    return Row([*messages, *_exchange(question, line["output"])], key=key)


def _system(row: Row) -> Line:
    system = instructions(row.messages)
    return {"system": system} if system else {}


def _instructions(line: Line) -> list[Message]:
    return [Message(role="system", content=text_of(line["system"], "system"))] if "system" in line else []


def _exchange(question: object, answer: object) -> list[Message]:
    return [
        Message(role="user", content=text_of(question, "the question")),
        Message(role="assistant", content=text_of(answer, "the answer")),
    ]


TRL = Format(
    name="trl",
    title="TRL's SFTTrainer (messages)",
    holds=Capabilities(roles=_TEMPLATE, system="anywhere", tools=True, reasoning=True, names=True),
    limits=Limits(source="huggingface.co/docs/trl/dataset_formats; trl 1.16.0"),
    to_line=trl_line,
    to_row=trl_row,
)
TRL_PROMPT_COMPLETION = Format(
    name="trl_prompt_completion",
    title="TRL's SFTTrainer (prompt and completion as messages)",
    holds=Capabilities(
        roles=_TEMPLATE, system="anywhere", trained="last", weight=True, tools=True, reasoning=True, names=True
    ),
    limits=TRL.limits,
    to_line=trl_pair_line,
    to_row=trl_pair_row,
)
PROMPT_COMPLETION = Format(
    name="prompt_completion",
    title="plain prompt and completion",
    holds=Capabilities(roles=frozenset({"user", "assistant"}), turns="one", trained="last"),
    limits=Limits(source="huggingface.co/docs/trl/dataset_formats"),
    to_line=prompt_completion_line,
    to_row=prompt_completion_row,
)
SHAREGPT = Format(
    name="sharegpt",
    title="ShareGPT (LLaMA-Factory, Axolotl)",
    holds=_TEXT,
    limits=Limits(source="github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md"),
    to_line=sharegpt_line,
    to_row=sharegpt_row,
)
ALPACA = Format(
    name="alpaca",
    title="Alpaca (LLaMA-Factory, Axolotl)",
    holds=_TEXT,
    limits=SHAREGPT.limits,
    to_line=alpaca_line,
    to_row=alpaca_row,
)
