"""Checks of the project as a whole: the config, stale stages, and what was not measured."""

from __future__ import annotations

from distil.config import load_config
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding
from distil.errors import UserError
from distil.runs.artifacts import STAGES, STUDENT_STAGES, stage_command
from distil.runs.manifest import stage_state


def stale_stages(evidence: Evidence) -> Finding:
    """Stages whose inputs or outputs have changed since they ran."""
    stages: list[tuple[str, str | None]] = [
        (stage, None) for stage in STAGES if stage not in (*STUDENT_STAGES, "report")
    ]
    for stage in STUDENT_STAGES:
        manifests = evidence.project.stage(stage).glob("*/manifest.json")
        stages += [(stage, path.parent.name) for path in sorted(manifests)]
    done, stale = 0, []
    for stage, student in stages:
        state, why = stage_state(evidence.project, stage, student)
        done += state == "done"
        if state == "stale":
            stale.append((stage_command(stage, student), why))
    if not stale and not done:
        return Finding(level="unknown", seen="No stage has run yet.", fix="distil run")
    if not stale:
        return Finding(level="ok", seen=f"{done} stages have run, and their files have not changed since.")
    return Finding(
        level="warn",
        seen="; ".join(f"{command}: {why}" for command, why in stale) + ".",
        why="Their results were made from files that have changed since.",
        fix="\n".join(command for command, _ in stale),
    )


def readable_config(evidence: Evidence) -> Finding:
    """distil.yaml exists and is valid."""
    if evidence.config is None:
        try:
            load_config(evidence.project)
        except UserError as error:
            return Finding(level="problem", seen=str(error), why="Every command needs it.", fix="distil status")
    return Finding(level="ok", seen="distil.yaml is valid.")


def missing_evidence(evidence: Evidence) -> list[Finding]:
    """The notes of the evaluations on what could not be measured; each once for all students."""
    if not evidence.summaries:
        return [Finding(level="unknown", seen="No student has been evaluated yet.", fix="distil evaluate")]
    students: dict[str, list[str]] = {}
    for student, summary in evidence.summaries.items():
        for note in summary.notes:
            students.setdefault(note, []).append(student)
    if not students:
        return [Finding(level="ok", seen="The ceiling, the base model and every metric were measured.")]
    return [
        Finding(
            level="warn",
            seen=f"{', '.join(dict.fromkeys(names))}: {note}",
            why="A decision needs figures that were measured and that not every answer reaches.",
            fix="\n".join(evidence.summaries[names[0]].verdict.next_steps) or f"distil evaluate {names[0]}",
        )
        for note, names in students.items()
    ]
