"""Turns the `train` section into the parts of a training: student, data, signal source, rollouts, transformers' arguments.

Nothing is trained here. Whatever can be wrong with models, vocabularies, caches and servers is found here, before the first step.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel, TrainingArguments, set_seed

from distil.errors import UserError
from distil.models.chat_template import chat_template
from distil.models.config import StudentConfig
from distil.models.load import Loaded, context_length, has_bfloat16, load, pick_device, stop_ids
from distil.models.lora import Lora
from distil.models.proofs import join_ends
from distil.models.render import special_ids
from distil.models.sizing import default_micro_tokens
from distil.models.student_prompt import require_common_instructions
from distil.models.template import TemplateSettings, student_template
from distil.models.unused import freeze_unused
from distil.models.unwrap import causal_model, input_embedding
from distil.progress import say, track
from distil.runs.artifacts import Project
from distil.train.batches import units_of
from distil.train.config import BY_TEXT, TrainConfig
from distil.train.examples import (
    Tokenized,
    load_examples,
    require_known_ids,
    require_taught_mode,
    taught_ends,
    tokenize,
)
from distil.train.job import TrainJob, process_rank
from distil.train.loss import loss_on_policy, loss_settings, row_rules
from distil.train.packing import can_pack, use_own, use_packed
from distil.train.packing_proof import packs_exactly
from distil.train.pairs import log_probs_before, make_pairs, own_answers, require_one_process, with_log_probs
from distil.train.rate import learning_rate
from distil.train.rollouts import unanswered
from distil.train.sharding import shards_weights
from distil.train.signal.crosstokenizer import CrossTokenizerSource
from distil.train.signal.setup import signal_source
from distil.train.signal.sources import CachedSource, OnlineSource, SignalSource
from distil.train.start import sft_epochs, untuned_start, without_effect
from distil.train.trainer import DistilTrainer, StepSettings
from distil.train.weights import weights_hash
from distil.train.writers import make_rollouts, sampling_of, writer

CPU_CACHE_BYTES, GPU_CACHE_BYTES = 512 << 20, 4 << 30
"""How much memory a teacher's hidden states may take."""
TRIED = 16
"""Examples that a trial of dpo has at least."""
FEW_STEPS = 200
"""Optimizer steps; fewer are remarked. 93 and 120 were far too few for a student of 1M, on banking77 and on the demo's task
(docs/results_levers.md)."""


@dataclass(frozen=True)
class Prepared:
    """A training ready to start, checked."""

    student: Loaded
    trainer: DistilTrainer
    train: list[Tokenized]
    dropped: int
    """Training examples that were dropped for their length."""
    cache_seconds: float
    """Seconds spent on querying the teacher ahead of training; 0 = it runs in every step."""
    ends: list[int]
    """Ids of the taught end tokens, which stop the trained student."""


def prepare(job: TrainJob) -> Prepared:
    """Loads, renders and checks everything; `job` as `placed` returned it. Raises UserError before anything is trained."""
    project, section = Project(job.root), job.section
    fsdp = shards_weights(section)
    set_seed(section.seed)  # before loading the student: a fresh adapter is random
    student = load_student(job.student, section, student_template(job.student, project))
    limit = max_length(section, student)
    train, validation, dropped = _data(project, section, student, limit)
    ends = teach_ends(student, [*train, *validation])
    pad_id = int(student.tokenizer.pad_token_id)
    packing = section.packing and _proven(causal_model(student.model), train, pad_id, "student")
    source = signal_source(section, project, job.teacher, student, packing=packing)
    if packing and isinstance(source, OnlineSource) and source.packs:
        packing = all(_proven(teacher, train, pad_id, "teacher") for teacher in source.teachers)
    if isinstance(source, CachedSource):  # the cache may hold the training split only: then there is no validation
        validation = [example for example in validation if example.id in source.store]
    if section.method == "dpo":
        train, validation = _pairs(job, student, train, validation)
    loss, on_policy = loss_settings(section), loss_on_policy(section)
    rules = row_rules(section, special_ids(student.tokenizer))
    for wanted in (loss, *([on_policy] if on_policy is not None else [])):
        rules.refuse_mismatch(wanted.divergence)
        source.check([*train, *validation], wanted)
    settings = StepSettings(
        loss=loss,
        loss_on_policy=on_policy,
        rules=rules,
        source=source,
        packing=packing and source.packs,
        batch_size=section.batch_size,
        micro_tokens=micro_tokens(section, student.device),
        seed=section.seed,
        one_answer=section.answers == "one_per_epoch",
        sft_epochs=sft_epochs(section),
        fsdp=fsdp,
        rollouts=make_rollouts(section, student, train, source),
    )
    rate = learning_rate(section, job.student, base_parameters(student))
    if section.learning_rate is None and process_rank() == 0:
        say(f"Learning rate {rate.value:g}: {rate.why}. To choose another: --set train.learning_rate=...")
    with_unanswered = section.method == "on_policy" and section.rollout_unanswered
    prompts = unanswered(project, student.tokenizer, limit) if with_unanswered else []
    if process_rank() == 0:
        each = len(units_of(train)) if settings.one_answer else len(train)
        few = _too_few_steps(section, each + len(prompts)) if job.max_steps is None else None
        for remark in filter(None, (few, untuned_start(section, job.student.model), without_effect(section))):
            say(remark)
    arguments = training_arguments(
        section, job.folder, student.device, job.max_steps, rate=rate.value, validates=bool(validation)
    )
    trainer = DistilTrainer(student.model, arguments, settings, [*train, *prompts], validation, student.tokenizer)
    if section.method == "dpo":
        trainer.examples, trainer.held_out = (_with_reference(trainer, side) for side in (train, validation))
        train = trainer.examples
    cache_seconds = _cache_signal(job, source, trainer, [*train, *validation], student.device)
    return Prepared(student, trainer, train, dropped, cache_seconds, ends)


def _too_few_steps(section: TrainConfig, examples: int) -> str | None:
    """What to say where so few optimizer steps can't teach much; None where there are enough."""
    steps = math.ceil(examples / section.batch_size) * section.epochs
    if steps >= FEW_STEPS or section.batch_size == 1:
        return None
    epochs = max(section.epochs, 5.0)
    smaller = max(1, min(section.batch_size // 2, int(examples * epochs // FEW_STEPS)))
    return (
        f"{examples:,} examples in batches of {section.batch_size} make {steps:.0f} steps in {section.epochs:g} epochs, "
        f"which may teach little. Collect more, or: --set train.batch_size={smaller} --set train.epochs={epochs:g}"
    )


def teach_ends(student: Loaded, examples: Sequence[Tokenized]) -> list[int]:
    """The tokens that end the answers. They join those at which the student's generation stops: a base model with a chat
    template of another end would never stop."""
    ends = [end for end in taught_ends(examples) if end in special_ids(student.tokenizer)]
    before = sorted(stop_ids(student.model, student.tokenizer))
    join_ends(causal_model(student.model), ends)
    if not set(ends) <= set(before) and process_rank() == 0:
        was = ", ".join(map(student.decode, ([end] for end in before)))
        taught = ", ".join(map(student.decode, ([end] for end in ends)))
        say(f"The answers end with {taught}, and {student.ref} stopped at {was}: the trained student stops at both.")
    return ends


def _proven(model: PreTrainedModel, examples: Sequence[Tokenized], pad_id: int, whose: str) -> bool:
    """Whether the model's packed rows equal its documents alone; where it looks as if and is not, says so and takes padding."""
    if not can_pack(model):
        return False
    if packs_exactly(model, examples, pad_id):
        return True
    use_own(model)
    if process_rank() == 0:
        say(
            f"A packed row of the {whose} ({type(model).__name__}) differs from its documents alone: packing is off, padding on."
        )
    return False


def _data(
    project: Project, section: TrainConfig, student: Loaded, limit: int | None
) -> tuple[list[Tokenized], list[Tokenized], int]:
    """Training examples, validation examples, and how many training examples were dropped for their length."""
    one_answer = section.cross_tokenizer is not None  # the teacher's template may part the answers otherwise
    render = partial(
        tokenize,
        student.tokenizer,
        max_length=limit,
        too_long=section.too_long,
        one_answer=one_answer,
        with_teacher=section.method not in BY_TEXT and section.cross_tokenizer is None,
    )
    examples = load_examples(project.split("train"), section.target)
    if chat_template(student.tokenizer).prompt is not None:
        require_common_instructions(example.messages for example in examples)
    require_taught_mode(student.tokenizer, examples)
    train, dropped = render(examples, label="training examples")
    validation: list[Tokenized] = []
    path = project.split("validation")
    if section.validation_examples and path.exists() and path.stat().st_size:
        to_choose = section.early_stopping is not None
        examples = load_examples(path, section.target, section.validation_examples, to_choose=to_choose)
        validation, _ = render(examples, label="validation examples")
    require_known_ids([*train, *validation], input_embedding(student.model).shape[0], len(student.tokenizer))
    if section.early_stopping is not None and not validation:
        raise UserError(
            "train.early_stopping needs validation examples, and there are none. Set curate.validation above 0."
        )
    return train, validation, dropped


def _pairs(
    job: TrainJob, student: Loaded, train: list[Tokenized], validation: list[Tokenized]
) -> tuple[list[Tokenized], list[Tokenized]]:
    """The examples as pairs with the student's own answers; a trial has as many as it needs. UserError where the student
    gives the teacher's everywhere."""
    section = job.section
    require_one_process(section)
    if job.max_steps is not None:
        train = train[: max(TRIED, 2 * job.max_steps * section.batch_size)]
    write, sampling = writer(section, student), sampling_of(section, student, train)
    file, start = job.folder / "checkpoints" / "own_answers.json", f"{job.student.model} {weights_hash(student.model)}"
    texts = own_answers(write, [*train, *validation], sampling, section.seed, file, start)
    pairs = make_pairs(student, train, texts, "training examples")
    if not pairs:
        raise UserError(
            f"To all {len(train):,} training prompts {student.ref} gives the teacher's answers already, so nothing is left to "
            "prefer. Use it as it is, or raise train.rollout_temperature to look for mistakes that it makes more rarely."
        )
    held_out = make_pairs(student, validation, texts, "validation examples")
    if section.early_stopping is not None and not held_out:
        raise UserError(
            f"train.early_stopping needs validation pairs, and to all {len(validation):,} validation prompts {student.ref} gives "
            "the teacher's answers already. Leave train.early_stopping out, or set curate.validation higher."
        )
    return pairs, held_out


def _with_reference(trainer: DistilTrainer, pairs: list[Tokenized]) -> list[Tokenized]:
    """The pairs with their log-probabilities under the student as it is before the first step."""
    with trainer.accelerator.autocast():
        before = log_probs_before(trainer.model, trainer.cut(pairs), trainer.args.device)
    return with_log_probs(pairs, before)


def _cache_signal(
    job: TrainJob, source: SignalSource, trainer: DistilTrainer, examples: list[Tokenized], device: torch.device
) -> float:
    """Runs a local teacher once over all fixed texts if several epochs will need them and memory allows. Returns seconds."""
    section = job.section
    if (
        not isinstance(source, OnlineSource | CrossTokenizerSource)
        or (job.max_steps is not None and job.max_steps * section.batch_size <= len(examples))
        or section.method != "logits"
        or section.epochs <= 1
        or section.processes > 1
        or source.cache_bytes(examples) > (CPU_CACHE_BYTES if device.type == "cpu" else GPU_CACHE_BYTES)
    ):
        return 0.0
    started = time.perf_counter()
    source.fill_cache(track(trainer.cut(examples), "Querying the teacher", unit="batches"), device)
    return time.perf_counter() - started


def load_student(student: StudentConfig, section: TrainConfig, template: TemplateSettings | None = None) -> Loaded:
    """The student ready to train: float32 master weights for a full training, a fresh adapter for LoRA; its template prepared."""
    lora = Lora(student.lora_rank, student.lora_alpha, student.lora_dropout) if student.adapter == "lora" else None
    # AdamW's small steps vanish in bfloat16 weights; with autocast the products still run in bfloat16.
    dtype = "float32" if student.dtype == "auto" and lora is None else student.dtype
    rank = os.environ.get("LOCAL_RANK")  # set by torchrun: one GPU per process
    device = f"cuda:{rank}" if rank is not None and pick_device().type == "cuda" else None
    loaded = load(
        student.model, dtype=dtype, adapter=lora, quantization=student.quantization, device=device, template=template
    )
    if lora is None:
        freeze_unused(loaded.model)
    if section.packing and can_pack(causal_model(loaded.model)):
        use_packed(causal_model(loaded.model))
    return loaded


def base_parameters(student: Loaded) -> int:
    """Parameters of the model that is trained, without those of a fresh adapter."""
    model = causal_model(student.model)
    adapter = sum(p.numel() for name, p in student.model.named_parameters() if "lora_" in name)
    return int(model.num_parameters()) - adapter


def max_length(section: TrainConfig, student: Loaded) -> int | None:
    """Maximum length of an example: the setting, else the student's context. UserError if the setting exceeds the context."""
    context = context_length(causal_model(student.model))
    if section.max_length is not None and context is not None and section.max_length > context:
        raise UserError(
            f"train.max_length is {section.max_length:,}, but the student reads at most {context:,} tokens. "
            f"Set train.max_length: {context}, or leave it out."
        )
    return section.max_length or context


def micro_tokens(section: TrainConfig, device: torch.device) -> int:
    """Maximum tokens of one forward pass."""
    return section.micro_batch_tokens or default_micro_tokens(gpu=device.type != "cpu")


def training_arguments(
    section: TrainConfig,
    folder: Path,
    device: torch.device,
    max_steps: int | None,
    *,
    rate: float,
    validates: bool,
) -> TrainingArguments:
    """transformers' settings. Whatever Distil does itself is switched off."""
    _check_reporters(section, folder)
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=section.epochs,
        max_steps=max_steps if max_steps is not None else -1,
        per_device_train_batch_size=1,
        learning_rate=rate,
        lr_scheduler_type="constant_with_warmup" if section.schedule == "constant" else section.schedule,
        warmup_steps=section.warmup,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        activation_checkpointing=section.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if section.gradient_checkpointing else None,
        bf16=section.bf16 if section.bf16 is not None else has_bfloat16(device),
        use_cpu=device.type == "cpu",
        seed=section.seed,
        data_seed=section.seed,
        logging_steps=section.log_steps,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if validates else "no",
        save_strategy="no",
        save_total_limit=2,
        disable_tqdm=True,
        log_level="error",  # silences the Trainer's advice about tied weights, which a checkpoint stores once
        log_level_replica="error",
        report_to=list(section.report_to) or "none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        dataloader_num_workers=0,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,  # they are constants, and after a failed pass the processes would be out of step
    )
    if arguments.n_gpu > 1:
        # transformers would put one process's model on all of them by DataParallel, which takes tensors only
        arguments._n_gpu = 1
    return arguments


def _check_reporters(section: TrainConfig, folder: Path) -> None:
    """The packages of train.report_to must be installed; TensorBoard's files go next to metrics.jsonl."""
    for package in section.report_to:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"train.report_to names {package}, which is not installed. Run `pip install {package}`, or leave it out."
            )
    if "tensorboard" in section.report_to:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder / "tensorboard"))
