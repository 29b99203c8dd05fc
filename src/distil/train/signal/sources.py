"""Where the teacher's word comes from: nowhere, a model in this process, the cache on disk, or a server (server.py).

For the counted rows of one micro-batch a source returns targets for the fused loss, or a loss in its place (crosstokenizer.py).
It is not part of the student's autograd graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distil.errors import UserError
from distil.models.head import output_head
from distil.models.load import context_length
from distil.models.unwrap import causal_model, input_embedding
from distil.objectives.heads import OutputHead
from distil.objectives.settings import LossSettings
from distil.objectives.targets import DenseTargets, MixtureTargets, SampledTargets, Targets, TopKTargets
from distil.runs.signals.store import SignalRows, SignalStore
from distil.train.batches import MicroBatch, pad
from distil.train.examples import Tokenized
from distil.train.packing import can_pack, use_packed


class Signal(NamedTuple):
    """What the teacher contributes to the loss of one micro-batch."""

    targets: Targets | None = None
    """One row for each counted position, in order."""
    loss: Callable[[Tensor, OutputHead, Tensor], dict[str, Tensor]] | None = None
    """Replaces the fused loss: (student's counted rows, head, labels) -> sums loss, distill, label."""


class SignalSource(Protocol):
    """Anything that provides the teacher's signal."""

    @property
    def packs(self) -> bool:
        """Whether it can serve packed rows."""

    def check(self, examples: Sequence[Tokenized], settings: LossSettings) -> None:
        """Raises UserError, before the first step, if this source can't serve these examples or this objective."""

    def signal(self, batch: MicroBatch, epoch: int) -> Signal:
        """The signal for `batch.counted`, on the batch's device."""


class NoSource:
    """Labels only: sft."""

    packs = True

    def check(self, examples: Sequence[Tokenized], settings: LossSettings) -> None:
        """Nothing can be wrong."""

    def signal(self, batch: MicroBatch, epoch: int) -> Signal:
        """No targets."""
        return Signal()


T = TypeVar("T")


def lookup(cache: dict[str, T], batch: MicroBatch) -> list[T] | None:
    """The cached value of each of a batch's examples, in order. None if one is missing, and for rollouts: their texts change
    under the same id."""
    if batch.rollout or not all(example.id in cache for example in batch.examples):
        return None
    return [cache[example.id] for example in batch.examples]


class OnlineSource:
    """Teachers in this process. Their full logits never exist: hidden states and head go to the fused loss."""

    def __init__(self, teachers: Sequence[torch.nn.Module], shares: Sequence[float], *, packing: bool) -> None:
        """teachers: causal language models with the student's tokenizer; shares: a weight for each."""
        self.teachers = [causal_model(teacher) for teacher in teachers]
        self.shares = tuple(shares)
        self._cache: dict[str, tuple[Tensor, ...]] = {}
        for teacher in self.teachers:
            teacher.eval().requires_grad_(False)
            if packing:
                use_packed(teacher)

    @property
    def packs(self) -> bool:
        """Whether all teachers support packed rows."""
        return all(can_pack(teacher) for teacher in self.teachers)

    def check(self, examples: Sequence[Tokenized], settings: LossSettings) -> None:
        """The longest example must fit into every teacher's context."""
        longest = max(len(example.for_teacher.input_ids) for example in examples)
        for teacher in self.teachers:
            limit = context_length(teacher)
            if limit is not None and longest > limit:
                raise UserError(
                    f"The teacher reads at most {limit:,} tokens, and the longest example has {longest:,}. "
                    f"Set train.max_length: {limit} with train.too_long: drop, or use a teacher with a longer context."
                )

    def signal(self, batch: MicroBatch, epoch: int) -> Signal:
        """Dense targets of one teacher, or the mixture of several."""
        cached = lookup(self._cache, batch)
        rows = self._compute(batch) if cached is None else [torch.cat(parts) for parts in zip(*cached, strict=True)]
        heads = map(output_head, self.teachers)
        targets = tuple(DenseTargets.of(hidden, head) for hidden, head in zip(rows, heads, strict=True))
        return Signal(targets[0] if len(targets) == 1 else MixtureTargets(targets, self.shares))

    @torch.no_grad()
    def _compute(self, batch: MicroBatch) -> list[Tensor]:
        passes, here = _teacher_passes(batch), batch.labels.device  # a spread teacher's last layer may lie elsewhere
        return [torch.cat([part.counted_hidden(model) for part in passes]).to(here) for model in self.teachers]

    def cache_bytes(self, examples: Sequence[Tokenized]) -> int:
        """Memory for the hidden states of all learned positions."""
        bytes_per_row = sum(input_embedding(t).shape[1] * next(t.parameters()).element_size() for t in self.teachers)
        return bytes_per_row * sum(example.learned for example in examples)

    def fill_cache(self, batches: Iterable[MicroBatch], device: torch.device) -> None:
        """Computes the hidden states of fixed texts once, so that no epoch needs to run the teacher.

        In the given order, before the first step, so that a resumed training learns from exactly the same numbers.
        """
        for batch in batches:
            counts = [example.learned for example in batch.examples]
            rows = zip(*(hidden.split(counts) for hidden in self._compute(batch.to(device))), strict=True)
            self._cache.update({example.id: row for example, row in zip(batch.examples, rows, strict=True)})


def _teacher_passes(batch: MicroBatch) -> list[MicroBatch]:
    """A micro-batch as the teacher sees it: itself, or padded rows with longer prompts, in passes of about as many tokens."""
    if all(example.teacher_prompt is None for example in batch.examples):
        return [batch]
    passes: list[list[Tokenized]] = []
    longest = 0
    for side in (example.for_teacher for example in batch.examples):
        longest = max(longest, len(side.input_ids))
        if not passes or longest * (len(passes[-1]) + 1) > batch.input_ids.numel():
            passes.append([])
            longest = len(side.input_ids)
        passes[-1].append(side)
    return [pad(sides, 0).to(batch.input_ids.device) for sides in passes]  # 0: no row looks at padding


class CachedSource:
    """What `distil signals` stored: no teacher in memory."""

    packs = True

    def __init__(self, store: SignalStore, temperature: float, device: torch.device) -> None:
        self.store, self.temperature, self.device = store, temperature, device
        self._head: tuple[Tensor, Tensor | None] | None = None

    def check(self, examples: Sequence[Tokenized], settings: LossSettings) -> None:
        """The cache must serve this divergence and temperature, and hold exactly these token ids."""
        self.store.allow(divergence=settings.divergence, temperature=settings.temperature)
        seen = (example.for_teacher for example in examples)
        self.store.require((e.id, e.input_ids, [label != -100 for label in e.labels]) for e in seen)

    def signal(self, batch: MicroBatch, epoch: int) -> Signal:
        """The rows of the batch's examples, one after another: the order of the counted rows."""
        if batch.rollout:
            raise UserError(
                "A cache holds the fixed answers only, so train.signal: cached can't serve on_policy. Set train.signal: online."
            )
        rows = self.store.read([e.id for e in batch.examples], temperature=self.temperature, epoch=epoch)
        return Signal(self._targets(rows))

    def _targets(self, rows: SignalRows) -> Targets:
        if rows.kind == "hidden":
            assert rows.hidden is not None
            weight, bias = self._stored_head()
            spec = self.store.spec
            hidden = self._tensor(rows.hidden).to(weight.dtype)
            return DenseTargets(hidden, weight, bias, spec.logit_scale, spec.logit_softcap)
        assert rows.ids is not None
        ids = self._tensor(rows.ids)
        if rows.kind == "top_k":
            return TopKTargets(ids, self._tensor(rows.log_probs), self._tensor(rows.log_tail), self.temperature)
        return SampledTargets(ids, self._tensor(rows.weights), self._tensor(rows.entropy), self.temperature)

    def _stored_head(self) -> tuple[Tensor, Tensor | None]:
        if self._head is None:
            weight, bias = self.store.head()
            compute = torch.float32 if self.device.type == "cpu" else torch.bfloat16
            self._head = (self._tensor(weight.copy()).to(compute), None if bias is None else self._tensor(bias))
        return self._head

    def _tensor(self, array: NDArray[np.generic] | None) -> Tensor:
        assert array is not None
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        if array.dtype.name == "uint16":
            tensor = tensor.view(torch.bfloat16)
        return tensor.to(self.device)
