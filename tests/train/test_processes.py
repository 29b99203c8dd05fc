"""Two processes learn what one learns, sharded or not, and save a plain folder."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.errors import Interrupted, UserError, WorkFailed
from distil.runs.jsonl import read_json, write_json
from distil.runs.manifest import stage_state
from distil.train import launch, stage
from distil.train.job import TrainJob
from distil.train.launch import known_error
from distil.train.worker import main
from tests import warm
from tests.tiny import write_tiny_splits
from tests.train.conftest import Bench
from tests.train.test_stage import lines, quick, weights


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("changes", [{}, {"fsdp": True}])
def test_two_processes_learn_what_one_learns(bench: Bench, changes: dict[str, Any]) -> None:
    write_tiny_splits(bench.project, train=11)  # the last step has 3 examples for 2 processes
    section = quick(method="logits", epochs=1, micro_batch_tokens=100)
    stage.run(bench.project, section, bench.student, name="one", teacher=bench.teacher)
    two = section.model_copy(update={"processes": 2, **changes})
    with warm.started() if changes else nullcontext():  # once as it really starts
        result = stage.run(bench.project, two, bench.student, name="two", teacher=bench.teacher)
    assert result.facts["processes"] == 2 and result.facts["sharded"] == bool(changes)
    found = [[(line["step"], line["loss"]) for line in lines(bench, name) if "loss" in line] for name in ("one", "two")]
    for (step, one), (same_step, other) in zip(*found, strict=True):
        assert step == same_step and other == pytest.approx(one, rel=1e-4)
    one_model, two_model = (weights(bench.project.model(name)) for name in ("one", "two"))
    assert one_model.keys() == two_model.keys()
    for key, value in one_model.items():
        torch.testing.assert_close(two_model[key], value, atol=5e-4, rtol=1e-3, msg=key)


def test_more_processes_than_gpus_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        UserError, match=r"train\.processes is 2, and this machine has 1 GPU; .*--set train\.processes=1"
    ):
        launch.torchrun(TrainJob(bench.project.root, "two", quick(processes=2), bench.student))


TIGHT = """
import os, sys, torch
from distil.train import objective
from distil.train import worker
original = objective.objective
def tight(model, task, batch):
    if os.environ["RANK"] == "1" and batch.input_ids.numel() > int(os.environ["TIGHT"]):
        raise torch.OutOfMemoryError("CUDA out of memory")
    return original(model, task, batch)
objective.objective = tight
sys.exit(worker.main(sys.argv[1:]))
"""


@pytest.fixture
def tight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """tight(200): the second process runs out of memory with more than 200 tokens a pass."""

    def limit(tokens: int) -> None:
        (tmp_path / "tight_worker.py").write_text(TIGHT)
        monkeypatch.setattr(launch, "WORKER", "tight_worker")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.setenv("TIGHT", str(tokens))

    return limit


def test_out_of_memory_in_one_process_shrinks_all_passes(bench: Bench, tight: Callable[[int], None]) -> None:
    section = quick(epochs=1, batch_size=12, micro_batch_tokens=1000, validation_examples=0)
    stage.run(bench.project, section, bench.student, name="roomy")
    tight(200)
    two = section.model_copy(update={"processes": 2})
    with warm.started():
        result = stage.run(bench.project, two, bench.student, name="tight")
    assert result.facts["micro_batch_tokens"] == 250
    roomy, tighter = (weights(bench.project.model(name)) for name in ("roomy", "tight"))
    for key, value in roomy.items():
        torch.testing.assert_close(tighter[key], value, atol=5e-4, rtol=1e-3, msg=key)


def test_too_little_memory_in_one_process_ends_all_with_advice(bench: Bench, tight: Callable[[int], None]) -> None:
    tight(8)
    with warm.started(), pytest.raises(WorkFailed, match=r"Memory ran out .*train\.micro_batch_tokens"):
        stage.run(bench.project, quick(epochs=1, processes=2, validation_examples=0), bench.student, name="never")


def test_the_first_interrupt_asks_two_processes_to_save_and_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    section = quick(epochs=200, processes=2, validation_examples=0)
    metrics = bench.project.stage("train", "long") / "metrics.jsonl"

    class Pressed(subprocess.Popen):  # type: ignore[type-arg]
        """Somebody presses Ctrl-C once, after the first steps."""

        pressed = False

        def wait(self, timeout: float | None = None) -> int:
            while not self.pressed and self.poll() is None:
                time.sleep(0.05)
                if metrics.exists() and metrics.stat().st_size:
                    Pressed.pressed = True
                    raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(launch.subprocess, "Popen", Pressed)
    with warm.started(), pytest.raises(Interrupted, match=r"1 checkpoint kept"):
        stage.run(bench.project, section, bench.student, name="long")
    left = {path.name for path in bench.project.stage("train", "long").iterdir()}
    assert not {name for name in left if name.startswith("job")}


def test_a_mistake_inside_a_process_comes_back_as_the_same_error(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    write_json(path, TrainJob(bench.project.root, "x", quick(max_length=40), bench.student).to_json())
    assert main([str(path)]) == UserError.exit_code
    error = known_error(read_json(path.with_suffix(".error.0.json")))
    assert isinstance(error, UserError) and "longer than 40 tokens" in str(error)
    assert isinstance(known_error({"kind": "Interrupted", "message": "stopped"}), Interrupted)


def test_a_training_launched_by_a_cluster_writes_its_manifest(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    write_json(path, TrainJob(bench.project.root, "x", quick(epochs=1), bench.student).to_json())
    assert main([str(path)]) == 0
    assert (
        stage_state(bench.project, "train", "x")[0] == "done"
        and read_json(path.with_suffix(".result.json"))["steps"] == 3
    )
