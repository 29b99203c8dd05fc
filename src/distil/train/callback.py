"""`TrainingCallback`: metrics.jsonl, the progress bar, checkpoints by the clock, Ctrl-C and early stopping.

It changes no weight, and a resume needs no state of it: the history of validation losses is in the trainer's state.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from distil.progress import Bar
from distil.train.checkpoints import mark_complete
from distil.train.run_log import RunLog
from distil.train.trainer import DistilTrainer

DROPPED_KEYS = ("total_flos", "train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second")


class TrainingCallback(TrainerCallback):
    """One per process. The main process writes and draws; all stop, save and keep the best weights."""

    def __init__(
        self,
        trainer: DistilTrainer,
        folder: Path,
        bar: Bar,
        *,
        checkpoint_minutes: float,
        checkpoint_steps: int | None,
        patience: int | None,
        stop_file: Path | None = None,
        log: RunLog | None = None,
    ) -> None:
        """patience: epochs without a better validation loss; stop_file: its appearance requests to save and end; log: run.json,
        in the process that writes it."""
        self.trainer, self.bar, self.log = trainer, bar, log
        self.metrics, self.best = folder / "metrics.jsonl", folder / "best"
        self.checkpoint_seconds, self.checkpoint_steps = checkpoint_minutes * 60, checkpoint_steps
        self.patience, self.stop_file = patience, stop_file
        self.interrupted = False
        self._saved_at = self._started_at = time.monotonic()

    # ---- called by transformers

    def on_train_begin(self, args: object, state: TrainerState, control: object, **kwargs: object) -> None:
        """After a resume, removes the lines of steps that will run again."""
        if state.is_world_process_zero:
            self._cut_metrics_after(state.global_step)
        self.bar.total = state.max_steps
        self.bar.update(state.global_step)
        self._beat(state, at_once=True)

    def on_step_begin(self, args: object, state: TrainerState, control: object, **kwargs: object) -> None:
        """Requests what this process wants; the step agrees on it with the others."""
        request = self.trainer.request
        request.stop |= self.interrupted or (self.stop_file is not None and self.stop_file.exists())
        request.save = time.monotonic() - self._saved_at >= self.checkpoint_seconds

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Saves and stops where all processes agreed to."""
        agreed = self.trainer.agreed
        if agreed.stop:
            self.interrupted = True
            control.should_training_stop = True
        due = self.checkpoint_steps is not None and state.global_step % self.checkpoint_steps == 0
        if agreed.stop or agreed.save or due:
            control.should_save = True
        self.bar.update(state.global_step)
        self._beat(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Marks the checkpoint, which transformers has just written, as complete."""
        self._saved_at = time.monotonic()
        if state.is_world_process_zero:
            mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")

    def on_log(
        self, args: object, state: TrainerState, control: object, logs: dict[str, float] | None = None, **kwargs: object
    ) -> None:
        """Appends a line to metrics.jsonl."""
        line = {name: value for name, value in (logs or {}).items() if name not in DROPPED_KEYS}
        if not state.is_world_process_zero or set(line) <= {"epoch"}:
            return
        line = {"step": state.global_step, **line, "seconds": round(time.monotonic() - self._started_at, 3)}
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if "loss" in line:
            self.bar.update(state.global_step, f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s")

    def on_evaluate(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Keeps the best weights, and stops when the validation loss has not improved for `patience` epochs."""
        if self.patience is None:
            return
        losses = [float(line["eval_loss"]) for line in state.log_history if "eval_loss" in line]
        best = losses.index(min(losses))
        if best == len(losses) - 1:
            self.trainer.save_model(str(self.best))
        if len(losses) - 1 - best >= self.patience:
            control.should_training_stop = True

    # ---- our own

    def _beat(self, state: TrainerState, *, at_once: bool = False) -> None:
        if self.log is not None:
            self.log.beat(int(state.global_step), int(state.max_steps), at_once=at_once)

    def _cut_metrics_after(self, last_step: int) -> None:
        if self.metrics.exists():
            lines = self.metrics.read_text(encoding="utf-8").splitlines()
            remaining = [line for line in lines if last_step and _step_of(line) <= last_step]
            self.metrics.write_text("".join(line + "\n" for line in remaining), encoding="utf-8")

    @contextmanager
    def catching_interrupts(self) -> Iterator[None]:
        """The first Ctrl-C (or SIGTERM: Slurm, `docker stop`) ends the training after the running step, with a checkpoint; the
        second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        previous = {number: signal.signal(number, on_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _step_of(line: str) -> float:
    """Infinity for a line that a kill cut short."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
