"""Plan and doctor estimate the memory of the training that would run, with its own settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distil.config import Config, parse_config
from distil.fit import training_need, what_fits
from distil.models.sizing import GIB, Machine, default_micro_tokens
from distil.runs.artifacts import Project
from distil.train.config import TrainConfig
from distil.train.setup import micro_tokens

CPU = Machine(8, 16 * GIB, None, 0, 0)
RTX = Machine(16, 128 * GIB, "NVIDIA RTX 4090", 1, 24 * GIB)


def config(model: str = "meta-llama/Llama-3-8B", teacher: str = "local/Llama-3-8B", **train: object) -> Config:
    sections = {"prompts": {"path": "p"}, "teachers": [{"model": teacher}], "student": {"model": model}, "train": train}
    return parse_config(sections, "test")


@pytest.mark.parametrize(("machine", "device"), [(CPU, "cpu"), (RTX, "cuda")])
def test_training_and_estimate_use_the_same_micro_batch(tmp_path: Path, machine: Machine, device: str) -> None:
    for setting in (None, 512):
        tokens = micro_tokens(TrainConfig(micro_batch_tokens=setting), torch.device(device))
        assert tokens == (setting or default_micro_tokens(gpu=device != "cpu"))
        estimate = training_need(Project(tmp_path), config(micro_batch_tokens=setting), machine)
        explicit = training_need(Project(tmp_path), config(micro_batch_tokens=tokens), machine)
        assert estimate is not None and estimate == explicit


def test_gradient_checkpointing_lowers_the_estimate(tmp_path: Path) -> None:
    plain = training_need(Project(tmp_path), config(), RTX)
    saving = training_need(Project(tmp_path), config(gradient_checkpointing=True), RTX)
    assert plain is not None and saving is not None
    assert saving.memory.activations < plain.memory.activations


def test_a_fit_names_every_setting_that_it_counts_on(tmp_path: Path) -> None:
    """With its own settings in the config, the estimate is the one that was promised."""
    need = training_need(Project(tmp_path), config(method="logits"), RTX)
    assert need is not None and not need.fits and need.memory.teacher > 0
    fit = what_fits(need)
    assert fit is not None and "train.signal=cached" in fit.settings
    sections: dict[str, dict[str, object]] = {
        "student": {"model": "meta-llama/Llama-3-8B"},
        "train": {"method": "logits"},
    }
    for setting in fit.settings:
        key, value = setting.split("=")
        section, name = key.split(".")
        sections[section][name] = int(value) if value.isdigit() else True if value == "true" else value
    applied = parse_config({"prompts": {"path": "p"}, "teachers": [{"model": "local/Llama-3-8B"}], **sections}, "test")
    after = training_need(Project(tmp_path), applied, RTX)
    assert after is not None and after.fits and after.memory.total == fit.bytes


def test_a_teacher_that_corrects_rollouts_stays_in_memory(tmp_path: Path) -> None:
    need = training_need(Project(tmp_path), config(method="on_policy"), RTX)
    assert need is not None and need.teacher is not None
    fit = what_fits(need._replace(usable=1e12))
    assert fit is not None and "train.signal=cached" not in fit.settings
