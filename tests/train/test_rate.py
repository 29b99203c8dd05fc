"""The learning rate that fits a student, where distil.yaml names none: against published recipes, and in a real training."""

from __future__ import annotations

import pytest

from distil.runs.manifest import read_manifest
from distil.runs.schemas.notes import TrainNotes
from distil.train import setup, stage
from distil.train.config import TrainConfig
from distil.train.rate import fitting_rate, learning_rate
from distil.train.start import without_effect
from tests.train.conftest import Bench

PUBLISHED = [
    # parameters, LoRA, peak rate, whose
    (7e9, False, 2e-5, "Stanford Alpaca"),
    (13e9, False, 1e-5, "Vicuna 13B and Alpaca 13B"),
    (7e9, True, 2e-4, "QLoRA, table 9"),
    (13e9, True, 2e-4, "QLoRA, table 9"),
    (33e9, True, 1e-4, "QLoRA, table 9"),
    (65e9, True, 1e-4, "QLoRA, table 9"),
]


@pytest.mark.parametrize(("parameters", "lora", "rate", "source"), PUBLISHED)
def test_the_rate_is_near_a_published_recipe(parameters: float, lora: bool, rate: float, source: str) -> None:
    assert rate / 2 <= fitting_rate(int(parameters), lora=lora) <= rate * 2, source


def test_smaller_students_take_higher_rates() -> None:
    sizes = [10**power for power in range(5, 12)]
    for lora in (False, True):
        rates = [fitting_rate(size, lora=lora) for size in sizes]
        assert rates == sorted(rates, reverse=True)
    assert all(fitting_rate(size, lora=True) >= 5 * fitting_rate(size, lora=False) for size in sizes)


def test_a_rate_that_is_left_open_is_found_said_and_noted(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    section = TrainConfig(epochs=1, batch_size=4, log_steps=1, learning_rate=None)
    done = stage.run(bench.project, section, bench.student, name="open")
    manifest = read_manifest(bench.project, "train", "open")
    rate = TrainNotes.of(manifest).learning_rate
    assert manifest is not None and manifest.config["learning_rate"] is None
    assert rate == fitting_rate(100_000, lora=False) == done.facts["learning_rate"]
    assert f"Learning rate {rate:g}: fits" in capsys.readouterr().err
    assert dict(done.rows())["learning rate"] == f"{rate:g}"


def test_a_rate_that_is_set_is_taken_as_it_is(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    section = TrainConfig.model_validate({"learning_rate": 3e-4})
    assert learning_rate(section, bench.student, 10**9).value == 3e-4
    done = stage.run(bench.project, section.model_copy(update={"epochs": 1}), bench.student, name="set")
    assert done.facts["learning_rate"] == 3e-4 and "Learning rate" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("examples", "steps", "said"), [(40, 6, "train.batch_size=1"), (900, 87, "train.batch_size=16"), (2200, 207, None)]
)
def test_too_few_steps_are_remarked(examples: int, steps: int, said: str | None) -> None:
    remark = setup._too_few_steps(TrainConfig(batch_size=32, epochs=3), examples)
    assert (remark is None) if said is None else (said in str(remark) and f"{steps} steps in 3 epochs" in str(remark))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sft_epochs": 1}, "train.method: sft: train.sft_epochs. It is for train.method: logits or on_policy."),
        ({"dpo_beta": 0.3}, "train.method: sft: train.dpo_beta. It is for train.method: dpo."),
        (
            {"method": "logits", "rollout_teacher_top_k": 25, "teacher_top_k": 8},
            "logits: train.rollout_teacher_top_k. It",
        ),
        ({"method": "on_policy", "rollout_teacher_top_k": 25, "teacher_top_k": 8}, None),
        ({"dpo_beta": 0.3, "sft_epochs": 1}, "train.dpo_beta, train.sft_epochs."),
        ({}, None),
    ],
)
def test_settings_without_effect_are_named(settings: dict[str, object], said: str | None) -> None:
    found = without_effect(TrainConfig.model_validate(settings))
    assert (found is None) if said is None else (found is not None and said in found)
