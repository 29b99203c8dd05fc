"""Pairs for `method: dpo`: the teacher's answer over the one that the student itself gives to the same training prompt.

The student that the training starts from writes its answers once, before the first step, and is the reference: its
log-probabilities are kept as numbers. A resumed training reads those answers again. The formula: distil.objectives.preferences.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from distil.errors import UserError
from distil.ids import content_id
from distil.models.head import output_head
from distil.models.load import Loaded
from distil.models.unwrap import causal_model
from distil.objectives.heads import OutputHead
from distil.objectives.preferences import answer_log_probs, preference_losses
from distil.objectives.settings import LossSettings
from distil.objectives.targets import IGNORED
from distil.progress import bar, say
from distil.records import Sampling
from distil.runs.jsonl import read_json, write_json
from distil.text import same_answer
from distil.train.batches import MicroBatch, pack, pad
from distil.train.config import TrainConfig
from distil.train.examples import Tokenized
from distil.train.rollouts import Writer, rollout
from distil.train.signal.sources import Signal

PART = 256
"""Prompts that the student answers between two writes of the file."""


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
        """Sums over the pairs: their losses, and how many the student has moved apart."""
        now = answer_log_probs(hidden, head, labels, [example.learned for example in batch.examples])
        before = now.new_tensor([example.before for example in batch.examples])
        better, worse = now[0::2], now[1::2]
        losses = preference_losses(better, worse, before[0::2], before[1::2], self.beta)
        moved = (better - before[0::2]) > (worse - before[1::2])
        return {
            "loss": losses.sum(),
            "preferred": moved.sum(),
            "pairs": torch.tensor(float(len(losses))),
        }


def require_one_process(section: TrainConfig) -> None:
    """Raises UserError for several: each would write other answers."""
    if section.processes > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"train.method: dpo runs in one process, and {max(section.processes, int(os.environ.get('WORLD_SIZE', '1')))} are "
            "asked for. Leave out --processes (train.processes: 1), or export the pairs: distil export dpo."
        )


def own_answers(
    write: Writer, examples: Sequence[Tokenized], sampling: Sampling, seed: int, file: Path, student: str
) -> dict[str, list[int]]:
    """Id of each example -> what the student answers to its prompt. Written to `file`, part by part, and read from there when a
    training goes on, because a GPU would not write the same texts again. student: names it, with its weights."""
    prompts = {e.id: e.input_ids[: e.prompt_length] for e in examples}
    key = content_id("own", [student, prompts, sampling.model_dump(mode="json"), seed])
    texts: dict[str, list[int]] = {}
    if file.exists() and (found := read_json(file)).get("key") == key:
        texts = {str(id_): list(map(int, text)) for id_, text in found["texts"].items()}
    ids = list(prompts)
    parts = [(at, ids[at : at + PART]) for at in range(0, len(ids), PART)]
    left = [(at, part) for at, part in parts if not texts.keys() >= set(part)]
    if not left:
        return texts
    file.parent.mkdir(parents=True, exist_ok=True)
    with bar("Writing the student's own answers", sum(len(part) for _, part in left), "answers") as running:
        for at, part in left:
            texts |= zip(part, write([prompts[id_] for id_ in part], sampling, seed + at), strict=True)
            write_json(file, {"key": key, "texts": texts})
            running.advance(len(part))
    return texts


def make_pairs(
    student: Loaded, examples: Sequence[Tokenized], texts: Mapping[str, list[int]], label: str
) -> list[Tokenized]:
    """The examples with the student's own answer as `rejected`; those to which it says the same, or nothing, are left out."""
    pairs = []
    for example in examples:
        text = texts[example.id]
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
