"""The curated examples in the formats that other trainers read, and preference pairs from the answers that were not chosen.

What a format can't express (tool calls in Alpaca, several turns in prompt/completion) is refused or counted, never changed
silently.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from distil.errors import UserError, did_you_mean
from distil.records import Answer, Example, Message, Record, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_lines
from distil.text import instructions, spoken_turns

Line = dict[str, object]
"""One JSON object of an exported file."""
EXPORTED_SPLITS = ("train", "validation")
"""Not test: what is exported is trained on."""


class ExportResult(Record):
    """The files that were written."""

    format: str
    """The format's name."""
    files: dict[str, int]
    """Path relative to the project -> lines in it."""
    left_out: int
    """Examples that the format can't express."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        return [(path, f"{count:,} lines") for path, count in self.files.items()] + [
            ("left out (the format can't express them)", f"{self.left_out:,}")
        ]


def run(project: Project, format: str, out: Path | None = None) -> ExportResult:  # noqa: A002 - the option's name
    """Writes work/curate/export/FORMAT/{train,validation}.jsonl (or below `out`). Raises UserError on an unknown format.

    Formats: openai, alpaca, sharegpt, prompt_completion, dpo (OpenAI's preference schema; needs several answers per prompt).
    """
    if format not in FORMATS:
        raise UserError(f"Format {format!r}: expected one of {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}")
    if not project.split("train").exists():
        raise UserError("There is nothing to export yet. Run `distil curate` first.")
    folder = out or project.stage("curate") / "export" / format
    losers = _losers(project) if format == "dpo" else {}
    files, left_out = {}, 0
    for split in EXPORTED_SPLITS:
        lines = []
        for example in read_examples(project.split(split)):
            converted = FORMATS[format](example, losers.get(example.prompt_id, ()))
            left_out += not converted
            lines += [json.dumps(line, ensure_ascii=False) for line in converted]
        path = folder / f"{split}.jsonl"
        files[project.relative(path)] = write_lines(path, lines)
    if format == "dpo" and not any(files.values()):
        raise UserError(
            "No prompt has two different answers, so there are no preference pairs. Set collect.samples to 2 or more "
            "(or name several teachers), then run `distil collect` and `distil curate`."
        )
    return ExportResult(format=format, files=files, left_out=left_out)


def openai(example: Example, losers: Sequence[Answer]) -> list[Line]:
    """OpenAI's chat fine-tuning format, without Distil's metadata (providers refuse unknown keys)."""
    line: Line = {"messages": [m.to_wire() for m in example.messages]}
    return [line | ({"tools": example.tools} if example.tools else {})]


def alpaca(example: Example, losers: Sequence[Answer]) -> list[Line]:
    """instruction / input / output, with `system` and LLaMA-Factory's `history` of earlier turns."""
    if not _plain(example):
        return []
    turns = spoken_turns(example.prompt_messages)
    pairs = [[turns[i].text, turns[i + 1].text] for i in range(0, len(turns) - 1, 2)]
    line: Line = {"instruction": turns[-1].text, "input": "", "output": example.answer}
    system = instructions(example.messages)
    return [line | ({"system": system} if system else {}) | ({"history": pairs} if pairs else {})]


def sharegpt(example: Example, losers: Sequence[Answer]) -> list[Line]:
    """conversations of {"from": human | gpt, "value"}, the system text separately."""
    if not _plain(example):
        return []
    names = {"user": "human", "assistant": "gpt"}
    turns = [{"from": names[m.role], "value": m.text} for m in example.messages if m.role in names]
    system = instructions(example.messages)
    return [{"conversations": turns} | ({"system": system} if system else {})]


def prompt_completion(example: Example, losers: Sequence[Answer]) -> list[Line]:
    """{"prompt", "completion"} of one question and its answer; a system text comes before the question."""
    turns = spoken_turns(example.prompt_messages)
    if not _plain(example) or len(turns) != 1:
        return []
    system = instructions(example.messages)
    return [{"prompt": f"{system}\n\n{turns[0].text}" if system else turns[0].text, "completion": example.answer}]


def dpo(example: Example, losers: Sequence[Answer]) -> list[Line]:
    """OpenAI's preference schema: the chosen answer before each different one that lost to it."""
    request: Line = {"messages": [m.to_wire() for m in example.prompt_messages]}
    if example.tools:
        request["tools"] = example.tools
    seen = {example.answer}
    lines: list[Line] = []
    for loser in losers:
        if loser.text in seen:
            continue
        seen.add(loser.text)
        turn = Message(role="assistant", content=loser.text or None, tool_calls=loser.tool_calls)
        preferred, other = example.messages[-1].to_wire(), turn.to_wire()
        lines.append({"input": request, "preferred_output": [preferred], "non_preferred_output": [other]})
    return lines


FORMATS: dict[str, Callable[[Example, Sequence[Answer]], list[Line]]] = {
    "openai": openai,
    "alpaca": alpaca,
    "sharegpt": sharegpt,
    "prompt_completion": prompt_completion,
    "dpo": dpo,
}


def _losers(project: Project) -> dict[str, list[Answer]]:
    """Prompt id -> the answers that passed every filter but were not chosen."""
    lost = {v.answer_id for v in read_records(project.dropped, Verdict) if v.filter == "choose"}
    losers: dict[str, list[Answer]] = {}
    for answer in read_records(project.answers, Answer):
        if answer.id in lost:
            losers.setdefault(answer.prompt_id, []).append(answer)
    return losers


def _plain(example: Example) -> bool:
    """Only text turns that alternate user, assistant, ..., which is all that the older formats can express."""
    turns = spoken_turns(example.messages)
    expected = ["user", "assistant"] * (len(turns) // 2)
    return [m.role for m in turns] == expected and not any(m.tool_calls for m in turns) and not example.tools
