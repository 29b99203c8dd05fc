"""Bytes a token of caches that are really written, at a vocabulary of 128,256. Run through benchmarks/signals.py."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distil.runs.signals.codec import SparseRows, encode
from distil.runs.signals.shards import ShardWriter, merge_index
from distil.runs.signals.spec import SignalSpec, write_spec
from distil.runs.signals.store import SignalStore
from distil.signals.draws import sampled_rows, stratified_rows, top_k_rows, uniforms
from distil.signals.inspect import measure

FOR_BENCH: dict[str, Any] = {"teacher": "bench", "revision": "-", "tokenizer": "-", "template": "-"}


def bytes_table(vocabulary: int = 128_256, examples: int = 4, rows: int = 100) -> Iterator[list[str]]:
    """Caches written to disk for teachers of several certainties; ids are in random order (nothing to gain from frequent ids)."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(vocabulary))
    settings: dict[str, dict[str, Any]] = {
        "RS, N=50, independent": {"kind": "sampled", "draws": 50, "draw": "independent"},
        "RS, N=40, systematic": {"kind": "sampled", "draws": 40, "draw": "systematic"},
        "stratified 4+4, systematic": {"kind": "stratified", "k": 4, "draws": 4, "draw": "systematic"},
        "top-12 + tail": {"kind": "top_k", "k": 12},
        "top-50 + tail": {"kind": "top_k", "k": 50},
    }
    for steepness in (2.2, 3.0, 4.5):
        generator = torch.Generator().manual_seed(0)
        exponents = steepness * torch.exp(0.45 * torch.randn(examples * rows, 1, generator=generator))
        logits = torch.empty(examples * rows, vocabulary)
        logits[:, order] = -exponents * torch.log(torch.arange(1, vocabulary + 1))
        certainty = f"{float(torch.softmax(logits, -1).amax(-1).mean()):.2f}"
        for name, fields in settings.items():
            spec = SignalSpec.model_validate(FOR_BENCH | {"vocab_size": vocabulary, "temperatures": (1.0,)} | fields)
            size, ids = write_cache(spec, logits, examples, rows)
            yield [certainty, name, f"{ids:.1f}", f"{size:.1f}", f"{ids * 3:.0f}" if spec.kind == "sampled" else "-"]


def write_cache(spec: SignalSpec, logits: Tensor, examples: int, rows: int) -> tuple[float, float]:
    """(bytes a token of the whole folder, ids a token) of a cache that is really written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_spec(folder, spec)
        with ShardWriter(folder, "part0", 2**28) as writer:
            for number in range(examples):
                part = logits[number * rows : (number + 1) * rows]
                writer.add(f"example_{number:020x}", rows, bytes(8), encode(keep(part, spec, str(number)), spec.layout))
        merge_index(folder)
        store = SignalStore.open(folder)
        figures = measure(store)
        fixed = (folder / "spec.json").stat().st_size + (folder / "index.json").stat().st_size
        return (figures.bytes - fixed) / figures.tokens, figures.entries


def keep(logits: Tensor, spec: SignalSpec, example_id: str) -> SparseRows:
    """What signals/ stores of these logits."""
    if spec.kind == "top_k":
        return top_k_rows(logits, spec.k, spec.temperatures)
    random = uniforms(example_id, len(logits), spec.draws, draw=spec.draw, seed=0, number=0)
    if spec.kind == "sampled":
        return sampled_rows(logits, random, 1.0)
    return stratified_rows(logits, spec.k, random, 1.0)
