"""Turns settings into the parts of a training: student, teachers, source, rollouts, transformers' arguments.

Plain functions; nothing is trained here. Everything that can be wrong with models, vocabularies, caches and servers is
found here, before the first step. Called by work.py and selfcheck.py.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.models.fingerprint import shared_prefix, template_fingerprint, tokenizer_fingerprint
from distil.models.load import Loaded, Lora, context_length, load, load_tokenizer, pick_device
from distil.models.sizing import default_micro_tokens
from distil.records import Sampling
from distil.runs.artifacts import Project
from distil.train.config import TeacherShare, TrainConfig
from distil.train.examples import Tokenized
from distil.train.objective import Weights, causal_model
from distil.train.packing import can_pack, use_packed
from distil.train.rollouts import Rollouts, in_process, room
from distil.train.signal.server import Address, ServerSource, served_writer
from distil.train.signal.sources import CachedSource, NoSource, OnlineSource, SignalSource


def weights_of(section: TrainConfig) -> Weights:
    """What is minimized. sft counts labels alone, at weight 1."""
    if section.method == "sft":
        return Weights()
    if section.distill_weight == 0 and section.label_weight == 0:
        raise UserError(
            "train.distill_weight and train.label_weight are both 0: nothing would be learned. Use 0.7 and 0.3."
        )
    return Weights(
        divergence=section.divergence,
        beta=section.beta,
        alpha=section.alpha,
        temperature=section.temperature,
        distill_weight=section.distill_weight,
        label_weight=section.label_weight,
    )


def load_student(student: StudentConfig, section: TrainConfig, device: str | None = None) -> Loaded:
    """The student ready to train: float32 master weights for a full training, a fresh adapter for LoRA."""
    lora = Lora(student.lora_rank, student.lora_alpha, student.lora_dropout) if student.adapter == "lora" else None
    dtype = student.dtype
    if dtype == "auto" and lora is None:
        dtype = (
            "float32"  # AdamW's small steps vanish in bfloat16 weights; the products still run in bfloat16 (autocast)
        )
    loaded = load(student.model, dtype=dtype, adapter=lora, quantization=student.quantization, device=device)
    if section.packing and can_pack(causal_model(loaded.model)):
        use_packed(causal_model(loaded.model))
    return loaded


def computes_in_bf16(section: TrainConfig, device: torch.device) -> bool:
    """Whether products run in bfloat16."""
    if section.bf16 is not None:
        return section.bf16
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def max_length(section: TrainConfig, model: Any) -> int | None:
    """Longest example: the setting, at most the student's context. Raises UserError when the setting is beyond it."""
    context = context_length(causal_model(model))
    if section.max_length is not None and context is not None and section.max_length > context:
        raise UserError(
            f"train.max_length is {section.max_length:,}, but the student reads at most {context:,} tokens."
        )
    return section.max_length or context


def teacher_shares(section: TrainConfig, teacher: TeacherConfig | None) -> list[TeacherShare]:
    """The local teachers of a training with an online signal. Raises UserError where there is none."""
    if section.teachers:
        return [share.model_copy(update={"model": _local(share.model)}) for share in section.teachers]
    if teacher is None:
        raise UserError(f"train.method: {section.method} needs a teacher; the config names none.")
    return [TeacherShare(model=_local(teacher.model))]


def _local(model: str) -> str:
    if model.startswith(("http://", "https://", "sglang+")):
        raise UserError(
            f"The teacher {model} is a server, and train.signal is online (a model in this process). Set train.signal: "
            "server, or "
            "name a local model in train.teachers."
        )
    prefix = model.split("/", 1)[0]
    if prefix in ("openai", "anthropic", "google", "recorded", "azure", "together", "fireworks", "groq", "mistral"):
        raise UserError(
            f"The teacher {model} gives text only, no distribution over every token, which train.method needs. Use "
            "train.method: sft, "
            "or name an open model in train.teachers, such as {model: Qwen/Qwen3-8B}."
        )
    return model.removeprefix("local/")


def source_of(
    section: TrainConfig,
    project: Project | None,
    teacher: TeacherConfig | None,
    student: Loaded,
    *,
    packing: bool,
) -> SignalSource:
    """The teacher's side. Raises UserError for tokenizers that differ, a cache made for others, or a server that is
    not there."""
    if section.method == "sft":
        return NoSource()
    if section.signal == "cached":
        if section.method == "on_policy" or project is None:
            raise UserError(
                "train.signal: cached knows the fixed answers only; on_policy needs train.signal: online or server."
            )
        from distil.runs.signals.store import SignalStore

        store = SignalStore.open(
            project.signals,
            tokenizer=tokenizer_fingerprint(student.tokenizer),
            template=template_fingerprint(student.tokenizer),
        )
        return CachedSource(store, section.temperature, student.device)
    if section.signal == "server":
        place = section.server or (teacher.model if teacher else "")
        return ServerSource(Address.parse(place), section.server_top_k, student.device)
    shares = teacher_shares(section, teacher)
    same = [same_tokenizer(student.tokenizer, load_tokenizer(share.model)) for share in shares]
    if not all(same):
        return _cross_source(section, shares, student)
    models = [load(share.model, dtype="auto", device=str(student.device)).model for share in shares]
    return OnlineSource(models, [share.weight for share in shares], packing=packing)


def same_tokenizer(ours: Any, theirs: Any) -> bool:
    """Whether both give the same ids: one is a prefix of the other (families pad and extend their vocabularies)."""
    if tokenizer_fingerprint(ours) == tokenizer_fingerprint(theirs):
        return True
    probe = 'Where is order 4711? Ümlaut, 你好, {"a": [1, 2.5]}\n\n\tdef f(x): return x**2'
    shared = shared_prefix(ours, theirs)
    smaller = min(len(ours), len(theirs))
    same_text = (
        ours(probe, add_special_tokens=False)["input_ids"] == theirs(probe, add_special_tokens=False)["input_ids"]
    )
    return bool(same_text and shared >= 0.99 * smaller)


def _cross_source(section: TrainConfig, shares: Sequence[TeacherShare], student: Loaded) -> SignalSource:
    if section.cross_tokenizer is None:
        raise UserError(
            f"The teacher {shares[0].model} and the student {student.ref} have different tokenizers, so their "
            "distributions can't be "
            "compared token by token. Set train.cross_tokenizer: bytes (or spans, uld), choose models of one family, or use "
            "method: sft."
        )
    if len(shares) > 1:
        raise UserError(
            "A mixture of teachers needs one tokenizer for all; with train.cross_tokenizer name a single teacher."
        )
    from distil.train.signal.crosstokenizer import CrossTokenizerSource

    return CrossTokenizerSource(
        load(shares[0].model, dtype="auto", device=str(student.device)), student, section.cross_tokenizer
    )


def rollouts_of(section: TrainConfig, student: Loaded, train: Sequence[Tokenized]) -> Rollouts | None:
    """Who writes the student's own texts, for on_policy."""
    if section.method != "on_policy" or section.on_policy_share == 0:
        return None
    if section.rollout_server is None and section.fsdp and section.processes > 1:
        raise UserError(
            "on_policy with train.fsdp: true needs train.rollout_server (sharded weights can't generate here)."
        )
    longest = max(len(e.input_ids) - e.prompt_length for e in train)
    inner = causal_model(student.model)
    write = (
        served_writer(Address.parse(section.rollout_server))
        if section.rollout_server
        else in_process(student.model, student.tokenizer, student.device)
    )
    sampling = Sampling(
        temperature=section.rollout_temperature, max_tokens=room(inner, longest, section.rollout_tokens)
    )
    decode = partial(student.decode, skip_special_tokens=True) if section.cross_tokenizer else None
    return Rollouts(
        write,
        share=section.on_policy_share,
        sampling=sampling,
        context=context_length(inner),
        seed=section.seed,
        decode=decode,
    )


def arguments(section: TrainConfig, folder: Path, device: torch.device, max_steps: int | None, validates: bool) -> Any:
    """transformers' TrainingArguments: everything that we do ourselves is switched off."""
    from transformers import TrainingArguments

    _check_reporters(section, folder)
    fsdp: dict[str, Any] = {}
    if section.fsdp and section.processes > 1:
        config = {"version": 2, "activation_checkpointing": section.gradient_checkpointing}
        fsdp = {"fsdp": True, "fsdp_config": config}
    checkpointing = section.gradient_checkpointing and not fsdp
    schedule = {"constant": "constant_with_warmup"}.get(section.schedule, section.schedule)
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=section.epochs,
        max_steps=max_steps if max_steps is not None else -1,
        per_device_train_batch_size=1,
        learning_rate=section.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=section.warmup,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        activation_checkpointing=checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        bf16=computes_in_bf16(section, device),
        use_cpu=device.type == "cpu",
        seed=section.seed,
        data_seed=section.seed,
        logging_steps=section.log_steps,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if validates else "no",
        save_strategy="no",
        save_total_limit=2,
        disable_tqdm=True,
        log_level="error",  # or the Trainer talks again, of tied weights that a checkpoint holds once
        log_level_replica="error",
        report_to=list(section.report_to) or "none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        dataloader_num_workers=0,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,  # constants; a pass that ran out of memory would leave the processes out of step
        **fsdp,
    )


def _check_reporters(section: TrainConfig, folder: Path) -> None:
    """The packages of train.report_to must be there; TensorBoard's files go beside metrics.jsonl."""
    for package in section.report_to:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"train.report_to names {package}, which is not installed. Run `pip install {package}`, or leave it out."
            )
    if "tensorboard" in section.report_to:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder / "tensorboard"))


def micro_tokens(section: TrainConfig, device: torch.device) -> int:
    """Most tokens of one forward pass."""
    return section.micro_batch_tokens or default_micro_tokens(gpu=device.type != "cpu")


def device_of_process() -> str | None:
    """`cuda:RANK` inside torchrun on a GPU machine; None lets `load` choose."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank is not None and pick_device().type == "cuda" else None
