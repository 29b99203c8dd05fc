"""The training loop: Muon for the hidden matrices, AdamW for the rest, bfloat16 autocast, constant then falling rate.

Checkpoints are written atomically, so a killed run resumes where its last checkpoint was. Averaged weights (EMA) are
what is exported. Not a general trainer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bundled_models.batches import POOL, Encoder, Row, pad, pools, split_pool

WARMUP_STEPS = 60
EMA = 0.995


@dataclass(frozen=True)
class Plan:
    """How one model is trained. Exactly one of `minutes` and `steps` ends the run."""

    name: str  # "teacher" or "student"
    minutes: float | None
    steps: int | None
    tokens_per_batch: int
    matrix_rate: float  # Muon
    vector_rate: float  # AdamW: embeddings and norms
    task_share: tuple[float, float]  # share of task documents while the rate is constant, and while it falls
    random_share: float  # share of rows of random token ids among the rest
    decay: float = 0.3  # last part of the run, in which the rates fall to zero
    seed: int = 0
    pool: int = POOL  # documents that are sorted by length together
    checkpoint_minutes: float = 3.0
    score_minutes: float = 12.0


class Run:
    """One training run in a folder: `checkpoint.pt` (latest), `log.jsonl` (appended)."""

    def __init__(
        self, plan: Plan, model: Any, tokenizer: Any, folder: Path, score: Callable[[Any], dict[str, Any]]
    ) -> None:
        import torch

        self.plan, self.model, self.folder, self.score = plan, model, folder, score
        self.encoder, self.pad_id = Encoder(tokenizer), tokenizer.pad_token_id
        matrices = [
            p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name and "lm_head" not in name
        ]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=plan.matrix_rate, weight_decay=0.02, momentum=0.95),
            torch.optim.AdamW(rest, lr=plan.vector_rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.ema = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.step, self.tokens, self.minutes, self.pool, self.batch = 0, 0, 0.0, 0, 0
        self.stopped = False  # by SIGTERM: the checkpoint is written, nothing is exported

    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.plan.steps is not None:
            return min(1.0, self.step / self.plan.steps)
        assert self.plan.minutes is not None
        return min(1.0, self.minutes / self.plan.minutes)

    def rate(self) -> float:
        """The factor on both learning rates: warm-up, constant, linear to zero."""
        left = (1 - self.progress()) / self.plan.decay
        return min(1.0, (self.step + 1) / WARMUP_STEPS, max(0.0, left))

    def task_share(self) -> float:
        """The share of task documents now."""
        return self.plan.task_share[0 if self.progress() < 1 - self.plan.decay else 1]

    def save(self) -> None:
        """Write the checkpoint next to the old one, then replace it."""
        import torch

        state = {
            "model": self.model.state_dict(), "ema": self.ema, "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step, "tokens": self.tokens, "minutes": self.minutes, "pool": self.pool, "batch": self.batch,
        }  # fmt: skip
        path = self.folder / "checkpoint.pt"
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint file."""
        import torch

        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema = state["ema"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.tokens, self.minutes = state["step"], state["tokens"], state["minutes"]
        self.pool, self.batch = state["pool"], state["batch"]

    def averaged(self) -> Any:
        """A copy of the model with the averaged weights, in evaluation mode."""
        import copy

        model = copy.deepcopy(self.model)
        for name, p in model.named_parameters():
            p.data.copy_(self.ema[name])
        return model.eval()

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def _loss(self, rows: list[Row]) -> tuple[Any, int]:
        import torch
        import torch.nn.functional as F

        batch = pad(rows, self.pad_id)
        weights = batch.weights[:, 1:].reshape(-1)
        counted = weights.nonzero().squeeze(1)
        real = torch.ones(len(counted))
        extra = -len(counted) % 256  # repeated with weight zero: again, few distinct shapes
        counted, real = torch.cat((counted, counted[:1].expand(extra))), torch.cat((real, torch.zeros(extra)))
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state  # (B, T - 1, H)
            logits = self.model.lm_head(hidden.reshape(-1, hidden.shape[-1])[counted])  # (C, V): only counted positions
        losses = F.cross_entropy(logits.float(), batch.ids[:, 1:].reshape(-1)[counted], reduction="none")
        weights = weights[counted] * real
        return (losses * weights).sum() / weights.sum(), batch.tokens

    def _update(self, rows: list[Row]) -> float:
        import torch

        factor = self.rate()
        for optimizer, rate in zip(self.optimizers, (self.plan.matrix_rate, self.plan.vector_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        loss, tokens = self._loss(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        keep = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                self.ema[name].lerp_(p, 1 - keep)
        self.step += 1
        self.tokens += tokens
        return float(loss.detach())

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to the log."""
        line = {
            "step": self.step,
            "minutes": round(self.minutes, 2),
            "tokens": self.tokens,
            "rate": round(self.rate(), 4),
            **record,
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def train(self) -> None:
        """Train until the plan's end or SIGTERM; writing checkpoints, scores and log lines."""
        before = signal.signal(signal.SIGTERM, self._stop)
        try:
            self._train()
        finally:
            signal.signal(signal.SIGTERM, before)

    def _train(self) -> None:
        self.model.train()
        saved = scored = self.minutes
        losses: list[float] = []
        seed = f"{self.plan.name}/{self.plan.seed}"
        for number, rows in pools(
            self.encoder, seed, self.task_share, self.plan.random_share, self.pool, self.plan.pool
        ):
            parts = split_pool(rows, self.plan.tokens_per_batch, random.Random(f"{seed}/order/{number}"))
            for index in range(self.batch if number == self.pool else 0, len(parts)):
                began = time.monotonic()
                losses.append(self._update(parts[index]))
                self.minutes += (time.monotonic() - began) / 60
                self.pool, self.batch = number, index + 1
                if self.step % 25 == 0:
                    self.log({"loss": round(sum(losses) / len(losses), 4)})
                    losses = []
                if self.minutes - saved >= self.plan.checkpoint_minutes:
                    self.save()
                    saved = self.minutes
                if self.minutes - scored >= self.plan.score_minutes:
                    self.log(self.score(self.averaged()))
                    scored = self.minutes
                if self.progress() >= 1 or self.stopped:
                    self.save()
                    return
