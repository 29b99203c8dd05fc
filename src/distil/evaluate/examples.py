"""What students are evaluated on: the test prompts with the teacher's answers.

The test split where there is one. Answers from elsewhere can be evaluated before anything is curated: on all that the teacher has
answered, for nothing was trained here that could have seen them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from distil.endings import ending
from distil.errors import UserError
from distil.ids import content_id
from distil.records import Answer, Example, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records


class HeldOut(NamedTuple):
    """The test prompts."""

    examples: list[Example]
    """In the order of their file."""
    notes: list[str]
    """For a person: where they come from when there is no test split."""


def _unnoted(path: Path) -> Path:
    return path


def read_test_set(project: Project, *, trained: bool, reads: Callable[[Path], Path] = _unnoted) -> HeldOut:
    """The test split; before anything was curated, and where nothing was trained (`trained` False), all collected answers.

    reads: called with each file before it is read (StageRun.reads). Raises UserError that says what to run.
    """
    path = project.split("test")
    if path.exists():
        examples = list(read_examples(reads(path)))
        if not examples:
            raise UserError(f"{path} has no test prompts. Set curate.test to 200 or more and run `distil curate`.")
        return HeldOut(examples, [])
    if trained:
        raise UserError(
            f"{path} is missing, so there is nothing to evaluate on. Run `distil curate` (curate.test sets how many prompts)."
        )
    if not project.answers.exists() or not project.prompts.exists():
        raise UserError(
            f"There is nothing to evaluate on: neither {path} nor {project.answers} is there. Collect the teacher's answers with "
            "`distil collect`, and split off a test set with `distil curate` where you also want to train."
        )
    prompts = {prompt.id: prompt for prompt in read_records(reads(project.prompts), Prompt)}
    return _collected(project, list(read_records(reads(project.answers), Answer)), prompts)


def _collected(project: Project, answers: list[Answer], prompts: dict[str, Prompt]) -> HeldOut:
    """The first usable answer to each prompt, as an example."""
    examples: dict[str, Example] = {}
    unusable: set[str] = set()
    for answer in answers:
        prompt = prompts.get(answer.prompt_id)
        if prompt is None or answer.prompt_id in examples:
            continue
        if ending(answer.finish_reason) != "ok":
            unusable.add(answer.prompt_id)
            continue
        examples[prompt.id] = Example.of(prompt, answer, "test")
    if not examples:
        raise UserError(
            f"{project.answers} has no whole answer, so there is nothing to evaluate on. Run `distil collect`."
        )
    rows = list(examples.values())
    note = (
        f"Nothing has been curated here, so all {len(rows):,} prompts that the teacher answered are test prompts. "
        "Nothing was trained on them here."
    )
    left_out = len(unusable - examples.keys())
    if left_out:
        note += f" Left out: {left_out:,} whose answer was cut off or withheld."
    return HeldOut(rows, [note])


def identity(examples: Sequence[Example]) -> str:
    """Hash of the prompts alone, in whatever order: a test set stays the same when its teacher is asked again."""
    return content_id("test", sorted(example.prompt_id for example in examples))
