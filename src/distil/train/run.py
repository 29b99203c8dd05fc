"""A training from its first check to the saved model, in this process (one of several under torchrun).

stage.py calls `train_student` directly, or lets launch.py start worker.py, which calls it in every process. All files of
work/train/NAME but the manifest are written here.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distil.calls.config import TeacherConfig
from distil.errors import Interrupted, UserError
from distil.ids import content_id
from distil.models.config import StudentConfig
from distil.progress import bar, track
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json
from distil.train import setup
from distil.train.config import TrainConfig
from distil.train.examples import Tokenized, load_examples, marked_text, require_known_ids, tokenize
from distil.train.objective import causal_model, untaught
from distil.train.packing import can_pack
from distil.train.rollouts import unanswered

REMEMBERED_BYTES = {True: 512 << 20, False: 4 << 30}
"""How much of a teacher's hidden states may be kept: on a CPU, on a GPU."""


@dataclass(frozen=True)
class TrainJob:
    """What one training needs to know; goes to worker processes as JSON."""

    root: Path
    name: str
    section: TrainConfig
    student: StudentConfig
    teacher: TeacherConfig | None = None
    max_steps: int | None = None

    @property
    def folder(self) -> Path:
        return Project(self.root).stage("train", self.name)

    def placed(self) -> TrainJob:
        """The same with models that are named relative to the project as whole paths; other folders and hub ids as they are."""
        section, student, teacher, placed = self.section, self.student, self.teacher, Project(self.root).placed
        shares = [share.model_copy(update={"model": placed(share.model)}) for share in section.teachers]
        return replace(
            self,
            section=section.model_copy(update={"teachers": shares}),
            student=student.model_copy(update={"model": placed(student.model)}),
            teacher=teacher and teacher.model_copy(update={"model": placed(teacher.model)}),
        )

    def fingerprint(self, train: list[Tokenized]) -> str:
        """Hash of all that a checkpoint depends on; a checkpoint of another hash is not resumed."""
        settings = self.section.model_dump(
            mode="json", exclude={"log_steps", "checkpoint_minutes", "checkpoint_steps", "report_to"}
        )
        data = [[e.id, e.input_ids, e.prompt_length] for e in train]
        teacher = self.teacher.model if self.teacher else None
        return content_id("job", [settings, self.student.model_dump(mode="json"), teacher, self.max_steps, data])


@dataclass
class Prepared:
    """Everything that a training needs, checked."""

    student: Any
    trainer: Any
    recipe: Any
    train: list[Tokenized]
    validation: list[Tokenized]
    dropped: int
    remembered_seconds: float
    """Seconds in which the teacher was asked about everything at once; 0 = it is asked in every step."""


def prepare(job: TrainJob) -> Prepared:
    """Loads, renders and checks everything; `job` as `placed` gave it. Raises UserError before anything is trained."""
    from distil.train.signal.sources import CachedSource
    from distil.train.trainer import DistilTrainer, Recipe

    project, section = Project(job.root), job.section
    _seed_everything(section.seed)  # before the student is loaded: a fresh adapter is drawn
    student = setup.load_student(job.student, section, setup.device_of_process())
    train, validation, dropped = _data(project, section, student)
    packing = section.packing and can_pack(causal_model(student.model))
    source = setup.source_of(section, project, job.teacher, student, packing=packing)
    packing = packing and getattr(source, "packs", True)
    if isinstance(source, CachedSource):  # a cache of the train split alone leaves nothing to validate on
        validation = [example for example in validation if example.id in source.store]
    weights = setup.weights_of(section)
    source.check([*train, *validation], weights)

    recipe = Recipe(
        weights=weights,
        source=source,
        packing=packing,
        batch_size=section.batch_size,
        micro_tokens=setup.micro_tokens(section, student.device),
        seed=section.seed,
        rollouts=setup.rollouts_of(section, student, train),
    )
    remembered = _remember(job, source, recipe, student, [*train, *validation])
    arguments = setup.arguments(section, job.folder, student.device, job.max_steps, bool(validation))
    wanted = section.method == "on_policy" and section.rollout_unanswered
    alone = unanswered(project, student.tokenizer, setup.max_length(section, student.model)) if wanted else []
    trainer = DistilTrainer(student.model, arguments, recipe, [*train, *alone], validation, student.tokenizer)
    return Prepared(student, trainer, recipe, train, validation, dropped, remembered)


def _remember(job: TrainJob, source: Any, recipe: Any, student: Any, examples: list[Tokenized]) -> float:
    """Asks an online teacher once about all fixed texts, where several epochs will need them and memory allows.
    Returns seconds."""
    from distil.train.batches import micro_batches
    from distil.train.signal.crosstokenizer import CrossTokenizerSource
    from distil.train.signal.sources import OnlineSource

    section, budget = job.section, REMEMBERED_BYTES[student.device.type == "cpu"]
    if (
        not isinstance(source, (OnlineSource, CrossTokenizerSource))
        or (job.max_steps is not None and job.max_steps * section.batch_size <= len(examples))
        or section.method != "logits"
        or section.epochs <= 1
        or section.processes > 1
        or source.bytes_to_remember(examples) > budget
    ):
        return 0.0
    started = time.perf_counter()
    pad_id = int(student.tokenizer.pad_token_id)
    batches = micro_batches(examples, recipe.micro_tokens, packing=recipe.packing, pad_id=pad_id)
    source.remember(track(batches, "Asking the teacher", unit="batches"), student.device)
    return time.perf_counter() - started


def _seed_everything(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)


def _data(project: Project, section: TrainConfig, student: Any) -> tuple[list[Tokenized], list[Tokenized], int]:
    limit = setup.max_length(section, student.model)
    options: dict[str, Any] = {"max_length": limit, "too_long": section.too_long}
    examples = load_examples(project.split("train"), section.target)
    train, dropped = tokenize(student.tokenizer, examples, label="training examples", **options)
    validation: list[Tokenized] = []
    path = project.split("validation")
    if section.validation_examples and path.exists() and path.stat().st_size:
        held_out = load_examples(path, section.target, section.validation_examples)
        validation, _ = tokenize(
            student.tokenizer, held_out, max_length=limit, too_long=section.too_long, label="validation examples"
        )
    rows = causal_model(student.model).get_input_embeddings().weight.shape[0]
    require_known_ids([*train, *validation], rows, len(student.tokenizer))
    if section.early_stopping is not None and not validation:
        raise UserError(
            "train.early_stopping needs validation examples, and there are none. Set curate.validation above 0."
        )
    return train, validation, dropped


def train_student(job: TrainJob, stop: Path | None = None) -> dict[str, Any]:
    """Trains, saves model/ (and adapter/), and returns facts for the manifest. Raises Interrupted with a checkpoint after Ctrl-C,
    or after the step at which the file `stop` appears."""
    from distil.models.load import quiet
    from distil.objectives.chunks import release_buffers
    from distil.train.callback import Recorder, whole_checkpoints
    from distil.train.memory import memory_told
    from distil.train.selfcheck import before_training

    started = time.perf_counter()
    quiet()
    job = job.placed()
    with memory_told("the models were loaded and checked"):
        ready = prepare(job)
        trainer = ready.trainer
        checks = before_training(ready)
    first = trainer.is_world_process_zero()
    resume = _resume_from(job, trainer.examples, first, trainer.accelerator.wait_for_everyone)
    if first:
        _show_first(job.folder, ready)
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    with bar(f"Training {job.name}", unit="steps") as running:
        recorder = Recorder(
            job.folder,
            running,
            checkpoint_minutes=job.section.checkpoint_minutes,
            checkpoint_steps=job.section.checkpoint_steps,
            patience=job.section.early_stopping,
            stop=stop,
        )
        recorder.trainer = trainer
        trainer.add_callback(recorder)
        with recorder.catching_interrupts(), memory_told("the student learned"):
            outcome = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    release_buffers()  # of the loss: an evaluation in this process has no use for them
    if recorder.interrupted:
        raise _stopped(job, trainer.state, len(whole_checkpoints(job.folder / "checkpoints")))
    saved = _save(job, ready, first)
    history = trainer.state.log_history
    return {
        "steps": int(outcome.global_step),
        "seconds": round(time.perf_counter() - started, 2),
        "training_seconds": round(float(outcome.metrics.get("train_runtime", 0.0)) + ready.remembered_seconds, 2),
        "examples": len(trainer.examples),
        "dropped_for_length": ready.dropped,
        "tokens_seen": int(trainer.seen_tokens),
        "final": _last(history, "loss"),
        "validation": _last(history, "eval_loss"),
        "micro_batch_tokens": int(trainer.micro_tokens),
        "resumed_from": resume.name if resume else None,
        "device": str(ready.student.device),
        "processes": int(trainer.args.world_size),
        "checks": [f"{check.name}: {check.detail}" for check in checks],
        **saved,
    }


def _stopped(job: TrainJob, state: Any, kept: int) -> Interrupted:
    return Interrupted(
        f"Stopped after step {state.global_step} of {state.max_steps}. "
        f"`distil train --as {job.name}` goes on from there ({kept} checkpoint{'s' if kept != 1 else ''} kept)."
    )


def _show_first(folder: Path, ready: Prepared) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    marked = [marked_text(ready.student.tokenizer, example) for example in ready.train[:4]]
    (folder / "first_batch.txt").write_text("\n\n".join(marked) + "\n", encoding="utf-8")


def _resume_from(job: TrainJob, train: list[Tokenized], first: bool, wait: Callable[[], None]) -> Path | None:
    """The newest whole checkpoint of the same job; anything else in the folder is removed."""
    from distil.train.callback import whole_checkpoints

    folder = job.folder / "checkpoints"
    mine = job.fingerprint(train)
    stamp = folder / "job.json"
    known = read_json(stamp)["job"] if stamp.exists() else None
    whole = whole_checkpoints(folder) if known == mine else []
    wait()  # all processes have looked before the first one tidies up
    if first:
        for path in folder.glob("checkpoint-*"):
            if path not in whole:
                shutil.rmtree(path, ignore_errors=True)
        if not whole:
            shutil.rmtree(job.folder / "best", ignore_errors=True)
            (job.folder / "metrics.jsonl").unlink(missing_ok=True)
            write_json(stamp, {"job": mine})
    wait()
    return whole[-1] if whole else None


def _save(job: TrainJob, ready: Prepared, first: bool) -> dict[str, Any]:
    """model/ as a plain Hugging Face folder, adapter/ beside it for LoRA; the best weights where early stopping kept them."""
    from distil.models.export import merge_adapter, save_plain

    best = job.folder / "best"
    untaught(ready.student.model)
    target = job.folder / "model"
    lora = job.student.adapter == "lora"
    temporary = job.folder / ".saving"
    if first:
        shutil.rmtree(temporary, ignore_errors=True)
    if best.exists():
        source = best
    else:
        ready.trainer.save_model(str(temporary))  # every process: sharded weights are gathered
        source = temporary
    facts: dict[str, Any] = {}
    if first:
        if lora:
            _replace(source, job.folder / "adapter", ready.student.tokenizer)
            facts["parity"] = merge_adapter(
                job.student.model,
                job.folder / "adapter",
                target,
                prompts=[e.input_ids[: e.prompt_length] for e in ready.train[:8]],
            )
        else:
            save_plain(source, target, ready.student.tokenizer)
        for path in (temporary, best):
            shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
    return facts


def _replace(source: Path, target: Path, tokenizer: Any) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("training_args.bin"))
    tokenizer.save_pretrained(target)


def _last(history: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
    return next((line for line in reversed(history) if key in line), None)
