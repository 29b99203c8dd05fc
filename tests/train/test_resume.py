"""A killed or interrupted training resumes bit for bit; one with other settings starts from the beginning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.errors import Interrupted
from distil.train import run, stage
from distil.train.callback import TrainingCallback
from distil.train.checkpoints import MARK, complete_checkpoints
from distil.train.config import TrainConfig
from distil.train.job import TrainJob
from tests.train.conftest import Bench
from tests.train.test_stage import lines, quick, weights


def dropout_section(**changes: Any) -> TrainConfig:
    """Dropout (through LoRA) makes a resume depend on the state of the random generators."""
    return quick(epochs=3, checkpoint_steps=2, **changes)


def lora(bench: Bench) -> Any:
    return bench.student.model_copy(update={"adapter": "lora", "lora_rank": 4, "lora_dropout": 0.3})


KILLED = """
import os, signal, sys
from distil.runs.jsonl import read_json
from pathlib import Path
from distil.train.callback import TrainingCallback
from distil.train.job import TrainJob
from distil.train.run import train_student

on_step_end = TrainingCallback.on_step_end
def dies(self, args, state, control, **kwargs):
    if state.global_step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return on_step_end(self, args, state, control, **kwargs)
TrainingCallback.on_step_end = dies
train_student(TrainJob.from_json(read_json(Path(sys.argv[1]))))
"""


def test_a_killed_training_resumes_bit_for_bit(bench: Bench, tmp_path: Path) -> None:
    """The weights and the losses equal those of an uninterrupted training."""
    section = dropout_section()
    stage.run(bench.project, section, lora(bench), name="whole")
    job = TrainJob(bench.project.root, "killed", section, lora(bench))
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job.to_json()))
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    child = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
    assert complete_checkpoints(job.folder / "checkpoints")[-1].name == "checkpoint-4"
    assert [line["step"] for line in lines(bench, "killed") if "loss" in line] == [1, 2, 3, 4, 5]
    result = stage.run(bench.project, section, lora(bench), name="killed")
    assert result.facts["resumed_from"] == "checkpoint-4"
    whole, resumed = (weights(bench.project.model(name)) for name in ("whole", "killed"))
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    histories = [
        [(line["step"], line["loss"]) for line in lines(bench, n) if "loss" in line] for n in ("whole", "killed")
    ]
    assert histories[0] == histories[1]


def test_an_incomplete_checkpoint_is_not_used(tmp_path: Path) -> None:
    for number, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if whole:
            (folder / MARK).touch()
    assert [path.name for path in complete_checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-10"]


def test_ctrl_c_saves_and_the_next_run_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    section = quick(epochs=3)
    stage.run(bench.project, section, bench.student, name="whole")
    begin = TrainingCallback.on_step_begin

    def interrupting(self: TrainingCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            signal.raise_signal(signal.SIGINT)
        begin(self, args, state, control, **kwargs)

    monkeypatch.setattr(TrainingCallback, "on_step_begin", interrupting)
    with pytest.raises(Interrupted, match="Stopped after step 4 of 9"):
        stage.run(bench.project, section, bench.student, name="stopped")
    assert not (bench.project.stage("train", "stopped") / "manifest.json").exists()
    monkeypatch.setattr(TrainingCallback, "on_step_begin", begin)
    result = stage.run(bench.project, section, bench.student, name="stopped")
    assert result.facts["resumed_from"] == "checkpoint-4" and result.steps == 9
    whole, resumed = (weights(bench.project.model(name)) for name in ("whole", "stopped"))
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_other_settings_start_from_the_beginning(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = TrainingCallback.on_step_begin

    def interrupting(self: TrainingCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.interrupted = self.interrupted or state.global_step == 2
        begin(self, args, state, control, **kwargs)

    monkeypatch.setattr(TrainingCallback, "on_step_begin", interrupting)
    with pytest.raises(Interrupted):
        stage.run(bench.project, quick(), bench.student, name="x")
    monkeypatch.setattr(TrainingCallback, "on_step_begin", begin)
    result = stage.run(bench.project, quick(learning_rate=1e-3), bench.student, name="x")
    assert result.facts["resumed_from"] is None
    assert [line["step"] for line in lines(bench, "x") if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_the_clock_makes_checkpoints_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Spy(TrainingCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append(state.global_step)
            super().on_save(args, state, control, **kwargs)
            time.sleep(0.05)

    monkeypatch.setattr(run, "TrainingCallback", Spy)
    stage.run(bench.project, quick(checkpoint_minutes=1e-6), bench.student, name="clock")
    assert len(seen) >= 3


def test_a_job_survives_json(bench: Bench) -> None:
    job = TrainJob(bench.project.root, "x", quick(method="logits"), bench.student, bench.teacher, 7)
    assert TrainJob.from_json(json.loads(json.dumps(job.to_json()))) == job
