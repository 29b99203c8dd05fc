"""Checks of the training: does it fit into memory, did the loss fall, did it overfit, did it finish, is the rate right."""

from __future__ import annotations

from pydantic import JsonValue

from distil.doctor import cures
from distil.doctor.course import Course
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, cure, ok, unknown
from distil.fit import training_need
from distil.models.sizing import GIB, Memory
from distil.runs.schemas.training_run import TrainingRun, oom_kills
from distil.stage_states import default_name
from distil.train.start import first_epochs, untuned_start

FAR_RATE = 10.0
"""Times that the configured rate is above or below the fitting one."""
OVERFIT, OVERFIT_BADLY = 1.02, 1.15
"""Last validation loss over the best one."""
NEARLY_ALL = 0.85
"""Share of the memory that a killed run held, from which the kernel has probably killed it."""
LOGGED = "No training has been logged yet."


def out_of_memory(evidence: Evidence) -> Finding:
    """The article: fine-tuning fails with OOM errors. An estimate for this machine, and the first fix that fits."""
    config = evidence.config
    if config is None:
        return unknown("distil.yaml can't be read, so the memory for training can't be estimated.")
    need = training_need(evidence.project, config, evidence.machine)
    if need is None:
        return unknown(f"The size of {config.student.model} is unknown, so the memory for training can't be estimated.")
    seen = (
        f"Training {config.student.model} needs about {need.memory.total / GIB:.1f} GiB; "
        f"this machine has {evidence.machine.memory / GIB:.1f} GiB."
    )
    if need.fits:
        return ok(seen)
    return Finding(
        level="problem",
        seen=f"{seen} {_parts(need.memory)}",
        why="Training would run out of memory. Micro-batches are halved automatically, but weights and Adam's state stay.",
        cure=cures.less_memory(evidence, need),
    )


def _parts(memory: Memory) -> str:
    parts = {"weights": memory.weights, "gradients and Adam": memory.optimizer, "activations": memory.activations}
    parts |= {"teacher": memory.teacher} if memory.teacher else {}
    if memory.writing == memory.total:
        return "That is while the student writes texts of its own (train.rollout_tokens and train.batch_size: how much at once)."
    return "Of that " + ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts.items()) + "."


def the_loss(evidence: Evidence) -> list[Finding]:
    """Per training: the loss is a number, falls, stays down and has no spikes."""
    found = []
    for student in evidence.trained_folders:
        course = evidence.course(student)
        if course.state == "short":
            found.append(unknown(f"{student}: {course.seen}"))
        elif course.seen:
            found.append(_loss(evidence, student, course))
    return found or [unknown(LOGGED, "distil train")]


def _loss(evidence: Evidence, student: str, course: Course) -> Finding:
    seen = f"{student}: {course.seen}"
    slower = cures.another_rate(evidence, student, higher=False)
    if course.state == "broken":
        why = "Nothing is learned after that step, and the weights are unusable."
        return Finding(level="problem", seen=seen, why=why, cure=_clipped(evidence, student, slower))
    if course.state == "returned":
        why = "What was learned is lost again: too high a learning rate, or bad rows. The saved weights are the last ones."
        return Finding(level="problem", seen=seen, why=why, cure=_clipped(evidence, student, slower))
    if course.state == "unsteady":
        why = "A few batches throw the student far off: rows that are unlike the others, or too high a learning rate."
        return Finding(level="warn", seen=seen, why=why, cure=_clipped(evidence, student, slower))
    if course.state == "flat":
        why = "The student learns nothing: the rate is wrong for it, or the answers are masked out."
        return Finding(level="problem", seen=seen, why=why, cure=cure(commands=["distil selfcheck"]) + slower)
    return ok(seen)  # the rate and the length have checks of their own


def _clipped(evidence: Evidence, student: str, slower: Cure) -> Cure:
    """With gradients clipped where that was switched off."""
    norm = evidence.trained_with(student).get("max_grad_norm", 1.0)
    if norm is not None and 0 < float(str(norm)) <= 1:
        return slower
    return cure({"train.max_grad_norm": 1.0}) + slower


def learning_rate(evidence: Evidence) -> list[Finding]:
    """Per training: did too high a rate destroy the student, or too low a one teach it nothing? Else: the one that is set."""
    found, judged = [], False
    for student in evidence.trained_folders:
        course = evidence.course(student)
        if course.state in ("none", "short"):
            continue
        judged = True
        if course.state in ("too high", "too low"):
            high = course.state == "too high"
            why = (
                "Steps that are too large destroy what the base model knew, and the student does not recover."
                if high
                else "With such small steps the student ends far from what it could learn. More epochs cost time, a higher rate "
                "none."
            )
            fixed = cures.another_rate(evidence, student, higher=not high)
            found.append(Finding(level="problem", seen=f"{student}: {course.seen}", why=why, cure=fixed))
        elif course.state == "fine":
            rate = evidence.rate(student)
            found.append(ok(f"{student}: " + (f"{rate:.2g} brought the loss down." if rate else course.seen)))
    return found or ([] if judged else [_set_rate(evidence)]) or [ok("No rate is to blame for what the curves show.")]


def _set_rate(evidence: Evidence) -> Finding:
    """The configured rate, before anything was trained with it."""
    config = evidence.config
    if config is None:
        return unknown("distil.yaml can't be read, so its learning rate can't be judged.")
    name, rate = default_name(config), config.train.set_rate
    fits = evidence.fitting_rate(name)
    if rate is None or fits is None:
        return unknown(
            f"The size of {config.student.model} is unknown, so no rate can be said to fit it."
            if fits is None
            else f"train.learning_rate is {config.train.learning_rate or 'null'}: {fits:.2g} fits {config.student.model}."
        )
    seen = f"train.learning_rate is {rate:.2g}, and {fits:.2g} fits a student of this size"
    if fits / FAR_RATE <= rate <= fits * FAR_RATE:
        return ok(f"{seen}.")
    word = "above" if rate > fits else "below"
    factor = max(rate / fits, fits / rate)
    return Finding(
        level="warn",
        seen=f"{seen}: it is {factor:.0f} times {word} that.",
        why="Far above it training diverges; far below it the student hardly learns.",
        cure=cures.train_again(evidence, name, {"train.learning_rate": fits}),
    )


def untuned(evidence: Evidence) -> Finding:
    """on_policy from a model that knows nothing of the task: its own texts are not worth correcting."""
    config = evidence.config
    if config is None:
        return unknown("distil.yaml can't be read, so where a training starts can't be judged.")
    if config.train.method != "on_policy":
        return ok("No training on the student's own texts is asked for.")
    if untuned_start(config.train, evidence.project.placed(config.student.model)) is None:
        return ok("The student knows its task before it learns from its own texts.")
    trained = [name for name in evidence.trainings if name in evidence.trained_folders]
    first = next((name for name in reversed(trained) if evidence.trained_with(name).get("method") == "sft"), None)
    settings: dict[str, JsonValue] = {"train.sft_epochs": first_epochs(config.train)}
    if first is not None:
        settings = {"student.model": evidence.project.relative(evidence.project.model(first))}
    return Finding(
        level="warn",
        seen=f"train.method is on_policy, and {config.student.model} is not a student that was trained here.",
        why="A model that does not know the task writes texts that teach it little: it learns faster from the answers first.",
        cure=cures.train_again(evidence, default_name(config), settings),
    )


def long_enough(evidence: Evidence) -> list[Finding]:
    """Per training: did the loss come to rest before the training ended?"""
    found = []
    for student in evidence.trained_folders:
        course = evidence.course(student)
        if course.state == "still falling":
            why = "It ended while it was still learning."
            fixed = cures.more_epochs(evidence, student)
            found.append(Finding(level="warn", seen=f"{student}: {course.seen}", why=why, cure=fixed))
        elif course.state == "fine":
            found.append(ok(f"{student}: {course.seen}"))
    return found or [unknown(LOGGED if not evidence.trained_folders else "No curve is whole enough to tell.")]


def overfitting(evidence: Evidence) -> list[Finding]:
    """Per training: the validation loss rose while the training loss kept falling."""
    findings = []
    for student in evidence.trained_folders:
        if (turn := _turn(evidence, student)) is not None:
            findings.append(turn)
    seen = "No training has two validation losses yet (this needs train.epochs of 2 or more and curate.validation above 0)."
    return findings or [unknown(seen)]


def _turn(evidence: Evidence, student: str) -> Finding | None:
    curves = evidence.curves(student)
    if curves is None or len(curves.validation) < 2 or evidence.course(student).state == "broken":
        return None
    losses = [loss for _, loss in curves.validation]
    best = min(range(len(losses)), key=lambda i: losses[i])
    epoch = curves.epochs[best][1]
    seen = f"{student}: validation loss {losses[-1]:.3f} at the end, best {losses[best]:.3f} after epoch {epoch:g}."
    if losses[-1] <= OVERFIT * losses[best]:
        return ok(seen)
    if evidence.trained_with(student).get("early_stopping"):
        return ok(f"{seen} Early stopping has kept the best weights.")
    return Finding(
        level="warn" if losses[-1] <= OVERFIT_BADLY * losses[best] else "problem",
        seen=seen,
        why="After its best epoch, the student memorizes the training answers. Use more data or fewer epochs.",
        cure=cures.fewer_epochs(evidence, student, epoch),
    )


def unfinished(evidence: Evidence) -> Finding | list[Finding]:
    """Trainings that were killed, ran out of memory, failed or were interrupted; and one that runs just now."""
    if not evidence.trained_folders:
        return unknown("No training has been started yet.", "distil train")
    found = [
        finding
        for student in evidence.trained_folders
        if (finding := _ended(evidence, student, evidence.run(student))) is not None
    ]
    return found or ok(f"{len(evidence.trainings)} trainings, all finished.")


def _ended(evidence: Evidence, student: str, run: TrainingRun | None) -> Finding | None:
    manifest = evidence.trainings.get(student)
    if run is None or (manifest is not None and (run.outcome == "finished" or run.started <= manifest.finished)):
        if manifest is not None or (run is not None and run.outcome == "finished"):
            return None
        if evidence.project.provider_job(student).exists():
            return None
        seen = f"Started but not finished: {student}."
        return Finding(level="warn", seen=seen, why=RESUMES, cure=cures.train_again(evidence, student))
    far = f"step {run.step:,} of {run.steps:,}" if run.steps else "before its first step"
    if run.alive:
        return ok(f"{student}: is being trained, {far}.")
    held = f"{run.memory / GIB:.1f} of {run.memory_limit / GIB:.1f} GiB" if run.memory_limit else ""
    if run.killed:
        more = run.oom_kills is not None and (now := oom_kills()) is not None and now > run.oom_kills
        starved = more or (run.memory_limit > 0 and run.memory >= NEARLY_ALL * run.memory_limit)
        who = "probably by the kernel, for lack of memory" if starved else "without a message"
        seen = f"{student}: was killed at {far}, {who}; it had held {held or 'an unknown amount of memory'}."
        why = "Memory ran out, so a resumed training would be killed again." if starved else RESUMES
        fixed = smaller_passes(evidence, student) if starved else cures.train_again(evidence, student)
        return Finding(level="problem" if starved else "warn", seen=seen, why=why, cure=fixed)
    if run.outcome == "interrupted":
        seen = f"{student}: was interrupted at {far}."
        return Finding(level="warn", seen=seen, why=RESUMES, cure=cures.train_again(evidence, student))
    if run.cause == "memory":
        seen = f"{student}: ran out of memory at {far}; it had held {held or 'an unknown amount'}."
        return Finding(level="problem", seen=seen, why=run.reason, cure=smaller_passes(evidence, student))
    if run.cause == "loss":
        slower = cures.another_rate(evidence, student, higher=False)
        seen = f"{student}: failed at {far}: {run.reason}"
        why = "The weights are unusable from there on."
        return Finding(level="problem", seen=seen, why=why, cure=slower)
    seen = f"{student}: failed at {far}: {run.reason}"
    return Finding(level="problem", seen=seen, why=RESUMES, cure=cures.train_again(evidence, student))


RESUMES = "Training resumes from the last checkpoint, if there is one."


def smaller_passes(evidence: Evidence, student: str) -> Cure:
    """Settings that need less memory and give the same result, so that the training resumes; else a smaller way to train."""
    trained = evidence.trained_with(student)
    passes = trained.get("micro_batch_tokens")
    if not trained.get("gradient_checkpointing"):
        tokens = 1024 if passes is None else max(256, int(str(passes)) // 2)
        less: dict[str, JsonValue] = {"train.gradient_checkpointing": True, "train.micro_batch_tokens": tokens}
        return cures.train_again(evidence, student, less)
    section = evidence.student_of(student)
    if section is not None and section.adapter is None:
        return cures.train_again(evidence, student, {"student.adapter": "lora"})
    return cure(advice="Choose a smaller student.model, or a machine with more memory.")
