"""How many tokens the student reads and writes where the teacher was billed for so many: counted with its own tokenizer."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from distil.models.saved_template import saved_template
from distil.models.student_prompt import as_student_sees, baked_prompt
from distil.models.template import has_thinking_on
from distil.records import Answer, Call, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records

SAMPLE = 300
"""Answers that are counted."""
PER_TURN = 4
"""Tokens of a chat template around a turn."""


class Counted(NamedTuple):
    """The student's tokens as shares of the teacher's."""

    inputs: float
    """Of a prompt."""
    outputs: float
    """Of an answer, without the teacher's reasoning."""
    how: str
    """In words."""


def count_for(project: Project, student: str | None, calls: Sequence[Call]) -> Counted | None:
    """Counts the texts of collected answers; None where the student, its tokenizer, or answers with known tokens are missing."""
    tokenizer = _tokenizer_file(project, student)
    if tokenizer is None or not project.answers.exists() or not project.prompts.exists():
        return None
    from tokenizers import Tokenizer

    encode = Tokenizer.from_file(str(tokenizer)).encode
    template = saved_template(tokenizer.parent) or ""
    baked, thoughts = baked_prompt(template), _thoughts(project) if has_thinking_on(template) else {}
    billed = {call.id: call.usage for call in calls if call.usage.output_tokens > 0}
    counted = (a for a in read_records(project.answers, Answer) if a.call_id in billed and a.text)
    answers = islice((a for a in counted if not thoughts or a.id in thoughts), SAMPLE)
    chosen = {answer.prompt_id: answer for answer in answers}
    prompts = {p.id: p for p in read_records(project.prompts, Prompt) if p.id in chosen}
    ours, theirs = [0.0, 0.0], [0.0, 0.0]
    for prompt_id, prompt in prompts.items():
        answer, usage = chosen[prompt_id], billed[chosen[prompt_id].call_id]
        visible = usage.output_tokens - usage.reasoning_tokens
        if usage.input_tokens <= 0 or visible <= 0:
            continue
        ours[0] += sum(len(encode(turn.text).ids) + PER_TURN for turn in as_student_sees(prompt.messages, baked))
        said = thoughts.get(answer.id, "") + answer.text
        ours[1] += len(encode(said, add_special_tokens=False).ids) + 1  # and the end
        theirs[0] += usage.input_tokens
        theirs[1] += visible
    if not all(theirs):
        return None
    return Counted(
        ours[0] / theirs[0],
        ours[1] / theirs[1],
        f"counted with its own tokenizer on {len(prompts):,} prompts: {ours[0] / theirs[0]:.2f} of the teacher's for a prompt, "
        f"{ours[1] / theirs[1]:.2f} for an answer without reasoning"
        + (" (the student's with its own)" if thoughts else "")
        + (" (the instructions are baked in: student.prompt)" if baked is not None else ""),
    )


def _thoughts(project: Project) -> dict[str, str]:
    """Answer id -> the thinking that it taught: a student that is asked to think writes as much."""
    path = project.split("train")
    examples = read_examples(path) if path.exists() else ()
    thinking = {e.answer_id: e.messages[-1].reasoning_content for e in examples}
    return {answer_id: text for answer_id, text in thinking.items() if answer_id and text}


def _tokenizer_file(project: Project, student: str | None) -> Path | None:
    if student is None or importlib.util.find_spec("tokenizers") is None:
        return None
    path = project.model(student) / "tokenizer.json"
    return path if path.exists() else None
