"""Checks of the training: does it fit into memory, did the loss fall, did it overfit, did it finish."""

from __future__ import annotations

import math

from distil.doctor.evidence import Curves, Evidence
from distil.doctor.finding import Finding
from distil.fit import training_need, what_fits
from distil.models.sizing import GIB, Memory

FEWEST_STEPS = 20
"""A shorter training (a trial with --max-steps) says nothing about whether the student learns."""


def out_of_memory(evidence: Evidence) -> Finding:
    """The article: fine-tuning fails with OOM errors. An estimate for this machine, and the first fix that fits."""
    config = evidence.config
    if config is None:
        seen = "distil.yaml can't be read, so the memory for training can't be estimated."
        return Finding(level="unknown", seen=seen)
    need = training_need(evidence.project, config, evidence.machine)
    if need is None:
        seen = f"The size of {config.student.model} is unknown, so the memory for training can't be estimated."
        return Finding(level="unknown", seen=seen)
    seen = (
        f"Training {config.student.model} needs about {need.memory.total / GIB:.1f} GiB; "
        f"this machine has {evidence.machine.memory / GIB:.1f} GiB."
    )
    if need.fits:
        return Finding(level="ok", seen=seen)
    fit = what_fits(need)
    return Finding(
        level="problem",
        seen=f"{seen} {_parts(need.memory)}",
        why="Training would run out of memory. Micro-batches are halved automatically, but weights and Adam's state stay.",
        fix=f"distil train {fit.options}"
        if fit
        else "distil train --set student.model=SMALLER\n(even QLoRA does not fit: choose a smaller student or a larger GPU)",
    )


def _parts(memory: Memory) -> str:
    parts = {"weights": memory.weights, "gradients and Adam": memory.optimizer, "activations": memory.activations}
    parts |= {"teacher": memory.teacher} if memory.teacher else {}
    return "Of that " + ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts.items()) + "."


def training_went_well(evidence: Evidence) -> list[Finding]:
    """Per training: the loss stays finite and falls."""
    findings = []
    for student in evidence.trained_folders:
        curves = evidence.curves(student)
        if curves is not None and curves.train:
            findings.append(_loss(student, curves))
    return findings or [Finding(level="unknown", seen="No training has been logged yet.", fix="distil train")]


def _loss(student: str, curves: Curves) -> Finding:
    broken = next((step for step, loss in curves.train if not math.isfinite(loss)), None)
    if broken is not None:
        return Finding(
            level="problem",
            seen=f"{student}: the loss is not finite at step {broken:g}.",
            why="Nothing is learned after that step, and the weights are unusable.",
            fix=f"distil train --as {student} --set train.learning_rate=1e-5 --set train.max_grad_norm=1.0",
        )
    losses = [loss for _, loss in curves.train]
    part = max(1, len(losses) // 5)
    start, end = sum(losses[:part]) / part, sum(losses[-part:]) / part
    seen = f"{student}: training loss went from {start:.3f} to {end:.3f} over {len(losses)} lines of metrics.jsonl."
    if len(losses) < 3 or end < 0.98 * start:
        return Finding(level="ok", seen=seen)
    steps = curves.train[-1][0]
    if steps < FEWEST_STEPS:
        return Finding(level="unknown", seen=f"{seen} {steps:g} steps are too few to judge.")
    return Finding(
        level="problem",
        seen=seen,
        why="The student learns nothing: the learning rate is too low or too high, or the answers are masked out.",
        fix=f"distil selfcheck\ndistil train --as {student} --set train.learning_rate=1e-4",
    )


def overfitting(evidence: Evidence) -> list[Finding]:
    """Per training: the validation loss rose while the training loss kept falling."""
    findings = []
    for student in evidence.trained_folders:
        curves = evidence.curves(student)
        if curves is not None and len(curves.validation) >= 2:
            findings.append(_turn(student, curves))
    seen = "No training has two validation losses yet (this needs train.epochs of 2 or more and curate.validation above 0)."
    return findings or [Finding(level="unknown", seen=seen)]


def _turn(student: str, curves: Curves) -> Finding:
    losses = [loss for _, loss in curves.validation]
    best = min(range(len(losses)), key=lambda i: losses[i])
    epoch = curves.epochs[best][1]
    seen = f"{student}: validation loss {losses[-1]:.3f} at the end, best {losses[best]:.3f} after epoch {epoch:g}."
    if losses[-1] <= 1.02 * losses[best]:
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn" if losses[-1] <= 1.15 * losses[best] else "problem",
        seen=seen,
        why="After its best epoch, the student memorizes the training answers. Use more data or fewer epochs.",
        fix=f"distil train --as {student} --set train.epochs={max(1, round(epoch))}\n"
        f"or, to keep the best epoch: --set train.early_stopping=1",
    )


def unfinished(evidence: Evidence) -> Finding:
    """Trainings that were started but not finished."""
    if not evidence.trained_folders:
        return Finding(level="unknown", seen="No training has been started yet.", fix="distil train")
    unfinished_ones = [student for student in evidence.trained_folders if student not in evidence.trainings]
    if not unfinished_ones:
        return Finding(level="ok", seen=f"{len(evidence.trainings)} trainings, all finished.")
    return Finding(
        level="warn",
        seen=f"Started but not finished: {', '.join(unfinished_ones)}.",
        why="It was interrupted or failed. Training resumes from the last checkpoint.",
        fix="\n".join(f"distil train --as {student}" for student in unfinished_ones),
    )
