"""A training from its first check to the saved model, in this process (one of several under torchrun).

All files of work/train/NAME are written from here, except the manifest.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from transformers import PrinterCallback, TrainerState

from distil.errors import Interrupted
from distil.models.load import quiet
from distil.objectives.chunks import release_buffers
from distil.progress import bar, say
from distil.train.callback import TrainingCallback
from distil.train.checkpoints import checkpoint_to_resume, checkpointed_rate, complete_checkpoints
from distil.train.examples import marked_text
from distil.train.job import TrainJob, process_rank
from distil.train.manifest import TrainFacts
from distil.train.memory import explain_out_of_memory
from distil.train.range_test import find_rate
from distil.train.run_log import RunLog, run_log
from distil.train.saving import save
from distil.train.selfcheck import check_before_training
from distil.train.setup import Prepared, prepare
from distil.train.start import labels_alone
from distil.train.trainer import DistilTrainer
from distil.train.weights import frozen_weights


def train_student(job: TrainJob, stop_file: Path | None = None) -> TrainFacts:
    """Trains, saves model/ (and adapter/ for LoRA), and returns facts for the manifest.

    Raises Interrupted, with a checkpoint, after Ctrl-C or after the step at which `stop_file` appears.
    """
    with run_log(job.folder / "run.json", job, writes=process_rank() == 0) as log:
        return _trained(job, stop_file, log)


def _trained(job: TrainJob, stop_file: Path | None, log: RunLog | None) -> TrainFacts:
    started = time.perf_counter()
    quiet()
    named, job = job, job.placed()
    with explain_out_of_memory("the models were loaded and checked"):
        ready = prepare(job)
        checks = check_before_training(ready.trainer, ready.student, ready.train, job.folder)
    trainer = ready.trainer
    is_main = trainer.is_world_process_zero()
    if is_main and (alone := labels_alone(job.section, trainer.steps_per_epoch, job.max_steps)):
        say(alone)
    if job.section.learning_rate == "auto":
        found = find_rate(trainer, job.section, job.student, job.max_steps, checkpointed_rate(job.folder))
        if is_main:
            say(found)
    resume = checkpoint_to_resume(
        job.folder,
        _with_rate(named, trainer).identity(trainer.examples, frozen_weights(trainer.model)),
        is_main=is_main,
        wait=trainer.accelerator.wait_for_everyone,
    )
    if resume is not None and is_main:
        say(f"Resuming {job.name} from {resume.name}.")
    if is_main:
        _write_first_examples(job.folder, ready)
    training_seconds = _train(job, trainer, resume, stop_file, log)
    parity = save(job, trainer, ready.student, ready.train, ready.ends, is_main=is_main)
    facts: TrainFacts = {
        "steps": int(trainer.state.global_step),
        "seconds": round(time.perf_counter() - started, 2),
        "training_seconds": round(training_seconds + ready.cache_seconds, 2),
        "examples": len(trainer.examples),
        "dropped_for_length": ready.dropped,
        "tokens_seen": trainer.seen_tokens,
        "final": _last_line(trainer.state, "loss"),
        "validation": _last_line(trainer.state, "eval_loss"),
        "micro_batch_tokens": trainer.micro_tokens,
        "resumed_from": resume.name if resume else None,
        "device": str(ready.student.device),
        "learning_rate": trainer.args.learning_rate,
        "processes": trainer.args.world_size,
        "sharded": trainer.is_split(),
        "checks": [f"{check.name}: {check.detail}" for check in checks],
    }
    if parity is not None:
        facts["parity"] = parity
    return facts


def _with_rate(job: TrainJob, trainer: DistilTrainer) -> TrainJob:
    """The job with the learning rate that it trains with, where the config leaves it open."""
    section = job.section.model_copy(update={"learning_rate": trainer.args.learning_rate})
    return replace(job, section=section)


def _train(
    job: TrainJob, trainer: DistilTrainer, resume: Path | None, stop_file: Path | None, log: RunLog | None
) -> float:
    """The training loop; returns its seconds. Raises Interrupted."""
    section = job.section
    trainer.remove_callback(PrinterCallback)
    with bar(f"Training {job.name}", unit="steps") as progress:
        callback = TrainingCallback(
            trainer,
            job.folder,
            progress,
            checkpoint_minutes=section.checkpoint_minutes,
            checkpoint_steps=section.checkpoint_steps,
            patience=section.early_stopping,
            stop_file=stop_file,
            log=log,
        )
        trainer.add_callback(callback)
        with callback.catching_interrupts(), explain_out_of_memory("the student was trained"):
            output = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    release_buffers()  # of the loss: an evaluation in this process does not need them
    if callback.interrupted:
        count = len(complete_checkpoints(job.folder / "checkpoints"))
        raise Interrupted(
            f"Stopped after step {trainer.state.global_step} of {trainer.state.max_steps}, with {count} "
            f"checkpoint{'s' if count != 1 else ''} kept. To resume, run `distil train --as {job.name}` again."
        )
    return float(output.metrics.get("train_runtime", 0.0))


def _write_first_examples(folder: Path, ready: Prepared) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [marked_text(ready.student.tokenizer, example) for example in ready.train[:4]]
    (folder / "first_batch.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def _last_line(state: TrainerState, key: str) -> dict[str, float] | None:
    return next((line for line in reversed(state.log_history) if key in line), None)
