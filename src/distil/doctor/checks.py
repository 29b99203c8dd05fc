"""`distil doctor`: the list of checks, flat and explicit, and running them over a project.

Each check is a function of the evidence that returns one Finding or several; none changes anything, calls a model or loads torch.
"""

from __future__ import annotations

from collections.abc import Callable

from distil.doctor import data, project, quality, training
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding
from distil.models.sizing import Machine
from distil.runs.artifacts import Project

Check = Callable[[Evidence], Finding | list[Finding]]

CHECKS: tuple[Check, ...] = (
    project.readable_config,
    project.stale_stages,
    data.enough_examples,
    data.enough_test_prompts,
    data.failed_calls,
    data.truncated_answers,
    data.much_dropped,
    data.refusals,
    data.duplicates,
    data.leakage,
    training.out_of_memory,
    training.unfinished,
    training.training_went_well,
    training.overfitting,
    quality.teacher_is_better,
    quality.better_than_base,
    quality.no_better_than_baseline,
    quality.below_the_goal,
    quality.too_generic,
    quality.hallucinates,
    quality.cut_off,
    project.missing_evidence,
)
"""In the order of fixing: data before training, training before quality."""

ORDER = {"problem": 0, "warn": 1, "unknown": 2, "ok": 3}


def run(project: Project, machine: Machine | None = None) -> list[Finding]:
    """All findings, problems first, in the order of CHECKS within a level. `machine` None = this one.

    Raises UserError for a file of the project that is there but can't be read.
    """
    return examine(Evidence(project, machine))


def examine(evidence: Evidence) -> list[Finding]:
    """The same for evidence that is already loaded."""
    findings: list[Finding] = []
    for check in CHECKS:
        result = check(evidence)
        findings += result if isinstance(result, list) else [result]
    return sorted(findings, key=lambda finding: ORDER[finding.level])
