"""What a person says in `distil view --mark`: an answer to drop or keep, or which of two answers is better."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distil.records import Verdict
    from distil.runs.artifacts import Project
    from distil.runs.schemas.judge import Preference

CHOICES = ("drop", "keep", "student", "teacher", "tie")
PREFERENCES = CHOICES[2:]


def mark_answer(project: Project, answer_id: str | None, keep: bool, reason: str) -> Verdict:
    """Adds a mark to work/curate/marks.jsonl (the last mark of an answer counts)."""
    from distil.errors import UserError
    from distil.records import Answer, Verdict
    from distil.runs.jsonl import read_records, write_records

    if answer_id is None:
        raise UserError("--mark needs --id answer_...; `distil view answers` shows the id above each answer.")
    answers = {a.id: a for a in read_records(project.answers, Answer)}
    if answer_id not in answers:
        raise UserError(f"There is no answer {answer_id!r} in {project.answers}. `distil view answers` shows the ids.")
    path = project.marks
    marks = list(read_records(path, Verdict)) if path.exists() else []
    verdict = Verdict(
        answer_id=answer_id, prompt_id=answers[answer_id].prompt_id, filter="person", keep=keep, reason=reason
    )
    write_records(path, [m for m in marks if m.answer_id != answer_id] + [verdict])
    return verdict


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
