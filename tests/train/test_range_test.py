"""`train.learning_rate: auto`: rates are tried before the first step, and the training begins as if none had been."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from distil.models import proofs
from distil.models.config import StudentConfig
from distil.runs.jsonl import write_json
from distil.runs.manifest import read_manifest
from distil.train import range_test as range_test_module
from distil.train import setup, stage
from distil.train.checkpoints import checkpointed_rate
from distil.train.config import TrainConfig
from distil.train.job import TrainJob
from distil.train.range_test import find_rate, range_test
from distil.train.rate import FEWEST_EXAMPLES, SHARE, affordable
from distil.train.trainer import DistilTrainer
from tests.tiny import write_tiny_splits
from tests.train.conftest import Bench

BASE = StudentConfig(model="base")
AUTO = TrainConfig.model_validate({"learning_rate": "auto", "epochs": 30, "batch_size": 4, "log_steps": 1})


def prepared(bench: Bench, section: TrainConfig = AUTO) -> DistilTrainer:
    return setup.prepare(TrainJob(bench.project.root, "x", section, bench.student)).trainer


@pytest.fixture
def larger(bench: Bench) -> Bench:
    write_tiny_splits(bench.project, train=FEWEST_EXAMPLES + 4)
    return bench


def test_weights_and_random_numbers_are_as_before(larger: Bench) -> None:
    trainer = prepared(larger)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    tried = range_test(trainer, 1e-2, FEWEST_EXAMPLES, seed=0)
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(before[name], p) for name, p in trainer.model.named_parameters())
    assert all(p.grad is None for p in trainer.model.parameters())
    assert tried == range_test(trainer, 1e-2, FEWEST_EXAMPLES, seed=0)
    assert tried.examples <= FEWEST_EXAMPLES and 1e-2 / 16 <= tried.rate <= 1e-2 * 16


def test_a_rate_far_too_high_ends_the_test_early(larger: Bench) -> None:
    tried = range_test(prepared(larger), 3.0, FEWEST_EXAMPLES, seed=0)
    assert len(tried.losses) < 30 and tried.rate < 3.0


def test_a_rate_far_too_low_is_raised(larger: Bench) -> None:
    assert range_test(prepared(larger), 1e-5, FEWEST_EXAMPLES, seed=0).rate > 1e-5


def test_the_rate_is_said_taken_and_noted(larger: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    section = AUTO.model_copy(update={"batch_size": 64})
    done = stage.run(larger.project, section, larger.student, name="auto", max_steps=38)
    rate = done.facts["learning_rate"]
    manifest = read_manifest(larger.project, "train", "auto")
    assert manifest is not None and manifest.config["learning_rate"] == "auto"
    assert manifest.notes["learning_rate"] == rate and rate != 1e-3
    assert f"Learning rate {rate:g}: in " in capsys.readouterr().err


def test_a_short_training_takes_the_fitting_rate(bench: Bench) -> None:
    trainer = prepared(bench, AUTO.model_copy(update={"epochs": 1.0}))
    fits = trainer.args.learning_rate
    said = find_rate(trainer, AUTO.model_copy(update={"epochs": 1.0}), BASE, None, None)
    assert trainer.args.learning_rate == fits and "which fits the size" in said and "so short a training" in said
    assert "dpo" in find_rate(trainer, AUTO.model_copy(update={"method": "dpo"}), BASE, None, None)
    assert "with LoRA" in find_rate(trainer, AUTO, StudentConfig(model="base", adapter="lora"), None, None)
    assert trainer.args.learning_rate == fits


def test_a_resumed_training_keeps_its_rate(bench: Bench) -> None:
    trainer, folder = prepared(bench), bench.project.stage("train", "x")
    assert checkpointed_rate(folder) is None
    write_json(folder / "checkpoints" / "job.json", {"job": "j", "identity": {"train.learning_rate": 0.007}})
    assert checkpointed_rate(folder) is None
    (folder / "checkpoints" / "checkpoint-3").mkdir()
    (folder / "checkpoints" / "checkpoint-3" / "whole").touch()
    assert checkpointed_rate(folder) == 0.007
    assert "as this training was started with" in find_rate(trainer, AUTO, BASE, None, 0.007)
    assert trainer.args.learning_rate == 0.007


@pytest.mark.parametrize(("examples", "steps"), [(4320, None), (900, 200), (100, None)])
def test_the_test_reads_at_most_a_twentieth(examples: int, steps: int | None) -> None:
    section = TrainConfig(epochs=3, batch_size=32)
    total = examples * 3 if steps is None else steps * 32
    found = affordable(examples, section, steps)
    assert found <= SHARE * total and (found == 0 or FEWEST_EXAMPLES <= found <= examples)


def test_without_memory_the_fitting_rate_is_taken(larger: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*args: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(range_test_module, "_backward", too_large)
    trainer = prepared(larger, AUTO)
    fits = trainer.args.learning_rate
    assert "memory ran out" in find_rate(trainer, AUTO, BASE, None, None) and trainer.args.learning_rate == fits


def test_no_room_for_a_copy_of_the_weights(larger: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "free_ram", lambda: 1000)
    trainer = prepared(larger)
    fits = trainer.args.learning_rate
    assert "no room for a copy" in find_rate(trainer, AUTO, BASE, None, None) and trainer.args.learning_rate == fits


def test_a_trained_student_goes_on_with_the_fitting_rate(larger: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """On examples that are learned already each step raises the loss, and the lowest rate would always win."""
    stage.run(
        larger.project, AUTO.model_copy(update={"learning_rate": 1e-3}), larger.student, name="first", max_steps=2
    )
    trained = larger.student.model_copy(update={"model": str(larger.project.model("first"))})
    capsys.readouterr()
    stage.run(larger.project, AUTO, trained, name="second", max_steps=2)
    assert "which fits the size" in (said := capsys.readouterr().err) and "is trained already" in said


def test_answers_in_turn_make_a_shorter_epoch(larger: Bench) -> None:
    """Five answers to each prompt, one of them an epoch: a fifth of the examples count."""
    section = AUTO.model_copy(update={"answers": "one_per_epoch", "epochs": 4.0})
    trainer = prepared(larger, section)
    fits, once = trainer.args.learning_rate, trainer.examples * 5
    trainer.examples = [replace(e, id=f"{number}", prompt=e.id) for number, e in enumerate(once)]
    assert affordable(len(once), section) >= FEWEST_EXAMPLES
    assert "so short a training" in find_rate(trainer, section, BASE, None, None) and trainer.args.learning_rate == fits


def test_a_first_loss_that_is_no_number_changes_nothing(larger: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_test_module, "_backward", lambda *_: math.nan)
    trainer = prepared(larger)
    fits = trainer.args.learning_rate
    assert "not a number" in find_rate(trainer, AUTO, BASE, None, None) and trainer.args.learning_rate == fits


def test_lora_is_as_before_and_saves_memory_as_the_training(larger: Bench) -> None:
    student = larger.student.model_copy(update={"adapter": "lora", "lora_rank": 4})
    section = AUTO.model_copy(update={"gradient_checkpointing": True})
    trainer = setup.prepare(TrainJob(larger.project.root, "x", section, student)).trainer
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    assert range_test(trainer, 1e-2, FEWEST_EXAMPLES, seed=0).examples
    assert trainer.model.is_gradient_checkpointing
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())
