"""Which examples make a step, and how a step becomes forward passes.

The order of examples is a function of (seed, epoch), nothing else, so that a resumed training sees the same data. One element
of the loader is this process's part of a whole optimizer step; `micro_batches` cuts it by tokens. Cutting differently never
changes the result: losses are sums, divided once by the tokens of the whole step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distil.train.examples import IGNORED, Tokenized
from distil.train.packing import PackedLayout, no_mask


class StepSampler:
    """Yields the dataset indices of each optimizer step that belong to this process. A batch sampler for DataLoader."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.rank, self.world = rank, world
        self.epoch = 0

    @property
    def batch_sampler(self) -> StepSampler:
        """transformers looks here for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return (len(self.lengths) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.lengths))
        for start in range(0, len(order), self.batch_size):
            step = sorted(order[start : start + self.batch_size].tolist(), key=lambda i: (-self.lengths[i], i))
            yield step[self.rank :: self.world]  # every world-th of a list sorted by length: equal work


@dataclass
class MicroBatch:
    """One forward pass. Packed: one flat row of documents; else right-padded rows (no mask: causal attention
    ignores the right)."""

    input_ids: Tensor
    """(B, T) int64; B = 1 when packed."""
    position_ids: Tensor
    """(B, T); restarts at every document."""
    labels: Tensor
    """(B, T), by position, -100 where nothing is learned."""
    documents: Tensor
    """(B, T): which document a token belongs to, so that none predicts the next one's first token."""
    examples: list[Tokenized]
    """The documents in order."""
    layout: PackedLayout | None
    rollout: bool = False
    """Texts that the student wrote itself: no cross-entropy on them."""

    @property
    def tokens(self) -> int:
        """Real tokens, without padding."""
        return sum(len(example.input_ids) for example in self.examples)

    @property
    def learned(self) -> int:
        """Tokens that are learned."""
        return sum(example.learned for example in self.examples)

    def to(self, device: torch.device) -> MicroBatch:
        """The same on a device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            position_ids=self.position_ids.to(device),
            labels=self.labels.to(device),
            documents=self.documents.to(device),
            layout=self.layout.to(device) if self.layout is not None else None,
        )

    def inputs(self) -> dict[str, Any]:
        """Keyword arguments for a decoder."""
        common = {"input_ids": self.input_ids, "position_ids": self.position_ids, "use_cache": False}
        if self.layout is None:
            return common | {"attention_mask": (self.documents >= 0).long()}
        return common | {"attention_mask": no_mask(self.input_ids.device), "packed_layout": self.layout}


def micro_batches(
    examples: Sequence[Tokenized], max_tokens: int, *, packing: bool, pad_id: int, rollout: bool = False
) -> list[MicroBatch]:
    """Cuts examples (any order) into forward passes of at most `max_tokens` tokens, padding included; a longer
    example is alone."""
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
    """A pass that teaches nothing, for a process that has fewer passes than the others (sharded weights need equal counts)."""
    length = min(len(example.input_ids), 8)
    silent = Tokenized(example.id, example.input_ids[:length], [IGNORED] * length, length)
    return pack([silent]) if packing else pad([silent], pad_id)
