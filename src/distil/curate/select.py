"""Reading prompts and answers, and joining them. Not the filters (evidence/), the choice (answers.py) and duplicates.

100,000 of each are in memory at once, so what is equal in many of them is there once: the sampling, the teacher, ids, and the
sets of fields that pydantic keeps of each record.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from distil.curate.evidence.corpus import Pair
from distil.records import Answer, Prompt, Record, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records


def read_collected(project: Project) -> tuple[list[Prompt], list[Answer]]:
    """All prompts and answers, in little memory. Raises UserError that names file, line and field of what can't be read."""
    fields: dict[frozenset[str], set[str]] = {}
    return list(_prompts(project, fields)), list(_answers(project, fields))


def _prompts(project: Project, fields: dict[frozenset[str], set[str]]) -> Iterator[Prompt]:
    for prompt in read_records(project.prompts, Prompt):
        for record in (prompt, *prompt.messages):
            _share_fields(record, fields)
        prompt.__dict__["id"] = sys.intern(prompt.id)
        yield prompt


def _answers(project: Project, fields: dict[frozenset[str], set[str]]) -> Iterator[Answer]:
    samplings: dict[str, Sampling] = {}
    for answer in read_records(project.answers, Answer):
        for record in (answer, answer.sampling):
            _share_fields(record, fields)
        values = answer.__dict__  # equal values: what is frozen for everybody else stays as it is
        values["sampling"] = samplings.setdefault(repr(answer.sampling.__dict__), answer.sampling)
        for name in ("prompt_id", "teacher", "finish_reason"):
            values[name] = sys.intern(values[name])
        yield answer


def _share_fields(record: Record, known: dict[frozenset[str], set[str]]) -> None:
    """One set of names for all records with the same fields, instead of up to 700 bytes for each; copies get their own."""
    names = record.model_fields_set
    object.__setattr__(record, "__pydantic_fields_set__", known.setdefault(frozenset(names), names))


def join(prompts: Sequence[Prompt], answers: Sequence[Answer], teachers: Sequence[str] | None) -> list[Pair]:
    """Every answer with its prompt: prompts in their order, answers by teacher (in the given order) and sample."""
    order = {name: rank for rank, name in enumerate(teachers or dict.fromkeys(a.teacher for a in answers))}
    of_prompt: dict[str, list[Answer]] = {}
    for answer in answers:
        of_prompt.setdefault(answer.prompt_id, []).append(answer)
    return [
        Pair(prompt, answer)
        for prompt in prompts
        for answer in sorted(
            of_prompt.get(prompt.id, []), key=lambda a: (order.get(a.teacher, len(order)), a.sample, a.id)
        )
    ]
