"""One optimizer step: a subclass of transformers.Trainer, which brings optimizer, schedule, DDP, FSDP2, checkpoints and resume.

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

from distil.errors import UserError, WorkFailed
from distil.train.batches import MicroBatch, StepSampler, micro_batches, placeholder
from distil.train.examples import Tokenized
from distil.train.memory import ADVICE, Shortage, ran_out
from distil.train.objective import Task, Weights, counted, teach
from distil.train.signal.sources import NoSource, SignalSource

Rollouts = Callable[[Sequence[Tokenized], int], tuple[list[Tokenized], list[Tokenized]]]
CAREFUL_STEPS = 3
"""Steps after a start or a smaller micro-batch in which processes synchronize gradients apart from the real passes: by then the
optimizer's moments and the longest passes have been in memory."""
SUMS = ("loss", "distill", "label", "count", "tokens", "agreement", "entropy", "sampled", "kl", "compared")


@dataclass
class Recipe:
    """Everything that decides what is learned, apart from model and data."""

    weights: Weights = field(default_factory=Weights)
    source: SignalSource = field(default_factory=NoSource)
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
    """See the file's docstring. `recipe` and the tokenized examples in, checkpoints and metrics out."""

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        recipe: Recipe,
        train: Sequence[Tokenized],
        validation: Sequence[Tokenized],
        tokenizer: Any,
    ) -> None:
        teach(model)
        super().__init__(
            model=model, args=args, train_dataset=list(train), eval_dataset=list(validation), processing_class=tokenizer
        )
        require_whole_head(self.accelerator.state)
        self.examples, self.held_out = list(train), list(validation)
        self.recipe = recipe
        self.pad_id = int(tokenizer.pad_token_id)
        self.wishes, self.agreed = Wishes(), Wishes()
        self.micro_tokens = recipe.micro_tokens
        self.sums: dict[str, Tensor | float] = {}
        self.seen_tokens = self.calm_steps = 0
        self._since = time.perf_counter()

    # ---- data

    def get_train_dataloader(self) -> DataLoader[Any]:
        """One element = this process's examples of one optimizer step. Already sharded, so accelerate must not touch it."""
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

    def _cut(self, fixed: Sequence[Tokenized], rollouts: Sequence[Tokenized]) -> list[MicroBatch]:
        options: dict[str, Any] = {"packing": self.recipe.packing, "pad_id": self.pad_id}
        return [
            *micro_batches(fixed, self.micro_tokens, **options),
            *micro_batches(rollouts, self.micro_tokens, rollout=True, **options),
        ]

    # ---- one step

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of a whole optimizer step; returns its mean loss (times the number of processes' share)."""
        fixed: list[Tokenized] = list(inputs)
        rollouts: list[Tokenized] = []
        if self.recipe.rollouts is not None:
            fixed, rollouts = self.recipe.rollouts(inputs, self.state.global_step)
        while True:
            try:
                return self._whole_step(model, self._cut(fixed, rollouts))
            except Shortage:
                model.zero_grad(set_to_none=True)
            self._shrink(max(len(e.input_ids) for e in [*fixed, *rollouts]))

    def _whole_step(self, model: Any, passes: list[MicroBatch]) -> Tensor:
        model.train()
        count, most = self._agree(sum(p.learned for p in passes), len(passes))
        sharded, silent = self.is_fsdp_enabled or self.is_deepspeed_enabled, 0
        several = self.args.world_size > 1 and not sharded
        if several and self.calm_steps < CAREFUL_STEPS:
            silent = 1  # gradients are then synchronized by a pass of its own that needs next to no memory
        while len(passes) < most + silent:
            passes.append(placeholder(self.examples[0], packing=self.recipe.packing, pad_id=self.pad_id))
        scale = self.args.world_size / max(count, 1)  # wrappers average gradients over processes
        diagnose = (self.state.global_step + 1) % max(int(self.args.logging_steps), 1) == 0
        total = torch.zeros((), device=self.args.device)
        sums: dict[str, Tensor | float] = {}
        short = False
        for number, batch in enumerate(passes):
            last = number == len(passes) - 1
            if last and number and several:
                self._any_short(short)
            if short:
                continue  # the others go on until they are asked
            self.accelerator.sync_gradients = last  # DeepSpeed's engine would step the optimizer after every pass
            try:
                with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                    out = self._forward(model, batch, diagnose and number == 0)
                    self.accelerator.backward(out["loss"] * scale)
            except RuntimeError as error:
                short = self._short(error, in_a_collective=sharded or (several and last))
                continue
            total += out["loss"].detach() * scale
            for name, part in out.items():
                sums[name] = sums.get(name, 0.0) + part.detach()
            sums["count"] = sums.get("count", 0.0) + batch.learned
            sums["tokens"] = sums.get("tokens", 0.0) + (batch.tokens if batch.learned else 0)
        self._finish(total, sums)
        return total

    def _finish(self, total: Tensor, sums: dict[str, Tensor | float]) -> None:
        if not torch.isfinite(total):
            raise WorkFailed(
                f"The loss became {float(total)} at step {self.state.global_step + 1}. Lower train.learning_rate, raise "
                "train.warmup, or set train.bf16: false, and run again (with other settings a training starts anew)."
            )
        self.calm_steps += 1
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

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

    # ---- when memory runs out

    def _short(self, error: RuntimeError, *, in_a_collective: bool) -> bool:
        """True: this process waits for the others to hear of it. Raises Shortage when it is alone, WorkFailed when the others
        already wait for it inside a collective (so always with FSDP and DeepSpeed), and any other error as it is."""
        if not ran_out(error):
            raise error
        if in_a_collective:
            raise WorkFailed(
                f"Memory ran out with {self.micro_tokens:,} tokens a pass, where a step can't be begun again. {ADVICE}"
            ) from error
        if self.args.world_size == 1:
            raise Shortage
        return True

    def _any_short(self, short: bool) -> None:
        """Raises Shortage in every process when memory ran out in any. One small collective."""
        mine = torch.tensor([[int(short)]], device=self.args.device)
        if bool(self.accelerator.gather(mine).any()):
            raise Shortage

    def _shrink(self, longest: int) -> None:
        """Half the tokens a pass for the same step, in all processes. WorkFailed when no smaller pass is left."""
        if self.args.world_size > 1:
            longest = int(self.accelerator.gather(torch.tensor([longest], device=self.args.device)).max())
        if self.micro_tokens <= longest:
            raise WorkFailed(
                f"Memory ran out with {self.micro_tokens:,} tokens a pass (the longest text has {longest:,}). {ADVICE}"
            )
        self.micro_tokens, self.calm_steps = max(self.micro_tokens // 2, longest), 0
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

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
        examples: list[Tokenized] = list(self.held_out if eval_dataset is None else eval_dataset)
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


def require_whole_head(state: Any) -> None:
    """state: accelerate's. Raises UserError for DeepSpeed's ZeRO stage 3."""
    plugin = getattr(state, "deepspeed_plugin", None)
    if plugin is not None and plugin.zero_stage == 3:
        raise UserError(
            "DeepSpeed's ZeRO stage 3 shards the output layer that the loss reads, which is not offered. Set zero_stage: 2, "
            "or shard the weights with FSDP2 (train.fsdp: true, or accelerate's FSDP config)."
        )


def means(sums: dict[str, float]) -> dict[str, float]:
    """Sums -> loss, distill (with T^2) and label a learned token; agreement, entropy and kl (T = 1) a diagnosed token."""
    count, sampled = max(sums["count"], 1.0), sums["sampled"]
    found = {name: sums[name] / count for name in ("loss", "distill", "label")}
    if sampled:
        found |= {"agreement": sums["agreement"] / sampled, "entropy": sums["entropy"] / sampled}
    if sums["compared"]:
        found["kl"] = sums["kl"] / sums["compared"]
    return found
