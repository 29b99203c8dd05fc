"""The ways to keep a teacher's word that benchmarks/signals.py compares, and the data, models and caches that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from signal_bytes import FOR_BENCH
from torch import Tensor

from distil.bundled.triage import SYSTEM
from distil.bundled.triage import generate as draw_messages
from distil.models.load import Loaded, load
from distil.objectives import DenseTargets, SampledTargets, Targets, TopKTargets, fused_linear_distillation
from distil.records import Message, Sampling
from distil.runs.signals.shards import ShardWriter, merge_index
from distil.runs.signals.spec import SignalSpec, write_spec
from distil.runs.signals.store import SignalRows, SignalStore
from distil.signals.build import write_examples
from distil.signals.config import SignalsConfig
from distil.signals.examples import TokenizedExample
from distil.signals.plan import row_settings
from distil.signals.teacher import LocalTeacher


@dataclass(frozen=True)
class Arm:
    """One way to keep the teacher's word."""

    name: str
    section: SignalsConfig | None
    """None = labels alone."""
    renormalized: bool = False
    """Treat the kept ids as the whole distribution, as most other libraries do."""


def _arm(name: str, kind: str, renormalized: bool = False, **settings: Any) -> Arm:
    return Arm(name, SignalsConfig.model_validate({"kind": kind, "temperatures": [1.0], **settings}), renormalized)


FULL = _arm("full (hidden states)", "hidden", dtype="float32")
CE = Arm("cross-entropy alone", None)


def arms(sets: int) -> list[Arm]:
    """Every arm; sampled ones with `sets` independent sets of draws."""
    return [
        CE,
        _arm("top-3, renormalized", "top_k", True, k=3),
        _arm("top-3 + tail", "top_k", k=3),
        _arm("top-12, renormalized", "top_k", True, k=12),
        _arm("top-12 + tail", "top_k", k=12),
        _arm("top-50 + tail", "top_k", k=50),
        _arm("RS, N=50, independent", "sampled", draws=50, draw="independent", draw_sets=sets),
        _arm("RS, N=40, systematic", "sampled", draws=40, draw="systematic", draw_sets=sets),
        _arm("stratified 4+4, independent", "stratified", k=4, draws=4, draw="independent", draw_sets=sets),
        _arm("stratified 4+4, systematic", "stratified", k=4, draws=4, draw="systematic", draw_sets=sets),
        FULL,
    ]


class Bench:
    """Models, data and the caches that were built so far."""

    def __init__(self, root: Path, teacher: str, student: str, count: int, learn: str) -> None:
        """count: training examples, a quarter more are held out; learn: answer or conversation (the message too)."""
        self.root = root
        self.teacher = load(teacher, dtype="float32")
        self.student = load(student, dtype="float32")
        items = conversations(self.teacher, count + count // 4, learn)
        self.items = {"train": items[:count], "validation": items[count:]}
        self._stores: dict[str, SignalStore] = {}
        self._teacher_log_probs: list[Tensor] = []

    def held_out(self) -> list[tuple[list[TokenizedExample], Tensor]]:
        """Batches of held-out examples with the teacher's (R, V) log-probabilities."""
        batches = [self.items["validation"][i : i + 32] for i in range(0, len(self.items["validation"]), 32)]
        if not self._teacher_log_probs:
            model = self.teacher.model
            with torch.inference_mode():
                rows = [model.lm_head(forward_rows(model, batch)[0]) for batch in batches]
                self._teacher_log_probs = [torch.log_softmax(logits, -1) for logits in rows]
        return list(zip(batches, self._teacher_log_probs, strict=True))

    def store(self, arm: Arm) -> SignalStore:
        """The cache of an arm over the training examples, built on first use."""
        key = str(arm.section)
        if key not in self._stores:
            folder = self.root / f"cache{len(self._stores)}"
            assert arm.section is not None
            teacher = LocalTeacher(self.teacher.model)
            spec = SignalSpec.model_validate(
                FOR_BENCH
                | {"vocab_size": teacher.vocab_size, "hidden_size": teacher.hidden_size, "dtype": "float32"}
                | row_settings(arm.section, temperature=1.0, seed=0)
            )
            write_spec(folder, spec)
            with ShardWriter(folder, "part0", 2**28) as writer:
                write_examples(
                    teacher, self.items["train"], writer, spec, batch_tokens=4096, advance=lambda tokens: None
                )
            if spec.kind == "hidden":
                np.save(folder / "head.npy", teacher.head.weight.numpy())
            merge_index(folder)
            self._stores[key] = SignalStore.open(folder)
        return self._stores[key]


def conversations(teacher: Loaded, count: int, learn: str) -> list[TokenizedExample]:
    """Messages of the bundled task with answers that the teacher drew at temperature 1; the system prompt is not learned."""
    from distil.models.generate import generate
    from distil.models.render import render, render_prompt

    system = Message(role="system", content=SYSTEM)
    prompts = [[system, Message(role="user", content=e.message)] for e in draw_messages(count + count // 10, seed=7)]
    asked = [render_prompt(teacher.tokenizer, prompt) for prompt in prompts]
    said = generate(teacher, asked, Sampling(temperature=1.0, max_tokens=120), seed=0)
    shared = min(
        next(i for i, pair in enumerate(zip(asked[0], other, strict=False)) if pair[0] != pair[1])
        for other in asked[1:]
    )
    items = []
    for number, (prompt, answer) in enumerate(zip(prompts, said, strict=True)):
        if answer.finish_reason != "stop" or not answer.text:
            continue
        ids, mask = render(teacher.tokenizer, [*prompt, Message(role="assistant", content=answer.text)])
        if learn == "conversation":
            mask = [place >= shared for place in range(len(ids))]
        items.append(TokenizedExample(f"example_{number:020x}", ids, mask))
    return items[:count]


def targets_of(rows: SignalRows, store: SignalStore, renormalized: bool = False) -> Targets:
    """As train/ does it."""
    if rows.hidden is not None:
        weight, _ = store.head()
        return DenseTargets(torch.from_numpy(rows.hidden.copy()), torch.from_numpy(weight.copy()))
    ids = torch.from_numpy(rows.ids)
    if rows.log_probs is not None:
        log_tail = np.full_like(rows.log_tail, -np.inf) if renormalized else rows.log_tail
        return TopKTargets(ids, torch.from_numpy(rows.log_probs), torch.from_numpy(log_tail))
    return SampledTargets(ids, torch.from_numpy(rows.weights), torch.from_numpy(rows.entropy))


def forward_rows(model: Any, items: Sequence[TokenizedExample]) -> tuple[Tensor, Tensor]:
    """(R, H) final hidden states of the answer rows, with a graph, and the (R,) labels that they predict."""
    longest = max(len(item.token_ids) for item in items)
    ids = torch.zeros(len(items), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, item in enumerate(items):
        ids[i, : len(item.token_ids)] = torch.tensor(item.token_ids)
        mask[i, : len(item.token_ids)] = 1
    hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    labels = torch.tensor([item.token_ids[t + 1] for item in items for t in item.positions])
    return torch.cat([hidden[i, item.positions] for i, item in enumerate(items)]), labels


def loss_of(model: Any, items: Sequence[TokenizedExample], targets: Targets | None) -> Tensor:
    """Mean over the rows: forward KL to the teacher, or cross-entropy without one."""
    hidden, labels = forward_rows(model, items)
    weights = (0.0, 1.0) if targets is None else (1.0, 0.0)
    sums = fused_linear_distillation(
        hidden, model.lm_head.weight, targets, labels, distill_weight=weights[0], label_weight=weights[1]
    )
    return sums.total / sums.count
