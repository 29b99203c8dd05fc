"""A training on a GPU is the one of the CPU: the same losses in float32, near them in bfloat16, whatever its memory."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.models.config import StudentConfig
from distil.models.load import load
from distil.runs.artifacts import Project
from distil.train import setup, stage
from distil.train.config import TrainConfig
from distil.train.job import TrainJob
from distil.train.range_test import range_test
from distil.train.rate import FEWEST_EXAMPLES
from tests.cuda.trainings import ARMS, train
from tests.tiny import save_tiny, write_tiny_splits

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def losses(device: torch.device, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """cpu | here -> name of an arm -> its losses. Both trained at the same time."""
    environments = {"cpu": {"CUDA_VISIBLE_DEVICES": ""}, "here": {}}
    folders = {name: tmp_path_factory.mktemp(name) for name in environments}
    running = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("trainings.py")), str(folders[name])],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}:{os.environ.get('PYTHONPATH', '')}", **more},
            stdout=subprocess.DEVNULL,
        )
        for name, more in environments.items()
    ]
    assert [process.wait() for process in running] == [0, 0]
    return {name: json.loads((folder / "losses.json").read_text()) for name, folder in folders.items()}


@pytest.mark.parametrize("arm", ARMS)
def test_losses_in_float32_are_those_of_the_cpu(device: torch.device, losses: dict[str, Any], arm: str) -> None:
    expected, found = (losses[where][f"{arm}, float32"] for where in ("cpu", "here"))
    assert isinstance(found, list), found
    taught = ARMS[arm][0].get("method") in ("logits", "on_policy")  # by a teacher that is read in bfloat16 on a GPU
    assert found[0] == pytest.approx(expected[0], rel=1e-3 if taught else 1e-4)
    assert found == pytest.approx(expected, rel=0.02, abs=2e-3)


@pytest.mark.parametrize("arm", ARMS)
def test_losses_in_bfloat16_are_near_them(device: torch.device, losses: dict[str, Any], arm: str) -> None:
    expected, found = (losses[where][f"{arm}, auto"] for where in ("cpu", "here"))
    assert isinstance(found, list), found
    assert found[0] == pytest.approx(expected[0], rel=0.02)
    assert found[-1] == pytest.approx(expected[-1], rel=0.15, abs=0.02)


def test_memory_that_runs_out_halves_the_passes(device: torch.device, tmp_path: Path) -> None:
    """A GPU of which 0.6 GiB are free: the step is repeated with smaller passes, and its loss is that of small ones."""
    if device.type != "cuda":
        pytest.skip("only a GPU's memory can be limited here")
    save_tiny(tmp_path / "student", layers=4, hidden=256)
    project = Project(tmp_path / "project")
    write_tiny_splits(project, train=2048)
    of = StudentConfig(model=str(tmp_path / "student"), dtype="float32")
    settings: dict[str, Any] = {"batch_size": 1024, "learning_rate": 1e-3, "log_steps": 1, "epochs": 1.0, "bf16": False}
    found: dict[int, list[float]] = {}
    passes = []
    torch.cuda.empty_cache()
    share = (torch.cuda.memory_reserved() + 0.6 * 2**30) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        for tokens in (2_048, 1 << 20):
            section = TrainConfig(**settings, micro_batch_tokens=tokens, validation_examples=0)
            done = stage.run(project, section, of, name=f"by-{tokens}")
            passes.append(int(done.facts["micro_batch_tokens"]))
            lines = (project.stage("train", f"by-{tokens}") / "metrics.jsonl").read_text().splitlines()
            found[tokens] = [row["loss"] for row in map(json.loads, lines) if "loss" in row]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert passes[0] == 2_048 and passes[1] < 1 << 18
    assert found[1 << 20] == pytest.approx(found[2_048], rel=1e-3)


def test_four_bits_train_and_their_student_is_read_again(device: torch.device, tmp_path: Path) -> None:
    """QLoRA from the first step to the merged student, which answers."""
    pytest.importorskip("bitsandbytes")
    if device.type != "cuda":
        pytest.skip("4 bits need a GPU")
    found = train(tmp_path, "four bits", {"learning_rate": 1e-2}, {"adapter": "lora", "quantization": "4bit"})
    plain = train(tmp_path, "lora", {"learning_rate": 1e-2}, {"adapter": "lora"})
    assert found[0] == pytest.approx(plain[0], rel=0.1) and found[-1] < 0.7 * found[0]
    folder = Project(tmp_path / "four-bits").model("x")
    assert load(str(folder)).model is not None and (folder / "model.safetensors").exists()


def test_a_rate_is_tried_and_nothing_remains_of_it(device: torch.device, tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    write_tiny_splits(project, train=FEWEST_EXAMPLES + 4)
    student = StudentConfig(model=str(save_tiny(tmp_path / "student")))
    section = TrainConfig.model_validate({"learning_rate": "auto", "epochs": 30, "batch_size": 4})
    trainer = setup.prepare(TrainJob(project.root, "x", section, student)).trainer
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    state = torch.get_rng_state(), torch.cuda.get_rng_state() if device.type == "cuda" else torch.zeros(1)
    tried = range_test(trainer, 1e-2, FEWEST_EXAMPLES, seed=0)
    assert all(torch.equal(before[name], p) for name, p in trainer.model.named_parameters())
    assert torch.equal(torch.get_rng_state(), state[0])
    assert device.type == "cpu" or torch.equal(torch.cuda.get_rng_state(), state[1])
    assert math.isfinite(tried.rate)
