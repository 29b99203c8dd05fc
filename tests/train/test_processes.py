"""Two processes learn what one learns, sharded or not, and what they save is a plain folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from distil.errors import Interrupted, UserError
from distil.runs.jsonl import read_json, write_json
from distil.runs.manifest import stage_state
from distil.train import stage
from distil.train.launch import known_error
from distil.train.work import Job
from distil.train.worker import job_to_json, main
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
    result = stage.run(bench.project, two, bench.student, name="two", teacher=bench.teacher)
    assert result.facts["processes"] == 2
    found = [[(line["step"], line["loss"]) for line in lines(bench, name) if "loss" in line] for name in ("one", "two")]
    for (step, one), (same_step, other) in zip(*found, strict=True):
        assert step == same_step and other == pytest.approx(one, rel=1e-4)
    one_model, two_model = (weights(bench.project.model(name)) for name in ("one", "two"))
    assert one_model.keys() == two_model.keys()
    for key, value in one_model.items():
        torch.testing.assert_close(two_model[key], value, atol=5e-4, rtol=1e-3, msg=key)


def test_a_mistake_inside_a_process_comes_back_as_the_same_error(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    write_json(path, job_to_json(Job(bench.project.root, "x", quick(max_length=40), bench.student)))
    assert main([str(path)]) == UserError.exit_code
    error = known_error(read_json(path.with_suffix(".error.json")))
    assert isinstance(error, UserError) and "longer than 40 tokens" in str(error)
    assert isinstance(known_error({"kind": "Interrupted", "message": "stopped"}), Interrupted)


def test_a_training_that_a_cluster_has_launched_writes_its_own_manifest(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    write_json(path, job_to_json(Job(bench.project.root, "x", quick(epochs=1), bench.student)))
    assert main([str(path)]) == 0
    assert (
        stage_state(bench.project, "train", "x")[0] == "done"
        and read_json(path.with_suffix(".result.json"))["steps"] == 3
    )
