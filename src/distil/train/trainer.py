"""One optimizer step: a subclass of transformers.Trainer, which brings optimizer, schedule, DDP, FSDP2, checkpoints and resume.

What differs from its parent: an element of the loader is this process's part of a whole step. It is cut into forward passes here;
the losses come back as sums from inside the model's own forward (objective.py) and are divided once, by the learned tokens of all
passes of all processes. So accumulation, packing, processes and a smaller micro-batch after running out of memory never change
the result. Importing transformers.Trainer takes seconds, so only code that trains imports this file.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, TrainingArguments

from distil.errors import UserError, WorkFailed
from distil.objectives.rowwise import RowRules
from distil.objectives.settings import LABELS_ONLY, LossSettings
from distil.train.batches import MicroBatch, StepSampler, micro_batches, placeholder, units_of
from distil.train.examples import Tokenized
from distil.train.memory import ADVICE, PassTooLarge, ran_out_of_memory
from distil.train.objective import Sums, Task, install_objective
from distil.train.pairs import pair_batches
from distil.train.sharding import ShardingTrainer
from distil.train.signal.sources import NoSource, SignalSource
from distil.train.weights import read_weights, write_weights

CAUTIOUS_STEPS = 3
"""DDP: steps after a start or a smaller micro-batch in which gradients are synchronized by a pass that needs next to no memory.
After them the optimizer's moments and the longest passes have been in memory."""
SUMS = (
    "loss",
    "distill",
    "label",
    "count",
    "tokens",
    "agreement",
    "entropy",
    "sampled",
    "kl",
    "compared",
    "preferred",
    "pairs",
)


@dataclass(frozen=True)
class StepSettings:
    """How a step is computed, apart from model and data."""

    loss: LossSettings = LABELS_ONLY
    loss_on_policy: LossSettings | None = None
    """On the texts that the student wrote: the same, but for the divergence; None = all of `loss`."""
    rules: RowRules = field(default_factory=RowRules)
    source: SignalSource = field(default_factory=NoSource)
    packing: bool = True
    batch_size: int = 32
    micro_tokens: int = 4096
    seed: int = 0
    one_answer: bool = False
    """An epoch has one answer per prompt, another one in the next epoch."""
    sft_epochs: float = 0.0
    """At the start, the labels alone are learned for so long."""
    fsdp: bool = False
    """Split the weights over the processes (sharding.py)."""
    rollouts: Callable[[Sequence[Tokenized], int], tuple[list[Tokenized], list[Tokenized]]] | None = None
    """(examples of a step, step) -> (fixed examples, texts that the student wrote)."""


@dataclass
class StepRequest:
    """What should happen after a step: requested by each process, then agreed on by all."""

    stop: bool = False
    save: bool = False


class DistilTrainer(ShardingTrainer):
    """Tokenized examples in, checkpoints and metrics out; see the file's docstring."""

    model: torch.nn.Module

    def __init__(
        self,
        model: torch.nn.Module,
        args: TrainingArguments,
        settings: StepSettings,
        train: Sequence[Tokenized],
        validation: Sequence[Tokenized],
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        install_objective(model)
        super().__init__(
            model=model, args=args, train_dataset=list(train), eval_dataset=list(validation), processing_class=tokenizer
        )
        require_whole_head(self.accelerator.state)
        self.examples, self.held_out = list(train), list(validation)
        self.settings, self.sharded = settings, settings.fsdp
        self.pad_id = int(tokenizer.pad_token_id)
        self.request, self.agreed = StepRequest(), StepRequest()
        self.sft_steps, self.labels_alone = 0, False
        self.micro_tokens = settings.micro_tokens
        self.sums: dict[str, Tensor | float] = {}
        self.seen_tokens = self.steps_since_shrink = 0
        self._measured_at = time.perf_counter()

    # ---- data

    def get_train_dataloader(self) -> DataLoader[Any]:
        """One element = this process's examples of one optimizer step. Already sharded: accelerate must not shard it again."""
        sampler = self._sampler()
        self.sft_steps = round(self.settings.sft_epochs * len(sampler))
        return DataLoader(cast("Any", self.examples), batch_sampler=sampler, collate_fn=list)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return len(self._sampler())

    def _sampler(self) -> StepSampler:
        lengths, settings = [e.size for e in self.examples], self.settings
        rank, world = self.args.process_index, self.args.world_size
        units = units_of(self.examples) if settings.one_answer else None
        return StepSampler(lengths, settings.batch_size, settings.seed, rank, world, units)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        return None  # counted in training_step, over passes and processes

    def floating_point_ops(self, inputs: object) -> int:
        """Not estimated: that would take time in every step."""
        return 0

    def cut(
        self, fixed: Sequence[Tokenized], rollouts: Sequence[Tokenized] = (), max_tokens: int | None = None
    ) -> list[MicroBatch]:
        """Examples as forward passes of at most `max_tokens` tokens (default: the current micro-batch)."""
        limit, packing = max_tokens or self.micro_tokens, self.settings.packing
        if any(example.rejected is not None for example in fixed):
            return pair_batches(fixed, limit, packing=packing, pad_id=self.pad_id)
        return [
            *micro_batches(fixed, limit, packing=packing, pad_id=self.pad_id),
            *micro_batches(rollouts, limit, packing=packing, pad_id=self.pad_id, rollout=True),
        ]

    def _fill_up(self, passes: list[MicroBatch], count: int, example: Tokenized) -> None:
        """Appends passes that teach nothing: collective operations need equally many passes in every process."""
        while len(passes) < count:
            passes.append(placeholder(example, packing=self.settings.packing, pad_id=self.pad_id))

    # ---- one step

    def training_step(
        self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward of a whole optimizer step. Returns its mean loss (times this process's share of the tokens)."""
        fixed: list[Tokenized] = list(inputs)
        rollouts: list[Tokenized] = []
        self.labels_alone = self.state.global_step < self.sft_steps
        if self.labels_alone:
            fixed = [example for example in fixed if example.learned]
        elif self.settings.rollouts is not None:
            fixed, rollouts = self.settings.rollouts(inputs, self.state.global_step)
        while True:
            try:
                return self._whole_step(model, self.cut(fixed, rollouts))
            except PassTooLarge:
                model.zero_grad(set_to_none=True)
            self._shrink_passes(max((e.size for e in [*fixed, *rollouts]), default=0))  # others may have had all texts

    def _whole_step(self, model: torch.nn.Module, passes: list[MicroBatch]) -> Tensor:
        """All passes of a step. Raises PassTooLarge in every process if memory ran out in one and the step can be repeated."""
        model.train()
        count, max_passes = self._agree(sum(p.units for p in passes), len(passes))
        # With sharded weights every pass is collective. With DDP only the last one is: it averages the gradients. As long as
        # memory may still run out, DDP's last pass is a placeholder, so that a process fails before it, never inside it.
        sharded = self.sharded or self.is_deepspeed_enabled
        replicated = self.args.world_size > 1 and not sharded
        cautious = replicated and self.steps_since_shrink < CAUTIOUS_STEPS
        self._fill_up(passes, max(max_passes + cautious, 1), self.examples[0])
        scale = self.args.world_size / max(count, 1)  # wrappers average gradients over processes; this makes it a sum
        diagnose = (self.state.global_step + 1) % max(int(self.args.logging_steps), 1) == 0
        total = torch.zeros((), device=self.args.device)
        sums: dict[str, Tensor | float] = {}
        out_of_memory = False
        for number, batch in enumerate(passes):
            last = number == len(passes) - 1
            if replicated and last and number:
                self._raise_if_any(out_of_memory)
            if out_of_memory:
                continue  # the other processes learn of it before the last pass
            try:
                out = self._forward_and_backward(model, batch, scale, last=last, diagnose=diagnose and number == 0)
            except RuntimeError as error:
                self._check_repeatable(error, in_collective=sharded or (replicated and last))
                out_of_memory = True
                continue
            total += out["loss"].detach() * scale
            _add(sums, {name: value.detach() for name, value in out.items()})
            _add(sums, {"count": batch.units, "tokens": batch.tokens if batch.learned else 0})
        self._finish(total, sums)
        return total

    def _forward_and_backward(
        self, model: torch.nn.Module, batch: MicroBatch, scale: float, *, last: bool, diagnose: bool
    ) -> Sums:
        self.accelerator.sync_gradients = last  # DeepSpeed's engine would step the optimizer after every pass
        with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
            out = self.forward(model, batch, diagnose=diagnose)
            self.accelerator.backward(out["loss"] * scale)
        return out

    def _finish(self, total: Tensor, sums: dict[str, Tensor | float]) -> None:
        if not torch.isfinite(total):
            raise WorkFailed(
                f"The loss became {float(total)} at step {self.state.global_step + 1}. Lower train.learning_rate, raise "
                "train.warmup, or set train.bf16: false, and run again (other settings start the training from the beginning)."
            )
        self.steps_since_shrink += 1
        _add(self.sums, sums)

    def forward(self, model: torch.nn.Module, batch: MicroBatch, *, diagnose: bool = False) -> Sums:
        """The teacher's signal and the student's losses of one pass: sums over its learned tokens."""
        batch = batch.to(self.args.device)
        if self.labels_alone:
            alone: Sums = model(task=Task(None, LABELS_ONLY, diagnose=diagnose), batch=batch)
            return alone
        with self.accelerator.autocast():
            signal = self.settings.source.signal(batch, int(self.state.epoch or 0))
        loss = self.settings.loss
        if batch.rollout:  # the student's own text is not a label: all weight goes to the divergence
            loss = self.settings.loss_on_policy or loss
            loss = replace(loss, distill_weight=loss.distill_weight + loss.label_weight, label_weight=0.0)
        diagnose = diagnose and not batch.pairs
        sums: Sums = model(task=Task(signal.targets, loss, signal.loss, self.settings.rules, diagnose), batch=batch)
        return sums

    def _agree(self, count: int, passes: int) -> tuple[int, int]:
        """Learned tokens of all processes, most passes of any, and the agreed request: one small collective per step."""
        if self.args.world_size == 1:
            self.agreed = replace(self.request)
            return count, passes
        own = torch.tensor([[count, passes, self.request.stop, self.request.save]], device=self.args.device)
        rows = self.accelerator.gather(own)
        # The first process's clock decides on saving.
        self.agreed = StepRequest(stop=bool(rows[:, 2].any()), save=bool(rows[0, 3]))
        return int(rows[:, 0].sum()), int(rows[:, 1].max())

    # ---- out of memory

    def _check_repeatable(self, error: RuntimeError, *, in_collective: bool) -> None:
        """Returns when this process must wait for the others before the step is repeated.

        Raises PassTooLarge when this process is the only one, WorkFailed when the others already wait inside a collective (always
        with FSDP and DeepSpeed), and any other error unchanged.
        """
        if not ran_out_of_memory(error):
            raise error
        if in_collective:
            raise WorkFailed(
                f"Memory ran out with {self.micro_tokens:,} tokens per pass, where the step can't be repeated. {ADVICE}"
            ) from error
        if self.args.world_size == 1:
            raise PassTooLarge

    def _raise_if_any(self, out_of_memory: bool) -> None:
        """Raises PassTooLarge in every process when memory ran out in any. One small collective."""
        own = torch.tensor([[int(out_of_memory)]], device=self.args.device)
        if bool(self.accelerator.gather(own).any()):
            raise PassTooLarge

    def _shrink_passes(self, longest: int) -> None:
        """Halves the tokens per pass in all processes. WorkFailed when no smaller pass holds the longest text."""
        if self.args.world_size > 1:
            longest = int(self.accelerator.gather(torch.tensor([longest], device=self.args.device)).max())
        if self.micro_tokens <= longest:
            raise WorkFailed(
                f"Memory ran out with {self.micro_tokens:,} tokens per pass (the longest text has {longest:,}). {ADVICE}"
            )
        self.micro_tokens, self.steps_since_shrink = max(self.micro_tokens // 2, longest), 0
        gc.collect()  # frames of the failed pass in circles of references would keep its tensors
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # ---- checkpoints

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The Hugging Face folder; for a checkpoint (`_internal_call`) the weights under torch's names (weights.py)."""
        if self.sharded and output_dir is not None:
            self.save_whole(Path(output_dir), checkpoint=_internal_call)
        elif not _internal_call or output_dir is None or self.is_deepspeed_enabled:
            super().save_model(output_dir, _internal_call)
        elif self.args.should_save:
            write_weights(self.model, Path(output_dir))

    def keep_checkpoint(self) -> Path:
        """Writes a checkpoint of the current step and returns its folder."""
        self._save_checkpoint(self.model, trial=None)
        return Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        if self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            read_weights(self.model, Path(resume_from_checkpoint))

    # ---- metrics

    def _over_processes(self, sums: dict[str, Tensor | float]) -> dict[str, float]:
        values = torch.tensor([float(sums.get(name, 0.0)) for name in SUMS], device=self.args.device)
        if self.args.world_size > 1:
            values = self.accelerator.gather(values[None]).sum(0)
        return dict(zip(SUMS, values.tolist(), strict=True))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds to transformers' loss, gradient norm and learning rate the means since the last line, over all processes."""
        if "loss" in logs:
            sums, self.sums = self._over_processes(self.sums), {}
            now = time.perf_counter()
            seconds, self._measured_at = now - self._measured_at, now
            self.seen_tokens += int(sums["tokens"])
            speed = {"tokens_per_second": sums["tokens"] / seconds if seconds > 0 else 0.0}
            logs = {**logs, **means(sums), **speed, "tokens_seen": self.seen_tokens}
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Means of the objective over the validation examples: eval_loss, eval_distill, eval_label, eval_agreement, ..."""
        started = time.perf_counter()
        examples: list[Tokenized] = list(self.held_out if eval_dataset is None else eval_dataset)
        share = examples[self.args.process_index :: self.args.world_size] or examples[:1]
        self.labels_alone = False  # validation has the training's whole objective in every epoch
        model = self.model_wrapped
        was_training = model.training
        model.eval()
        sums: dict[str, Tensor | float] = {}
        passes = self.cut(share)
        _, max_passes = self._agree(0, len(passes))
        self._fill_up(passes, max_passes, examples[0])
        for batch in passes:
            _add(sums, {name: float(value) for name, value in self.forward(model, batch, diagnose=True).items()})
            _add(sums, {"count": batch.units})
        model.train(was_training)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means(self._over_processes(sums)).items()}
        self._measured_at += time.perf_counter() - started  # the speed is that of training alone
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _add(sums: dict[str, Tensor | float], values: Mapping[str, Tensor | float]) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + value


def require_whole_head(state: AcceleratorState) -> None:
    """Raises UserError for DeepSpeed's ZeRO stage 3, which shards the output layer."""
    if state.deepspeed_plugin is not None and state.deepspeed_plugin.zero_stage == 3:
        raise UserError(
            "DeepSpeed's ZeRO stage 3 shards the output layer that the loss reads, which is not supported. Set zero_stage: 2, "
            "or shard the weights with FSDP2 (train.fsdp: true)."
        )


def means(sums: dict[str, float]) -> dict[str, float]:
    """loss, distill (with T^2) and label per learned token, for pairs the loss per pair; agreement, entropy and kl (at T = 1) per
    sampled token; preferred: share of pairs whose better answer has gained on the worse one."""
    count, sampled = max(sums["count"], 1.0), sums["sampled"]
    values = {name: sums[name] / count for name in (("loss",) if sums["pairs"] else ("loss", "distill", "label"))}
    if sampled:
        values |= {"agreement": sums["agreement"] / sampled, "entropy": sums["entropy"] / sampled}
    if sums["pairs"]:
        values["preferred"] = sums["preferred"] / sums["pairs"]
    if sums["compared"]:
        values["kl"] = sums["kl"] / sums["compared"]
    return values
