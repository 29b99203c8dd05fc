"""What a training on a GPU has held and when its steps began: torch's counters and clocks around Distil's own training loop.

The loop is not changed, but for the end of a long measurement and for the end of the training, which only some cases run.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from memory_gpu_cases import Case

import distil.train.run as running
from distil.train.trainer import DistilTrainer

CUDA = torch.cuda.is_available()
WARM_UP = 2
"""Steps that are not timed."""
LONG = 8.0
"""Seconds after which a training ends that has a timed step."""
KERNELS = 14
"""Of a step, those that are listed."""


def results(out: Path) -> list[dict[str, Any]]:
    """The lines that are there."""
    return [json.loads(line) for line in out.read_text().splitlines() if line.strip()]


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Waits for a lock that other workers may hold."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def held() -> int:
    """Bytes of tensors now."""
    return torch.cuda.memory_allocated() if CUDA else 0


class Watch:
    """What the training of a case has held, and when its steps began."""

    def __init__(self, case: Case, lock: Path, out: Path) -> None:
        """lock: held while a training runs; out: the results so far."""
        self.case, self.lock, self.out = case, lock, out
        self.begun = time.perf_counter()
        self.seconds: dict[str, float] = {}
        self.marks: dict[str, int] = {}
        self.peaks: dict[str, int] = {}
        self.steps: list[tuple[float, int]] = []
        """(when it began, its tokens)"""
        self.ended = 0.0
        self.losses: list[float] = []
        self.packing: bool | None = None
        self.failed_passes = 0
        self.kernels: list[tuple[str, float, int]] = []
        """(name, milliseconds, calls) of the slowest of one step."""

    def peak(self, phase: str) -> None:
        """Notes and resets the counters of the largest."""
        self.seconds[phase] = round(time.perf_counter() - self.begun, 2)
        if CUDA:
            self.peaks[f"{phase} allocated"] = torch.cuda.max_memory_allocated()
            self.peaks[f"{phase} reserved"] = torch.cuda.max_memory_reserved()
            torch.cuda.reset_peak_memory_stats()

    def mark(self, place: str) -> None:
        """Notes what is held at a place of a step, once there have been some."""
        if len(self.steps) > 1:
            self.marks[place] = max(self.marks.get(place, 0), held())

    def step(self, tokens: int) -> None:
        """A step begins."""
        if CUDA:
            torch.cuda.synchronize()
        self.steps.append((time.perf_counter(), tokens))

    @property
    def long_enough(self) -> bool:
        return len(self.steps) > WARM_UP and time.perf_counter() - self.steps[0][0] > LONG

    def tokens_per_second(self) -> float | None:
        """By the median of the steps after warm-up; None where there were too few."""
        begun = [at for at, _ in self.steps] + ([] if self.kernels else [self.ended])
        timed = [later - at for at, later in itertools.pairwise(begun[WARM_UP:])]
        if not timed:
            return None
        return statistics.fmean(tokens for _, tokens in self.steps[WARM_UP:]) / statistics.median(timed)

    def step_seconds(self) -> list[float]:
        """Of each step."""
        begun = [at for at, _ in self.steps] + [self.ended]
        return [round(later - at, 3) for at, later in itertools.pairwise(begun)][:12]

    @contextlib.contextmanager
    def profiled(self, last: bool) -> Iterator[None]:
        """Lists the kernels of the last step where the case asks for it. The step is not timed."""
        if not (self.case.profiled and last):
            yield
            return
        kind = torch.profiler.ProfilerActivity.CUDA if CUDA else torch.profiler.ProfilerActivity.CPU
        with torch.profiler.profile(activities=[kind]) as profile:
            yield
            if CUDA:
                torch.cuda.synchronize()
        name = "self_device_time_total" if CUDA else "self_cpu_time_total"
        with contextlib.suppress(AttributeError, RuntimeError):  # a list is not worth a measurement
            events = sorted(profile.key_averages(), key=lambda event: -getattr(event, name))
            self.kernels = [(e.key[:110], round(getattr(e, name) / 1000, 3), e.count) for e in events[:KERNELS]]


WATCH: list[Watch] = []
"""Of the case that runs."""


def install() -> None:
    """Puts the clocks and counters around the parts of a training."""
    trainer_class: Any = DistilTrainer
    module: Any = running
    step, forward, train, save = trainer_class.training_step, trainer_class.forward, module._train, module.save

    def watched_step(trainer: DistilTrainer, model: Any, inputs: Any, count: Any = None) -> Any:
        watch = WATCH[-1]
        watch.step(sum(len(example.input_ids) for example in inputs))
        with watch.profiled(trainer.state.global_step + 1 == trainer.state.max_steps):
            loss = step(trainer, model, inputs, count)
        watch.losses.append(round(float(loss), 4))
        watch.mark("after the passes of a step")
        if watch.case.steps is not None and watch.long_enough:
            trainer.control.should_training_stop = True
        return loss

    def watched_forward(trainer: DistilTrainer, model: Any, batch: Any, **options: Any) -> Any:
        watch, trains = WATCH[-1], torch.is_grad_enabled()
        if trains:
            watch.mark("before a pass")
            watch.packing = trainer.settings.packing
            if watch.case.limited and not CUDA and not watch.failed_passes:
                watch.failed_passes += 1
                raise torch.OutOfMemoryError("CUDA out of memory (made up: there is no GPU)")
        sums = forward(trainer, model, batch, **options)
        if trains:
            watch.mark("after a forward pass")
        return sums

    def watched_train(*parts: Any) -> Any:
        watch = WATCH[-1]
        watch.peak("loaded")
        with alone(watch.lock):
            watch.marks["loaded"] = held()
            limit_memory(watch)
            watch.peak("waited")
            try:
                return train(*parts)
            finally:
                if CUDA:
                    torch.cuda.synchronize()
                watch.ended = time.perf_counter()
                watch.peak("trained")
                if CUDA:
                    torch.cuda.set_per_process_memory_fraction(1.0)
                    torch.cuda.empty_cache()

    def watched_save(*parts: Any, **options: Any) -> Any:
        case = WATCH[-1].case
        found = save(*parts, **options) if case.saved or case.steps is None else None
        WATCH[-1].peak("saved")
        return found

    trainer_class.training_step, trainer_class.forward = watched_step, watched_forward
    module._train, module.save = watched_train, watched_save


def limit_memory(watch: Watch) -> None:
    """For a case that must halve its passes: room for what is held at rest and three quarters of the rest."""
    case = watch.case
    if case.limited is None or not CUDA:
        return
    like = next((line for line in results(watch.out) if line["name"] == case.limited and line.get("ok")), None)
    if like is None:
        raise RuntimeError(f"{case.limited} must have been measured before")
    rest, peak = like["marks"]["before a pass"], like["peaks"]["trained allocated"]
    limit = rest + 0.75 * (peak - rest)
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(0).total_memory)
