"""A learning rate found by trying: a few small steps with a rising rate, after which the weights are as before.

The loss falls as the rate rises, until the rate is too high for the steps to stay together (Smith 2017, "Cyclical Learning Rates
for Training Neural Networks", section 3.3). What is taken is a fixed part of the rate at which the loss was lowest; see CAUTION.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from distil.models.config import StudentConfig
from distil.models.proofs import copy_fits
from distil.models.unwrap import causal_model
from distil.progress import track
from distil.train.batches import units_of
from distil.train.config import TrainConfig
from distil.train.examples import Tokenized
from distil.train.memory import ran_out_of_memory
from distil.train.rate import FEWEST_EXAMPLES, SHARE, STEPS, affordable, step_of_test, untestable
from distil.train.trainer import DistilTrainer

REACH = 16.0
"""The rate rises from the fitting one divided by this to the fitting one times this."""
CAUTION = 4.0
"""The rate of the lowest loss, divided by this, is taken: with the full schedule a rate must hold for the whole training."""
SMOOTHING = 0.7
"""Weight of the past in the mean of the losses."""
DIVERGED = 1.5
"""The test ends when the loss is so many times the lowest."""


class Tried(NamedTuple):
    """What a range test found."""

    rate: float
    """The peak learning rate to take, two digits."""
    lowest_at: float
    """The rate at which the smoothed loss was lowest."""
    losses: list[tuple[float, float]]
    """(rate, loss per learned token before the step with that rate), in order; none where the first is not a number."""
    examples: int
    """Read, each once."""


def find_rate(
    trainer: DistilTrainer,
    section: TrainConfig,
    student: StudentConfig,
    max_steps: int | None,
    started_with: float | None,
) -> str:
    """Sets the trainer's peak learning rate by a range test where one can be made, and returns what to say about it.

    started_with: the rate of a training that goes on here; it is taken without a test.
    """
    fits = float(trainer.args.learning_rate)
    if started_with is not None:
        trainer.args.learning_rate = started_with
        return f"Learning rate {started_with:g}, as this training was started with."
    budget, why = 0, untestable(section, student)
    if why is None:
        budget = affordable(_an_epoch(trainer, section), section, max_steps)
        why = _hindrance(trainer, budget)
    if why is not None:
        return f"Learning rate {fits:g}, which fits the size: {why}."
    try:
        tried = range_test(trainer, fits, budget, section.seed)
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        return f"Learning rate {fits:g}, which fits the size: memory ran out while others were tried."  # steps may be smaller
    trainer.args.learning_rate = tried.rate
    if not tried.losses:
        return f"Learning rate {fits:g}, which fits the size: the first loss was not a number while others were tried."
    taken = "a quarter of that" if tried.lowest_at / CAUTION >= fits / REACH else "the lowest of them"
    return (
        f"Learning rate {tried.rate:g}: in {len(tried.losses)} steps with rates from {tried.losses[0][0]:.1e} to "
        f"{tried.losses[-1][0]:.1e} the loss was lowest at {tried.lowest_at:.1e}, and {taken} is taken "
        f"({fits:g} fits the size)."
    )


def _hindrance(trainer: DistilTrainer, budget: int) -> str | None:
    """Why no rates are tried here. budget: examples that the test may read."""
    if trainer.args.world_size > 1:
        return "rates are tried in one process alone, and this has several"
    if not budget:
        return (
            f"{SHARE:.0%} of so short a training are fewer than the {FEWEST_EXAMPLES} examples that trying rates takes"
        )
    if not copy_fits(p for p in trainer.model.parameters() if p.requires_grad):
        return "to try others, the memory has no room for a copy of the weights"
    return None


def _an_epoch(trainer: DistilTrainer, section: TrainConfig) -> int:
    """Examples with an answer that an epoch has."""
    learned = _learned(trainer)
    return len(units_of(learned)) if section.answers == "one_per_epoch" else len(learned)


def _learned(trainer: DistilTrainer) -> list[Tokenized]:
    """The examples with an answer: on_policy may have prompts without one."""
    return [example for example in trainer.examples if example.learned]


def range_test(trainer: DistilTrainer, fits: float, examples: int, seed: int) -> Tried:
    """Tries rates around the fitting one on a random part of the training examples, in one process.

    fits: the rate of the rule; examples: how many may be read. Weights, optimizer and random numbers are afterwards as before.
    """
    learned = _learned(trainer)
    order = np.random.default_rng([seed, 1]).permutation(len(learned))[:examples]
    size = step_of_test(len(order), trainer.settings.batch_size)
    batches = [[learned[i] for i in order[at : at + size]] for at in range(0, size * STEPS, size)]
    rates = np.geomspace(fits / REACH, fits * REACH, STEPS).tolist()
    if trainer.args.activation_checkpointing:  # as transformers does at the start of a training
        causal_model(trainer.model).activation_checkpointing_enable(trainer.args.activation_checkpointing_kwargs)
    with _unchanged(trainer.model, trainer.args.device):
        losses = list(_losses(trainer, list(zip(rates, batches, strict=True))))
    if not losses:
        return Tried(fits, fits, [], 0)
    lowest = _lowest(losses)
    rate = min(max(lowest / CAUTION, fits / REACH), fits * REACH)
    return Tried(float(f"{rate:.1e}"), lowest, losses, size * len(losses))


def _losses(trainer: DistilTrainer, plan: list[tuple[float, list[Tokenized]]]) -> Iterator[tuple[float, float]]:
    """(rate, loss) of each step, until the loss has left what it had reached."""
    model = trainer.model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=trainer.args.weight_decay)
    seen: list[float] = []
    for rate, examples in track(plan, "Trying learning rates", unit="steps"):
        loss = _backward(trainer, model, examples)
        seen.append(loss)
        means = smoothed(seen)
        if not math.isfinite(loss) or means[-1] > DIVERGED * min(means[:-1], default=math.inf):
            break
        yield rate, loss
        if trainer.args.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(parameters, trainer.args.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _backward(trainer: DistilTrainer, model: torch.nn.Module, examples: Sequence[Tokenized]) -> float:
    """Gradients of the mean loss of a step; returns that loss."""
    passes = trainer.cut(examples)
    count = max(sum(batch.learned for batch in passes), 1)
    total = 0.0
    for batch in passes:
        with trainer.accelerator.autocast():
            out = trainer.forward(model, batch)
        (out["loss"] / count).backward()
        total += float(out["loss"].detach()) / count
    return total


def smoothed(losses: Sequence[float]) -> list[float]:
    """The exponential mean up to each loss, in which the first ones count fully (Adam's correction of the start)."""
    smooth, weight, means = 0.0, 0.0, []
    for loss in losses:
        smooth, weight = SMOOTHING * smooth + (1 - SMOOTHING) * loss, SMOOTHING * weight + (1 - SMOOTHING)
        means.append(smooth / weight)
    return means


def _lowest(losses: Sequence[tuple[float, float]]) -> float:
    """The rate at which the smoothed loss is lowest. A loss is measured before the step with its rate, so it belongs to the rate
    before; smoothing delays it by about SMOOTHING / (1 - SMOOTHING) steps more."""
    means = smoothed([loss for _, loss in losses])
    late = 1 + round(SMOOTHING / (1 - SMOOTHING))
    return losses[max(int(np.argmin(means)) - late, 0)][0]


@contextmanager
def _unchanged(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Puts the trainable weights, the buffers, the mode and the random numbers back at the end."""
    changing = [*(p for p in model.parameters() if p.requires_grad), *model.buffers()]
    kept = [tensor.detach().to("cpu", copy=True) for tensor in changing]
    training = model.training
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for tensor, before in zip(changing, kept, strict=True):
                tensor.copy_(before)
        model.zero_grad(set_to_none=True)
        model.train(training)
