"""Where the teacher's word comes from: nowhere, a model in this process, the cache on disk, or a server (server.py).

A source says, for the counted rows of one micro-batch, what the teacher thinks of them: targets for the fused loss, or a
loss of its own (crosstokenizer.py). It is not part of the student's graph. Made by stage.py, asked by trainer.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from distil.errors import UserError
from distil.models.head import output_head
from distil.objectives.heads import OutputHead
from distil.objectives.targets import (
    DenseTargets,
    MixtureTargets,
    SampledTargets,
    Targets,
    TopKTargets,
)
from distil.runs.signals.store import SignalRows, SignalStore
from distil.train.batches import MicroBatch
from distil.train.examples import Tokenized
from distil.train.objective import Weights, causal_model, counted, hidden_rows
from distil.train.packing import can_pack, use_packed


class Signal(NamedTuple):
    """The teacher's word on one micro-batch."""

    targets: Targets | None = None
    """One row for each counted position, in order."""
    loss: Callable[[Tensor, OutputHead, Tensor], dict[str, Tensor]] | None = None
    """(student's counted rows, head, labels) -> sums loss, distill, label; in place of the fused loss."""


class SignalSource(Protocol):
    """Anything that knows what the teacher says."""

    def check(self, examples: Sequence[Tokenized], weights: Weights) -> None:
        """Raises UserError where this source can't serve these examples or this objective. Called before the first step."""

    def signal(self, batch: MicroBatch, keep: Tensor, epoch: int) -> Signal:
        """keep: (B * T,) bool on the batch's device, the counted rows."""


class NoSource:
    """Hard labels only: sft."""

    def check(self, examples: Sequence[Tokenized], weights: Weights) -> None:
        """Nothing can be wrong."""

    def signal(self, batch: MicroBatch, keep: Tensor, epoch: int) -> Signal:
        """No targets."""
        return Signal()


T = TypeVar("T")


def recalled(known: dict[str, T], batch: MicroBatch) -> list[T] | None:
    """What was remembered of each of a batch's examples, in order. None where one is unknown, and for rollouts: their texts
    change under one id."""
    if batch.rollout or not all(example.id in known for example in batch.examples):
        return None
    return [known[example.id] for example in batch.examples]


class OnlineSource:
    """Teachers in this process. Their logits never exist as a whole: hidden states and head go to the fused loss."""

    def __init__(self, teachers: Sequence[Any], shares: Sequence[float] | None = None, *, packing: bool = True) -> None:
        """teachers: causal language models with the student's tokenizer; shares: one weight each (default: equal)."""
        self.teachers = [causal_model(teacher).eval().requires_grad_(False) for teacher in teachers]
        self.shares = tuple(shares) if shares is not None else (1.0,) * len(self.teachers)
        self._known: dict[str, tuple[Tensor, ...]] = {}
        if packing:
            for teacher in self.teachers:
                use_packed(teacher)

    @property
    def packs(self) -> bool:
        """Whether all teachers can read packed rows."""
        return all(can_pack(teacher) for teacher in self.teachers)

    def check(self, examples: Sequence[Tokenized], weights: Weights) -> None:
        """The longest example must fit into every teacher's context."""
        from distil.models.load import context_length

        longest = max(len(example.input_ids) for example in examples)
        for teacher in self.teachers:
            limit = context_length(teacher)
            if limit is not None and longest > limit:
                raise UserError(
                    f"The teacher reads at most {limit:,} tokens, and the longest example has {longest:,}. "
                    f"Set train.max_length: {limit} with train.too_long: drop, or use a teacher with a longer context."
                )

    def signal(self, batch: MicroBatch, keep: Tensor, epoch: int) -> Signal:
        """Dense targets of one teacher, or the mixture of several."""
        known = recalled(self._known, batch)
        if known is not None:
            rows = [torch.cat(side) for side in zip(*known, strict=True)]
        else:
            rows = self._ask(batch, keep)
        parts = [
            DenseTargets.of(hidden, output_head(teacher)) for teacher, hidden in zip(self.teachers, rows, strict=True)
        ]
        return Signal(parts[0] if len(parts) == 1 else MixtureTargets(tuple(parts), self.shares))

    @torch.no_grad()
    def _ask(self, batch: MicroBatch, keep: Tensor) -> list[Tensor]:
        rows = []
        for teacher in self.teachers:
            hidden = hidden_rows(teacher, batch)
            rows.append(hidden.reshape(-1, hidden.shape[-1])[keep])
        return rows

    def bytes_to_remember(self, examples: Sequence[Tokenized]) -> int:
        """Memory for the hidden states of all learned positions."""
        widths = sum(
            t.get_input_embeddings().weight.shape[1] * next(t.parameters()).element_size() for t in self.teachers
        )
        return widths * sum(example.learned for example in examples)

    def remember(self, batches: Iterable[MicroBatch], device: torch.device) -> None:
        """Asks about fixed texts once, so that later epochs cost no teacher.

        In the order given, before the first step: a resumed training then learns from the very same numbers.
        """
        for cpu_batch in batches:
            batch = cpu_batch.to(device)
            keep, _ = counted(batch.labels, batch.documents)
            counts = [example.learned for example in batch.examples]
            sides = zip(*(hidden.split(counts) for hidden in self._ask(batch, keep)), strict=True)
            self._known.update({example.id: side for example, side in zip(batch.examples, sides, strict=True)})


class CachedSource:
    """What `distil signals` stored: no teacher in memory."""

    def __init__(self, store: SignalStore, temperature: float, device: torch.device) -> None:
        self.store, self.temperature, self.device = store, temperature, device
        self._head: tuple[Tensor, Tensor | None] | None = None

    def check(self, examples: Sequence[Tokenized], weights: Weights) -> None:
        """The cache must serve this divergence and temperature, and hold exactly these token ids."""
        self.store.allow(divergence=weights.divergence, temperature=weights.temperature)
        self.store.require((e.id, e.input_ids, [label != -100 for label in e.labels]) for e in examples)

    def signal(self, batch: MicroBatch, keep: Tensor, epoch: int) -> Signal:
        """The rows of the batch's examples, one after another: the order of `keep`."""
        if batch.rollout:
            raise UserError(
                "A cache knows the fixed answers only, so train.signal: cached can't serve on_policy. Use online."
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
            self._head = (
                self._tensor(weight.copy()).to(compute),
                None if bias is None else self._tensor(bias),
            )
        return self._head

    def _tensor(self, array: Any) -> Tensor:
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        if array.dtype.name == "uint16":
            tensor = tensor.view(torch.bfloat16)
        return tensor.to(self.device)
