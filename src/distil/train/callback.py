"""What happens beside the mathematics of a training: metrics.jsonl, the progress bar, checkpoints by the clock, Ctrl-C,
early stopping.

A transformers callback. It changes no weight and holds no state of its own that a resume would need: the history of validation
losses lies in the trainer's state. Made by work.py.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from distil.progress import Bar
from distil.train.trainer import DistilTrainer

DROPPED_KEYS = ("total_flos", "train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second")


class Recorder(TrainerCallback):
    """One per training. On the first process it writes and draws; on all it stops, saves and keeps the best."""

    def __init__(
        self,
        folder: Path,
        bar: Bar,
        *,
        checkpoint_minutes: float,
        checkpoint_steps: int | None,
        patience: int | None,
        stop: Path | None = None,
    ) -> None:
        self.folder, self.bar = folder, bar
        self.every_s, self.every_steps, self.patience = checkpoint_minutes * 60, checkpoint_steps, patience
        self.trainer: DistilTrainer | None = None
        self.stop = stop
        self.interrupted = False
        self._saved_at = self._started = time.monotonic()

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    # ---- called by transformers

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After a resume, lines of steps that will be done again are cut off."""
        if state.is_world_process_zero:
            self._cut_after(state.global_step)
        self.bar.total = state.max_steps
        self.bar.update(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Says what this process wishes; the step agrees on it with the others."""
        wishes = self._trainer.wishes
        wishes.stop = wishes.stop or self.interrupted or (self.stop is not None and self.stop.exists())
        wishes.save = time.monotonic() - self._saved_at >= self.every_s

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Saves and stops where all processes agreed to."""
        agreed = self._trainer.agreed
        if agreed.stop:
            self.interrupted = True
            control.should_training_stop = True
        if agreed.stop or agreed.save or (self.every_steps and state.global_step % self.every_steps == 0):
            control.should_save = True
        self.bar.update(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Marks the checkpoint as whole, last of all: a kill in the middle of writing leaves no mark."""
        self._saved_at = time.monotonic()
        if state.is_world_process_zero:
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """One line of metrics.jsonl."""
        line = {name: value for name, value in (logs or {}).items() if name not in DROPPED_KEYS}
        if not state.is_world_process_zero or set(line) <= {"epoch"}:
            return
        line = {"step": state.global_step, **line, "seconds": round(time.monotonic() - self._started, 3)}
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if "loss" in line:
            self.bar.update(state.global_step, f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s")

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keeps the best weights and stops when the validation loss has not improved for `patience` epochs."""
        if self.patience is None:
            return
        losses = validation_losses(state.log_history)
        best = losses.index(min(losses))
        if best == len(losses) - 1:
            self._trainer.save_model(str(self.folder / "best"))
        if len(losses) - 1 - best >= self.patience:
            control.should_training_stop = True

    # ---- our own

    @property
    def _trainer(self) -> DistilTrainer:
        assert self.trainer is not None
        return self.trainer

    def _cut_after(self, step: int) -> None:
        if not self.metrics.exists():
            return
        lines = self.metrics.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) is not None and (_step_of(line) or 0) <= step] if step else []
        self.metrics.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    @contextmanager
    def catching_interrupts(self) -> Iterator[None]:
        """Ctrl-C ends the training after the running step, with a checkpoint; a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def validation_losses(history: list[dict[str, Any]]) -> list[float]:
    """The validation loss after each epoch, oldest first."""
    return [float(line["eval_loss"]) for line in history if "eval_loss" in line]


def _step_of(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None  # a line that a kill cut in the middle


MARK = "whole"


def mark_whole(checkpoint: Path) -> None:
    """Says that everything of a checkpoint is on the disk."""
    if checkpoint.is_dir():
        (checkpoint / MARK).touch()


def whole_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints that were written to the end, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if (path / MARK).exists()]
    return sorted(found, key=lambda path: int(path.name.rsplit("-", 1)[1]))
