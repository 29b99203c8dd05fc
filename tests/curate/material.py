"""Prompts and answers for the tests of `curate`, and a project folder that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distil.curate.evidence.corpus import Corpus, Pair, describe_corpus
from distil.curate.evidence.filters import choose_filters
from distil.curate.evidence.signals import measure
from distil.ids import content_id
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records


def prompt(text: str, *, system: str | None = None, **fields: Any) -> Prompt:
    turns = [Message(role="system", content=system)] if system else []
    return Prompt.make([*turns, Message(role="user", content=text)], **fields)


def answer(to: Prompt, text: str, *, teacher: str = "recorded/t", sample: int = 0, finish: str = "stop") -> Answer:
    sampling = Sampling()
    return Answer(
        id=content_id("answer", [to.id, teacher, sample]),
        prompt_id=to.id,
        teacher=teacher,
        sampling=sampling,
        sample=sample,
        text=text,
        finish_reason=finish,
        call_id="call",
    )


def objection(name: str, asked: Prompt, given: Answer, corpus: Corpus | None = None) -> str | None:
    """The reason for which a filter drops an answer, or None."""
    chosen = choose_filters([name])
    pair = Pair(asked, given)
    (signals,) = measure([pair], corpus or describe_corpus([pair]), chosen.wanted)
    return chosen.active[name].drops(signals)


def project_with(folder: Path, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Project:
    project = Project(folder)
    write_records(project.prompts, prompts)
    write_records(project.answers, answers)
    return project


WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "falcon",
    "garnet",
    "harbor",
    "indigo",
    "jasper",
    "kernel",
    "lantern",
    "meadow",
    "nectar",
    "orchid",
    "pepper",
    "quartz",
    "river",
    "saffron",
    "timber",
    "umber",
    "velvet",
    "willow",
    "xenon",
    "yonder",
    "zephyr",
]


def distinct_text(number: int) -> str:
    """A sentence that shares little with that of any other number."""
    picks = [WORDS[(number * 7 + k * (number % 11 + 3)) % len(WORDS)] for k in range(8)]
    return f"{number * 7919 % 10007} {' '.join(picks)} {number * 104729 % 99991}"
