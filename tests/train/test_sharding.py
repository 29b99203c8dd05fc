"""FSDP2 in two processes: really split, the same student as one process to 1e-5, whole checkpoints, resumed, exported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from distil.errors import Interrupted, UserError
from distil.models.config import StudentConfig
from distil.models.load import load
from distil.train import launch, stage
from distil.train.config import TrainConfig
from distil.train.exporting import run as export_student
from distil.train.sharding import shards_weights
from distil.train.weights import FILE
from tests import warm
from tests.tiny import write_tiny_splits
from tests.train.conftest import Bench
from tests.train.families import save_family
from tests.train.test_stage import lines, quick, weights

STOPPING = """
import os, sys
from distil.train import worker
from distil.train.trainer import DistilTrainer
original = DistilTrainer.training_step
def step(self, *args, **kwargs):
    self.request.stop = self.state.global_step + 1 == int(os.environ["STOP_AFTER"])
    return original(self, *args, **kwargs)
DistilTrainer.training_step = step
sys.exit(worker.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("adapter", [None, "lora"])
def test_a_sharded_training_is_that_of_one_process(
    adapter: str | None, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All weights of a Gemma 3 with its image tower, which text never reaches; and an adapter on a plain model."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_tiny_splits(bench.project, train=11)  # the last step has 3 examples for 2 processes
    base = bench.student.model if adapter else str(save_family("gemma3", tmp_path / "gemma3"))
    student = StudentConfig(model=base, adapter=adapter, lora_rank=4)
    section = quick(method="logits", epochs=2, micro_batch_tokens=100, batch_size=4, gradient_checkpointing=True)
    stage.run(bench.project, section, student, name="one", teacher=bench.teacher)
    two = section.model_copy(update={"processes": 2, "fsdp": True})

    (tmp_path / "stopping_worker.py").write_text(STOPPING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("STOP_AFTER", "4")
    with monkeypatch.context() as patched:
        patched.setattr(launch, "WORKER", "stopping_worker")
        with warm.started(), pytest.raises(Interrupted):
            stage.run(bench.project, two, student, name="two", teacher=bench.teacher)
    kept = torch.load(bench.project.stage("train", "two") / "checkpoints" / "checkpoint-4" / FILE)
    assert all(type(tensor) is torch.Tensor for tensor in kept.values())
    with warm.started():
        result = stage.run(bench.project, two, student, name="two", teacher=bench.teacher)
    assert result.facts["sharded"] and result.facts["resumed_from"] == "checkpoint-4"

    losses = [{line["step"]: line["loss"] for line in lines(bench, name) if "loss" in line} for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    one, other = (weights(bench.project.model(name)) for name in ("one", "two"))
    assert one.keys() == other.keys()
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, atol=1e-5, rtol=1e-5, msg=key)
    exported = export_student(bench.project, "two", out=tmp_path / "out")
    assert load(str(exported.path), device="cpu").model.num_parameters() > 0


def test_sharding_is_refused_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not shards_weights(TrainConfig(fsdp=False))
    with pytest.raises(UserError, match="this training has one"):
        shards_weights(TrainConfig(fsdp=True))
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert shards_weights(TrainConfig(fsdp=True))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="Distil shards the weights itself"):
        shards_weights(TrainConfig())
