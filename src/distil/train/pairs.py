"""Pairs for `method: dpo`: the teacher's answer over the one that the student itself gives to the same training prompt.

The student that the training starts from writes its answers once, before the first step, and is the reference: its
log-probabilities are kept as numbers. A resumed training makes both again from the same start (equal on a CPU; on a GPU up to its
rounding). The formula is in distil.objectives.preferences.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distil.errors import UserError
from distil.models.head import output_head
from distil.models.load import Loaded
from distil.models.unwrap import causal_model
from distil.objectives.heads import OutputHead
from distil.objectives.preferences import answer_log_probs, preference_losses
from distil.objectives.settings import LossSettings
from distil.objectives.targets import IGNORED
from distil.progress import say
from distil.records import Sampling
from distil.text import same_answer
from distil.train.batches import MicroBatch, pack, pad
from distil.train.config import TrainConfig
from distil.train.examples import Tokenized
from distil.train.rollouts import Writer, rollout
from distil.train.signal.sources import Signal


class PairSource:
    """The loss of pairs; there is no teacher."""

    packs = True

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def check(self, examples: Sequence[Tokenized], settings: LossSettings) -> None:
        """Nothing can be wrong."""

    def signal(self, batch: MicroBatch, epoch: int) -> Signal:
        """The loss of the batch's pairs; labels alone for a pass without a pair."""
        if not batch.pairs:
            return Signal()
        return Signal(loss=lambda hidden, head, labels: self._losses(batch, hidden, head, labels))

    def _losses(self, batch: MicroBatch, hidden: Tensor, head: OutputHead, labels: Tensor) -> dict[str, Tensor]:
        """Sums over the pairs: loss; label, the cross-entropy of the better answers; preferred, the pairs that the student has
        moved apart."""
        now = answer_log_probs(hidden, head, labels, [example.learned for example in batch.examples])
        before = now.new_tensor([example.before for example in batch.examples])
        better, worse = now[0::2], now[1::2]
        losses = preference_losses(better, worse, before[0::2], before[1::2], self.beta)
        moved = (better - before[0::2]) > (worse - before[1::2])
        zero = torch.zeros_like(losses[0])
        return {
            "loss": losses.sum(),
            "distill": zero.detach(),
            "label": -better.detach().sum(),
            "preferred": moved.sum(),
            "pairs": zero.detach() + len(losses),
        }


def require_one_process(section: TrainConfig) -> None:
    """Raises UserError for several: each would write other answers."""
    if section.processes > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"train.method: dpo runs in one process, and {max(section.processes, int(os.environ.get('WORLD_SIZE', '1')))} are "
            "asked for. Leave out --processes (train.processes: 1), or export the pairs: distil export dpo."
        )


def make_pairs(
    student: Loaded, examples: Sequence[Tokenized], write: Writer, sampling: Sampling, seed: int, label: str
) -> list[Tokenized]:
    """The examples with the student's own answer as `rejected`; those to which it says the same, or nothing, are left out."""
    texts = write([e.input_ids[: e.prompt_length] for e in examples], sampling, seed) if examples else []
    pairs = []
    for example, text in zip(examples, texts, strict=True):
        labels = [IGNORED] * example.prompt_length + example.labels[example.prompt_length :]  # the last answer alone
        better = replace(example, labels=labels)
        answer = [token for token in better.labels if token != IGNORED]
        said, taught = (student.decode(ids, skip_special_tokens=True) for ids in (text, answer))
        if text and answer and not same_answer(said, taught):
            pairs.append(replace(better, rejected=rollout(example, text, None)))
    same = len(examples) - len(pairs)
    say(
        f"{len(pairs):,} pairs of {len(examples):,} {label}: to {same:,} the student gives the teacher's answer already."
    )
    return pairs


def pair_batches(pairs: Sequence[Tokenized], max_tokens: int, *, packing: bool, pad_id: int) -> list[MicroBatch]:
    """Cuts pairs into forward passes of at most `max_tokens` tokens, padding included; both answers of a pair share one."""
    groups: list[list[Tokenized]] = []
    size, longest = 0, 0
    for pair in sorted(pairs, key=lambda e: (-e.size, e.id)):
        assert pair.rejected is not None
        sides = [replace(pair, rejected=None), pair.rejected]
        longest = max(longest, *(len(side.input_ids) for side in sides)) if groups else 0
        after = size + pair.size if packing else longest * (len(groups[-1]) + 2 if groups else 2)
        if not groups or after > max_tokens:
            groups.append([])
            size, longest = 0, max(len(side.input_ids) for side in sides)
        groups[-1] += sides
        size += pair.size
    batches = [pack(group) if packing else pad(group, pad_id) for group in groups]
    return [replace(batch, pairs=True) for batch in batches]


@torch.no_grad()
def log_probs_before(
    model: torch.nn.Module, batches: Sequence[MicroBatch], device: torch.device
) -> dict[str, list[float]]:
    """Id of each pair -> log-probability of its better and its worse answer, under the model as it is."""
    inner = causal_model(model)
    was_training = inner.training
    inner.eval()
    found: dict[str, list[float]] = {}
    try:
        for batch in batches:
            here = batch.to(device)
            _, labels = here.counted
            head = output_head(inner)
            sums = answer_log_probs(here.counted_hidden(inner), head, labels, [e.learned for e in here.examples])
            for example, value in zip(here.examples, sums.tolist(), strict=True):
                found.setdefault(example.id, []).append(value)
    finally:
        inner.train(was_training)
    return found


def with_log_probs(pairs: Sequence[Tokenized], before: dict[str, list[float]]) -> list[Tokenized]:
    """The pairs with what `log_probs_before` found."""
    done = []
    for pair in pairs:
        assert pair.rejected is not None
        better, worse = before[pair.id]
        done.append(replace(pair, before=better, rejected=replace(pair.rejected, before=worse)))
    return done
