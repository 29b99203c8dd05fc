"""What a person says in `distil view`: an answer is good, bad or edited, or which of two answers is better."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from distil.runs.artifacts import Project
    from distil.runs.schemas.judge import Preference
    from distil.runs.schemas.marks import Mark

CHOICES = ("good", "bad", "none", "student", "teacher", "tie")
PREFERENCES = CHOICES[3:]
Word = Literal["good", "bad", "edited", "none"]


def mark_answer(project: Project, answer_id: str | None, mark: Word, reason: str, text: str | None = None) -> Mark:
    """Adds a mark to work/curate/marks.jsonl (the last mark of an answer counts). Raises UserError on an unknown answer."""
    from distil.errors import UserError
    from distil.ids import now
    from distil.records import Answer
    from distil.runs.jsonl import read_records
    from distil.runs.marks import add_mark
    from distil.runs.schemas.marks import Mark

    if answer_id is None:
        raise UserError("A mark needs --id answer_...; `distil view answers` shows the id above each answer.")
    if text is not None and not text.strip():
        raise UserError("An edited answer needs a text. To drop the answer, type --mark bad.")
    answer = next((a for a in read_records(project.answers, Answer) if a.id == answer_id), None)
    if answer is None:
        raise UserError(f"There is no answer {answer_id!r} in {project.answers}. `distil view answers` shows the ids.")
    made = Mark(answer_id=answer.id, prompt_id=answer.prompt_id, mark=mark, text=text, reason=reason, created=now())
    add_mark(project.marks, made)
    return made


def edited_text(given: str) -> str:
    """The text behind --edit: a file, or `-` for what comes on stdin. Raises UserError when it can't be read."""
    from distil.errors import UserError

    if given == "-":
        return sys.stdin.read()
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(
            f"--edit {given} can't be read: {reason}. Give a file with the whole answer, or - for stdin."
        ) from None


def mark_better(project: Project, student: str, prompt_id: str | None, preferred: str, reason: str) -> Preference:
    """Adds to work/evaluate/people.jsonl which of the student's and the teacher's answer to a test prompt is better.

    The last one of a pair counts. Raises UserError when the student has no answer to that prompt.
    """
    from distil.errors import UserError
    from distil.evaluate.judge import Pair
    from distil.evaluate.judge.people import pair_id, preferences
    from distil.records import Prediction
    from distil.runs.jsonl import read_examples, read_records, write_records
    from distil.runs.schemas.judge import Preference

    shown = f"`distil view predictions --student {student}` shows the ids."
    if prompt_id is None:
        raise UserError(f"--mark {preferred} needs --id prompt_...; {shown}")
    rows = read_records(project.predictions(student), Prediction)
    ours = next((r for r in rows if (r.prompt_id, r.model, r.sample) == (prompt_id, student, 0)), None)
    asked = next((e for e in read_examples(project.split("test")) if e.prompt_id == prompt_id), None)
    if ours is None or asked is None:
        raise UserError(f"{student} has no answer to a test prompt {prompt_id!r} that could be compared. {shown}")
    pair = Pair.of(asked, ours)
    made = Preference.model_validate(
        {
            "pair_id": pair_id(prompt_id, pair.student, pair.teacher),
            "prompt_id": prompt_id,
            "preferred": preferred,
            "reason": reason,
        }
    )
    write_records(project.people, [p for p in preferences(project) if p.pair_id != made.pair_id] + [made])
    return made
