"""Checks of the project as a whole: the config, stale stages, the teacher, and what was not measured."""

from __future__ import annotations

import shlex
from collections import Counter

from distil.config import load_config
from distil.doctor import cures
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding, cure, ok, unknown
from distil.errors import UserError
from distil.runs.artifacts import STAGES, STUDENT_STAGES, stage_command
from distil.runs.manifest import stage_state
from distil.runs.schemas.summary import Summary
from distil.stage_states import current_student, step_state


def stale_stages(evidence: Evidence) -> Finding:
    """Stages whose inputs, outputs or settings have changed since they ran: what `distil status` calls stale."""
    stages: list[tuple[str, str | None]] = [
        (stage, None) for stage in STAGES if stage not in (*STUDENT_STAGES, "report")
    ]
    for stage in STUDENT_STAGES:
        manifests = evidence.project.stage(stage).glob("*/manifest.json")
        stages += [(stage, path.parent.name) for path in sorted(manifests) if not path.parent.name.startswith(".")]
    config = evidence.config
    current = current_student(evidence.project, config) if config is not None else None
    done, stale = 0, []
    for stage, student in stages:
        if config is not None and student in (None, current):
            step = step_state(evidence.project, config, stage, student)
            state, why = step.state, step.why
        else:  # a student beside the current one was trained with settings of its own
            state, why = stage_state(evidence.project, stage, student)
        done += state == "done"
        if state == "stale":
            stale.append((stage_command(stage, student), why))
    if not stale and not done:
        return unknown("No stage has run yet.", "distil run")
    if not stale:
        return ok(f"{done} stages have run, and neither their files nor their settings have changed since.")
    return Finding(
        level="warn",
        seen="; ".join(f"{command}: {why}" for command, why in stale) + ".",
        why="Their results were made from files or settings that have changed since.",
        cure=cure(commands=[command for command, _ in stale]),
    )


def readable_config(evidence: Evidence) -> Finding:
    """distil.yaml exists and is valid."""
    if evidence.config is None:
        try:
            load_config(evidence.project)
        except UserError as error:
            again = cure(commands=["distil config show"], advice="Correct the file, and look at what it comes to.")
            return Finding(level="problem", seen=str(error), why="Every command needs it.", cure=again)
    return ok("distil.yaml is valid.")


def other_teacher(evidence: Evidence) -> Finding:
    """The answers are those of the teachers in distil.yaml."""
    if evidence.config is None or not evidence.answers:
        return unknown("No answers have been collected yet.", "distil collect")
    named = [teacher.model for teacher in evidence.config.teachers]
    gave = Counter(answer.teacher for answer in evidence.answers)
    theirs = sum(count for teacher, count in gave.items() if any(_same(teacher, name) for name in named))
    total = gave.total()
    listed = ", ".join(f"{teacher} {count:,}" for teacher, count in gave.most_common(3))
    seen = f"{theirs:,} of {total:,} answers are of the teachers in distil.yaml ({', '.join(named)}); they are of {listed}."
    if theirs:
        return ok(seen)
    before = gave.most_common(1)[0][0]
    return Finding(
        level="warn",
        seen=seen,
        why="Evaluation, fallback and cost ask another model than the student has learned from.",
        cure=cure(
            {"teachers.0.model": before},
            ["distil status"],
            "Or keep the new teacher: `distil collect` then asks it for every answer, which costs.",
        ),
    )


def _same(given: str, named: str) -> bool:
    """A log names a model without its provider, and with a date."""
    plain = named.rpartition("#")[2].rpartition("/")[2].lower()
    return given == named or given.rpartition("#")[2].rpartition("/")[2].lower().startswith(plain)


def missing_evidence(evidence: Evidence) -> list[Finding]:
    """The notes of the evaluations on what could not be measured; each once for all students."""
    if not evidence.summaries:
        return [unknown("No student has been evaluated yet.", "distil evaluate")]
    students: dict[str, list[str]] = {}
    for student, summary in evidence.summaries.items():
        for note in summary.notes:
            if _matters(evidence, summary, note):
                students.setdefault(note, []).append(student)
    if not students:
        return [ok("All that the decisions rest on was measured.")]
    return [
        Finding(
            level="warn",
            seen=f"{', '.join(dict.fromkeys(names))}: {note}",
            why="A decision needs figures that were measured and that not every answer reaches.",
            cure=cure(
                commands=[shlex.join(["distil", "evaluate", names[0]])],
                advice=" ".join(evidence.summaries[names[0]].verdict.next_steps),
            ),
        )
        for note, names in students.items()
    ]


def _matters(evidence: Evidence, summary: Summary, note: str) -> bool:
    """Not: a limit of similarity where something else decides, and second answers that a file of answers can't give."""
    decides = summary.deciding.metric if summary.deciding is not None else summary.primary
    if "reach a similarity of" in note:
        return "similarity" in decides
    kind = cures.teacher_kind(evidence.config) if evidence.config is not None else "api"
    return not (kind == "recorded" and note.startswith(("The ceiling is missing", "kl was not measured")))
