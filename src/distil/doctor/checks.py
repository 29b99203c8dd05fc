"""`distil doctor`: the list of checks, flat and explicit, and running them over a project.

Each check is a function of the evidence that returns one Finding or several; none changes anything, calls a model or loads torch.
"""

from __future__ import annotations

from collections.abc import Callable

from distil.config import Config
from distil.doctor import (
    answers,
    consistency,
    data,
    guards,
    leaks,
    model_files,
    project,
    quality,
    rows,
    sameness,
    serving,
    training,
)
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding
from distil.models.sizing import Machine
from distil.runs.artifacts import Project

Check = Callable[[Evidence], Finding | list[Finding]]

CHECKS: dict[str, Check] = {
    "the config": project.readable_config,
    "stale stages": project.stale_stages,
    "another teacher": project.other_teacher,
    "too few examples": data.enough_examples,
    "small test set": data.enough_test_prompts,
    "failed calls": data.failed_calls,
    "truncated answers": data.truncated_answers,
    "thinking in the answers": data.thinking_in_answers,
    "much of the data is dropped": data.much_dropped,
    "suspicious answers": data.suspicious,
    "refusals in the training data": data.refusals,
    "answers against their references": answers.against_references,
    "wrong labels": answers.wrong_labels,
    "one question, several answers": answers.contradicting,
    "contradictions in the training data": rows.contradicting_rows,
    "blank or broken answers": rows.blank_or_broken,
    "one answer for all": rows.one_answer_for_all,
    "answers in another language": rows.another_language,
    "the teacher contradicts itself": consistency.teacher_contradicts_itself,
    "duplicate prompts": data.duplicates,
    "leakage between the splits": leaks.leakage,
    "a tokenizer of another language": model_files.unknown_script,
    "out of memory": training.out_of_memory,
    "unfinished trainings": training.unfinished,
    "another template": model_files.another_template,
    "an untuned start": training.untuned,
    "the loss": training.the_loss,
    "the learning rate": training.learning_rate,
    "trained too short": training.long_enough,
    "overfitting": training.overfitting,
    "the teacher is not better": quality.teacher_is_better,
    "no better than before training": quality.better_than_base,
    "no better than plain fine-tuning": quality.no_better_than_baseline,
    "below the goal": quality.below_the_goal,
    "too generic": quality.too_generic,
    "always the same answer": sameness.always_the_same,
    "invented words": sameness.invented_words,
    "makes things up": guards.check(guards.MAKES_THINGS_UP),
    "says the opposite": guards.check(guards.SAYS_THE_OPPOSITE),
    "refuses": guards.check(guards.REFUSES),
    "breaks the format": guards.check(guards.BREAKS_THE_FORMAT),
    "answers that do not end": guards.check(guards.DOES_NOT_STOP),
    "too short or too long": guards.check(guards.WRONG_LENGTH),
    "the live error": serving.alarm,
    "the calibration": serving.certificate,
    "requests like the labels": serving.traffic,
    "not measured": project.missing_evidence,
}
"""Name -> check, in the order of fixing: data before training, training before quality."""

ORDER = {"problem": 0, "warn": 1, "unknown": 2, "ok": 3}


def run(project: Project, machine: Machine | None = None, config: Config | None = None) -> list[Finding]:
    """All findings, problems first, in the order of CHECKS within a level.

    machine: None = this one; config: None = distil.yaml as it is.

    Raises UserError for a file of the project that is there but can't be read.
    """
    return examine(Evidence(project, machine, config))


def examine(evidence: Evidence) -> list[Finding]:
    """The same for evidence that is already loaded."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        result = check(evidence)
        results = result if isinstance(result, list) else [result]
        findings += [finding.model_copy(update={"check": name}) for finding in results]
    return sorted(findings, key=lambda finding: ORDER[finding.level])
