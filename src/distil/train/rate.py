"""The learning rate where distil.yaml names none: it fits the student's size and what of it is trained.

One function for training, plan and doctor. AdamW's best rate falls with a model's width (Yang et al. 2022, Tensor Programs V), so
about with the square root of its parameters. The line goes through 2e-5 for 7B, with which Stanford Alpaca trained all weights
(github.com/tatsu-lab/stanford_alpaca). LoRA's best rate is about ten times that of full training (Schulman et al. 2025, "LoRA
Without Regret"); for 7B that is the 2e-4 of QLoRA (Dettmers et al. 2023, table 9), which takes 1e-4 for 65B. What it gives on the
models at hand: docs/results_decide.md, benchmarks/learning_rates.py.
"""

from __future__ import annotations

from typing import NamedTuple

from distil.models.config import StudentConfig
from distil.train.config import TrainConfig
from distil.train.start import is_trained

RATE_AT_7B, PARAMETERS_AT_7B = 2e-5, 7e9
LORA_FACTOR = 10.0
DPO_FACTOR = 0.1
"""The usual rates for DPO are far below those of fine-tuning: 1e-6 (Rafailov et al. 2023), 5e-7 for 7B (Zephyr, 2310.16944)."""
HIGHEST_FULL, HIGHEST_LORA = 2e-3, 1e-2
"""Above these the smallest students did not get better (docs/results_decide.md)."""


SHARE = 0.05
"""Of the training's examples, at most so many are read by a range test (range_test.py)."""
STEPS, FEWEST_EXAMPLES = 30, 120
"""Steps of a range test, and the examples without which none is made: four for each step. With two, what three seeds found was a
factor of 4.6 apart (docs/results_levers.md)."""


class Rate(NamedTuple):
    """A peak learning rate, and where it comes from."""

    value: float
    why: str
    """`set in distil.yaml`, or what it fits."""


def fitting_rate(parameters: int, *, lora: bool, dpo: bool = False) -> float:
    """The peak learning rate for a model of so many parameters (those of the base alone for LoRA), to two digits."""
    rate = RATE_AT_7B * (PARAMETERS_AT_7B / max(parameters, 1)) ** 0.5
    rate = min(rate * LORA_FACTOR, HIGHEST_LORA) if lora else min(rate, HIGHEST_FULL)
    return float(f"{rate * DPO_FACTOR if dpo else rate:.1e}")


def untestable(section: TrainConfig, student: StudentConfig) -> str | None:
    """Why no rates are tried, however long the training is; None = they can be."""
    if student.adapter == "lora":  # measured: docs/results_levers.md, "The learning rate that is tried"
        return "with LoRA a few steps say too little about a rate"
    if section.method == "dpo":
        return "what dpo prefers after a few steps says nothing about a rate"
    if is_trained(student.model):
        # Every step raises its loss on what it knows, so that the lowest rate would always win.
        return f"{student.model} is trained already, so a few steps show nothing"
    return None


def affordable(examples: int, section: TrainConfig, max_steps: int | None = None) -> int:
    """Examples that a test of a training may read; 0 = the training is too short for one. examples: of an epoch."""
    total = examples * section.epochs if max_steps is None else max_steps * section.batch_size
    found = min(int(SHARE * total), examples)
    return found if found >= FEWEST_EXAMPLES else 0


def step_of_test(examples: int, batch_size: int) -> int:
    """Examples in a step of a range test that may read so many."""
    return min(max(1, examples // STEPS), batch_size)


def learning_rate(section: TrainConfig, student: StudentConfig, parameters: int) -> Rate:
    """The peak learning rate of a training: the one that is set, else the one that fits. parameters: of the base model."""
    if section.set_rate is not None:
        return Rate(section.set_rate, "set in distil.yaml")
    lora = student.adapter == "lora"
    trained = "LoRA" if lora else "all weights trained"
    dpo, why = section.method == "dpo", f"fits {parameters / 1e6:,.3g}M parameters, {trained}"
    return Rate(fitting_rate(parameters, lora=lora, dpo=dpo), f"a tenth of what {why}" if dpo else why)
