"""Checks of what the training answers say: against their references, against similar prompts, against each other."""

from __future__ import annotations

from distil.curate import contradictions
from distil.curate.evidence.filters import FILTERS
from distil.doctor import cures
from distil.doctor.data import NO_TRAIN_SPLIT
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, cure
from distil.final_answer import are_labels
from distil.runs.schemas.evidence import Signal
from distil.text import one_line

WRONG = 0.05
"""Share of answers that contradict their references: test sets of the field have 3.4% wrong labels (Northcutt et al. 2021)."""
SHARE = 0.01
"""Share of the training answers from which a fault is worth a warning."""
LEAST_LABELS = 50
"""Training answers from which a look at their labels says something."""


def against_references(evidence: Evidence) -> Finding:
    """Training answers that come to something else than their prompt's reference."""
    if not evidence.split("train"):
        return NO_TRAIN_SPLIT
    found = _signals(evidence, "reference")
    if not found:
        count = len(evidence.split("train"))
        return Finding(
            level="ok", seen=f"0 of {count:,} training answers have a reference that they can be compared with."
        )
    wrong = [signal for signal in found if signal.value < 1]
    seen = f"{len(wrong):,} of {len(found):,} training answers with a reference contradict it{_example(wrong)}."
    if len(wrong) <= WRONG * len(found):
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn",
        seen=seen,
        why="The student learns these answers although your own data says that they are wrong.",
        cure=_without(evidence, "wrong_answer"),
    )


def wrong_labels(evidence: Evidence) -> Finding:
    """Training answers whose label none of the most similar prompts has."""
    train = evidence.split("train")
    if not train:
        return NO_TRAIN_SPLIT
    found = _signals(evidence, "label_agreement")
    if not found:
        if len(train) < LEAST_LABELS or not are_labels([example.answer for example in train]):
            return Finding(level="ok", seen=f"The {len(train):,} training answers are not labels of a classification.")
        seen = f"The {len(train):,} labels have not been compared with those of similar prompts."
        return Finding(level="unknown", seen=seen, cure=_without(evidence, "wrong_label"))
    alone = [signal for signal in found if signal.value < FILTERS["wrong_label"].threshold]
    seen = f"{len(alone):,} of {len(found):,} training labels are not those of any similar prompt{_example(alone)}."
    if len(alone) <= SHARE * len(found):
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn",
        seen=seen,
        why="On data with known errors most such labels are wrong, and a student learns wrong labels too.",
        cure=_without(evidence, "wrong_label"),
    )


def contradicting(evidence: Evidence) -> Finding:
    """Prompts that ask the same and have different answers."""
    if not evidence.split("train"):
        return NO_TRAIN_SPLIT
    dropped = [verdict for verdict in evidence.dropped if verdict.filter == contradictions.FILTER]
    seen = f"{len(dropped):,} answers were dropped because the same question has another one"
    if not dropped:
        return Finding(level="ok", seen=f"{seen}.")
    seen += f" ({one_line(dropped[0].reason, 160)})."
    if len(dropped) <= SHARE * len(evidence.split("train")):
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn",
        seen=seen,
        why="A question with several answers is ambiguous, or its teacher is not sure: no student can learn it.",
        cure=cure(
            commands=["distil view dropped --where dropped=contradiction"],
            advice="Say in the prompts what decides between the answers.",
        ),
    )


def _without(evidence: Evidence, name: str) -> Cure:
    """A filter that keeps such answers out of training."""
    return cures.with_filter(evidence.config, name)


def _signals(evidence: Evidence, name: str) -> list[Signal]:
    """One signal of all answers that are trained on and have it."""
    trained = {example.answer_id for example in evidence.split("train")}
    found = [getattr(row, name) for row in evidence.signals if row.answer_id in trained]
    return [signal for signal in found if isinstance(signal, Signal)]


def _example(signals: list[Signal]) -> str:
    detail = next((signal.detail for signal in signals if signal.detail), None)
    return f", such as: {one_line(detail, 160)}" if detail else ""
