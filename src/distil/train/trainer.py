"""One optimiser step: a subclass of transformers.Trainer, which brings optimiser, schedule, DDP, FSDP2, checkpoints and resume.

What differs from its parent: a loader element is this process's part of a whole step; it is cut into forward passes here, the
losses come back as sums from inside the model's own forward (student.py), and are divided once, by the learned tokens of all
passes of all processes. So accumulation, packing, processes and a smaller micro-batch after out-of-memory never change
the result. Imports transformers.Trainer (seconds): only stage.py and worker.py import this file, late.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from distil.errors import WorkFailed
from distil.train.batches import MicroBatch, StepSampler, micro_batches, placeholder
from distil.train.data import Tokenised
from distil.train.sources import NoSource, Source
from distil.train.student import Task, Weights, counted, teach

Rollouts = Callable[[Sequence[Tokenised], int], tuple[list[Tokenised], list[Tokenised]]]
SUMS = ("loss", "distill", "label", "count", "tokens", "agreement", "entropy", "sampled")


@dataclass
class Recipe:
    """Everything that decides what is learned, apart from model and data."""

    weights: Weights = field(default_factory=Weights)
    source: Source = field(default_factory=NoSource)
    packing: bool = True
    batch_size: int = 32
    micro_tokens: int = 4096
    seed: int = 0
    rollouts: Rollouts | None = None
    """(examples of a step, step) -> (fixed, written by the student)."""


@dataclass
class Wishes:
    """What this process would like after the step; all processes agree on it together."""

    stop: bool = False
    save: bool = False


class DistilTrainer(Trainer):
    """See the file's docstring. `recipe` and the tokenised examples in, checkpoints and metrics out."""

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        recipe: Recipe,
        train: Sequence[Tokenised],
        validation: Sequence[Tokenised],
        tokenizer: Any,
    ) -> None:
        teach(model)
        super().__init__(
            model=model, args=args, train_dataset=list(train), eval_dataset=list(validation), processing_class=tokenizer
        )
        self.examples, self.held_out = list(train), list(validation)
        self.recipe = recipe
        self.pad_id = int(tokenizer.pad_token_id)
        self.wishes, self.agreed = Wishes(), Wishes()
        self.micro_tokens = recipe.micro_tokens
        self.sums: dict[str, Tensor | float] = {}
        self.seen_tokens = 0
        self._since = time.perf_counter()

    # ---- data

    def get_train_dataloader(self) -> DataLoader[Any]:
        """One element = this process's examples of one optimiser step. Already sharded, so accelerate must not touch it."""
        sampler = StepSampler(
            [len(e.input_ids) for e in self.examples],
            self.recipe.batch_size,
            self.recipe.seed,
            self.args.process_index,
            self.args.world_size,
        )
        return DataLoader(cast("Any", self.examples), batch_sampler=sampler, collate_fn=list)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        return None  # counted in training_step, over passes and processes

    def floating_point_ops(self, inputs: Any) -> int:
        """Not estimated: it costs time in every step."""
        return 0

    def _cut(self, fixed: Sequence[Tokenised], rollouts: Sequence[Tokenised]) -> list[MicroBatch]:
        options: dict[str, Any] = {"packing": self.recipe.packing, "pad_id": self.pad_id}
        return [
            *micro_batches(fixed, self.micro_tokens, **options),
            *micro_batches(rollouts, self.micro_tokens, rollout=True, **options),
        ]

    # ---- one step

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of a whole optimiser step; returns its mean loss (times the number of processes' share)."""
        fixed: list[Tokenised] = list(inputs)
        rollouts: list[Tokenised] = []
        if self.recipe.rollouts is not None:
            fixed, rollouts = self.recipe.rollouts(inputs, self.state.global_step)
        while True:
            try:
                return self._whole_step(model, self._cut(fixed, rollouts))
            except RuntimeError as error:
                if not self._shrink(error, max(len(e.input_ids) for e in [*fixed, *rollouts])):
                    raise
                model.zero_grad(set_to_none=True)

    def _whole_step(self, model: Any, passes: list[MicroBatch]) -> Tensor:
        model.train()
        count, most = self._agree(sum(p.learned for p in passes), len(passes))
        while len(passes) < most:
            passes.append(placeholder(self.examples[0], packing=self.recipe.packing, pad_id=self.pad_id))
        scale = self.args.world_size / max(count, 1)  # wrappers average gradients over processes
        diagnose = (self.state.global_step + 1) % max(int(self.args.logging_steps), 1) == 0
        total = torch.zeros((), device=self.args.device)
        sums: dict[str, Tensor | float] = {}
        for number, batch in enumerate(passes):
            last = number == len(passes) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                out = self._forward(model, batch, diagnose and number == 0)
                self.accelerator.backward(out["loss"] * scale)
            total += out["loss"].detach() * scale
            for name, part in out.items():
                sums[name] = sums.get(name, 0.0) + part.detach()
            sums["count"] = sums.get("count", 0.0) + batch.learned
            sums["tokens"] = sums.get("tokens", 0.0) + batch.tokens
        if not torch.isfinite(total):
            raise WorkFailed(
                f"The loss became {float(total)} at step {self.state.global_step + 1}. Lower train.learning_rate, raise "
                "train.warmup, or set train.bf16: false; the last checkpoint is whole, and the next run goes on from it."
            )
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        return total

    def _forward(self, model: Any, batch: MicroBatch, diagnose: bool) -> dict[str, Tensor]:
        batch = batch.to(self.args.device)
        keep, _ = counted(batch.labels, batch.documents)
        with self.accelerator.autocast():
            signal = self.recipe.source.signal(batch, keep, int(self.state.epoch or 0))
        weights = self.recipe.weights
        if batch.rollout:  # the student's own words are no labels
            whole = weights.distill_weight + weights.label_weight
            weights = Weights(**{**vars(weights), "distill_weight": whole, "label_weight": 0.0})
        task = Task(batch.labels, batch.documents, signal.targets, weights, signal.loss, diagnose)
        result: dict[str, Tensor] = model(task=task, batch=batch)
        return result

    def _agree(self, count: int, passes: int) -> tuple[int, int]:
        """Learned tokens of all processes, most passes of any, and the shared wishes: one small collective a step."""
        if self.args.world_size == 1:
            self.agreed = Wishes(self.wishes.stop, self.wishes.save)
            return count, passes
        mine = torch.tensor([[count, passes, self.wishes.stop, self.wishes.save]], device=self.args.device)
        rows = self.accelerator.gather(mine)
        self.agreed = Wishes(bool(rows[:, 2].any()), bool(rows[0, 3]))  # the first process holds the clock
        return int(rows[:, 0].sum()), int(rows[:, 1].max())

    def _shrink(self, error: RuntimeError, longest: int) -> bool:
        """After out-of-memory: half the tokens a pass for the same step. False for another error; WorkFailed when none
        is left."""
        memory = isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
        if not memory:
            return False
        if self.args.world_size > 1 or self.micro_tokens <= longest:
            raise WorkFailed(
                f"Memory ran out with {self.micro_tokens:,} tokens a pass (the longest text has {longest:,}). Lower "
                "train.micro_batch_tokens, set train.gradient_checkpointing: true or student.adapter: lora, and run again."
            ) from error
        self.micro_tokens = max(self.micro_tokens // 2, longest)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True

    # ---- what is measured

    def measured(self) -> dict[str, float]:
        """Means since the last call: per learned token, over all processes. Resets the sums."""
        values = torch.tensor([float(self.sums.get(name, 0.0)) for name in SUMS], device=self.args.device)
        if self.args.world_size > 1:
            values = self.accelerator.gather(values[None]).sum(0)
        sums = dict(zip(SUMS, values.tolist(), strict=True))
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self.sums = {}
        self.seen_tokens += int(sums["tokens"])
        return means(sums) | {"tokens_per_second": sums["tokens"] / seconds if seconds > 0 else 0.0}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """transformers' line of loss, gradient norm and rate, with ours."""
        if "loss" in logs:
            logs = {**logs, **self.measured(), "tokens_seen": self.seen_tokens}
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Means of the objective over the validation examples: eval_loss, eval_distill, eval_label, eval_agreement, ..."""
        examples: list[Tokenised] = list(self.held_out if eval_dataset is None else eval_dataset)
        mine = examples[self.args.process_index :: self.args.world_size] or examples[:1]
        model = self.model_wrapped
        was_training = model.training
        model.eval()
        sums = dict.fromkeys(SUMS, 0.0)
        passes = self._cut(mine, [])
        _, most = self._agree(0, len(passes))
        while len(passes) < most:
            passes.append(placeholder(examples[0], packing=self.recipe.packing, pad_id=self.pad_id))
        for batch in passes:
            out = self._forward(model, batch, diagnose=True)
            for name, value in out.items():
                sums[name] += float(value)
            sums["count"] += batch.learned
        model.train(was_training)
        values = torch.tensor([sums[name] for name in SUMS], device=self.args.device)
        if self.args.world_size > 1:
            values = self.accelerator.gather(values[None]).sum(0)
        found = means(dict(zip(SUMS, values.tolist(), strict=True)))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self._since = time.perf_counter()
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def means(sums: dict[str, float]) -> dict[str, float]:
    """Sums -> loss, distill (with T^2) and label a learned token; agreement and entropy a diagnosed token."""
    count, sampled = max(sums["count"], 1.0), sums["sampled"]
    found = {name: sums[name] / count for name in ("loss", "distill", "label")}
    if sampled:
        found |= {"agreement": sums["agreement"] / sampled, "entropy": sums["entropy"] / sampled}
    return found
