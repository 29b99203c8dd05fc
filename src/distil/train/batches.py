"""Which examples make a step, and how a step becomes forward passes.

The order of examples depends on (seed, epoch) alone, so that a resumed training sees the same data. One element of the loader
is this process's part of a whole optimizer step; `micro_batches` cuts it by tokens. Cutting differently never changes the
result: losses are sums, divided once by the tokens of the whole step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distil.models.head import head_rows
from distil.objectives.shift import next_token_labels
from distil.objectives.targets import IGNORED
from distil.train.examples import Tokenized
from distil.train.packing import PackedLayout, no_mask

STARTS = 2**32 - 1
"""In place of an epoch: the random numbers that say with which of its answers a prompt begins."""


class StepSampler:
    """A batch sampler for DataLoader: this process's dataset indices of each optimizer step.

    units: groups of dataset indices of which an epoch takes one, in turn from epoch to epoch (several answers to one prompt);
    None = every index alone. An epoch has as many examples as there are units.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        units: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.rank, self.world = rank, world
        self.units = units if units is not None else [[index] for index in range(len(lengths))]
        self.epoch = 0

    @property
    def batch_sampler(self) -> StepSampler:
        """Where transformers looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return (len(self.units) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        taken = self._taken()
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(taken))
        for start in range(0, len(order), self.batch_size):
            indices = [taken[unit] for unit in order[start : start + self.batch_size].tolist()]
            step = sorted(indices, key=lambda i: (-self.lengths[i], i))
            yield step[self.rank :: self.world]  # striding over a list sorted by length gives processes equal work

    def _taken(self) -> list[int]:
        """The index that this epoch takes of each unit: each starts somewhere, and goes on by one from epoch to epoch."""
        starts = np.random.default_rng([self.seed, STARTS]).integers(0, 2**31, size=len(self.units)).tolist()
        return [unit[(start + self.epoch) % len(unit)] for unit, start in zip(self.units, starts, strict=True)]


def units_of(examples: Sequence[Tokenized]) -> list[list[int]]:
    """The dataset indices of answers to the same prompt, in the order of their first; a text without a prompt is alone."""
    units: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        units.setdefault(example.prompt or f"alone {index}", []).append(index)
    return list(units.values())


@dataclass
class MicroBatch:
    """One forward pass. Packed: one flat row of documents; otherwise right-padded rows."""

    input_ids: Tensor
    """(B, T) int64; B = 1 when packed."""
    position_ids: Tensor
    """(B, T); restarts at every document."""
    labels: Tensor
    """(B, T), by position, -100 where nothing is learned."""
    documents: Tensor
    """(B, T): the index of each token's document, so that none predicts the first token of the next; -1 for padding."""
    examples: list[Tokenized]
    """The documents, in order."""
    layout: PackedLayout | None
    rollout: bool = False
    """Texts that the student wrote itself: they get no cross-entropy."""
    pairs: bool = False
    """Pairs of a better and a worse answer, one after the other."""

    @property
    def tokens(self) -> int:
        """Real tokens, without padding."""
        return sum(len(example.input_ids) for example in self.examples)

    @property
    def learned(self) -> int:
        """Tokens that are learned."""
        return sum(example.learned for example in self.examples)

    @property
    def units(self) -> int:
        """What the mean of a step is over: learned tokens, or pairs."""
        return len(self.examples) // 2 if self.pairs else self.learned

    @cached_property
    def counted(self) -> tuple[Tensor, Tensor]:
        """Mask (B * T,) of the rows that predict a learned token, and those tokens (R,). Computed once per pass."""
        following = next_token_labels(self.labels, self.documents).reshape(-1)
        mask = following != IGNORED
        return mask, following[mask]

    def hidden_states(self, model: PreTrainedModel) -> Tensor:
        """What enters the output layer (B, T, H) of a bare causal language model."""
        return head_rows(model, self.inputs())

    def counted_hidden(self, model: PreTrainedModel) -> Tensor:
        """Final hidden states (R, H) of the counted rows."""
        hidden = self.hidden_states(model)
        return hidden.reshape(-1, hidden.shape[-1])[self.counted[0]]

    def to(self, device: torch.device) -> MicroBatch:
        """A copy on a device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            position_ids=self.position_ids.to(device),
            labels=self.labels.to(device),
            documents=self.documents.to(device),
            layout=self.layout.to(device) if self.layout is not None else None,
        )

    def inputs(self) -> dict[str, object]:
        """Keyword arguments for a decoder."""
        common: dict[str, object] = {"input_ids": self.input_ids, "position_ids": self.position_ids, "use_cache": False}
        if self.layout is None:
            return common | {"attention_mask": (self.documents >= 0).long()}
        return common | {"attention_mask": no_mask(self.input_ids.device), "packed_layout": self.layout}


def micro_batches(
    examples: Sequence[Tokenized], max_tokens: int, *, packing: bool, pad_id: int, rollout: bool = False
) -> list[MicroBatch]:
    """Cuts examples (in any order) into forward passes of at most `max_tokens` tokens, padding included. A longer example gets
    a pass alone."""
    groups: list[list[Tokenized]] = []
    size = 0
    for example in sorted(examples, key=lambda e: (-len(e.input_ids), e.id)):
        length = len(example.input_ids) if packing or not groups or not groups[-1] else len(groups[-1][0].input_ids)
        if not groups or size + length > max_tokens:
            groups.append([])
            size, length = 0, len(example.input_ids)
        groups[-1].append(example)
        size += length
    return [pack(group, rollout) if packing else pad(group, pad_id, rollout) for group in groups]


def pack(examples: list[Tokenized], rollout: bool = False) -> MicroBatch:
    """One flat row: (1, sum of lengths)."""
    lengths = [len(example.input_ids) for example in examples]
    return MicroBatch(
        input_ids=torch.tensor([[t for e in examples for t in e.input_ids]]),
        position_ids=torch.cat([torch.arange(n) for n in lengths])[None],
        labels=torch.tensor([[t for e in examples for t in e.labels]]),
        documents=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[None],
        examples=examples,
        layout=PackedLayout.of(lengths),
        rollout=rollout,
    )


def pad(examples: list[Tokenized], pad_id: int, rollout: bool = False) -> MicroBatch:
    """Right-padded rows: (B, longest)."""
    longest = max(len(example.input_ids) for example in examples)
    fill = [longest - len(example.input_ids) for example in examples]
    rows = list(zip(examples, fill, strict=True))
    return MicroBatch(
        input_ids=torch.tensor([e.input_ids + [pad_id] * n for e, n in rows]),
        position_ids=torch.arange(longest).repeat(len(rows), 1),
        labels=torch.tensor([e.labels + [IGNORED] * n for e, n in rows]),
        documents=torch.tensor([[i] * (longest - n) + [-1] * n for i, (_, n) in enumerate(rows)]),
        examples=examples,
        layout=None,
        rollout=rollout,
    )


def placeholder(example: Tokenized, *, packing: bool, pad_id: int) -> MicroBatch:
    """A pass with no learned token, for a process that has fewer passes than the others."""
    length = min(len(example.input_ids), 8)
    masked = Tokenized(example.id, example.input_ids[:length], [IGNORED] * length, length)
    return pack([masked]) if packing else pad([masked], pad_id)
