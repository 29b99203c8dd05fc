"""The teacher's pass over the examples: forward, choose what to keep, append to shards; in one process or several.

What was appended is safe from `kill -9`. Each process writes its own shards, so processes never wait for one another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from distil.errors import WorkFailed
from distil.models.load import load
from distil.progress import bar
from distil.runs.signals.codec import SparseRows, encode
from distil.runs.signals.shards import ShardWriter
from distil.runs.signals.spec import SignalSpec, join_sets
from distil.signals.draws import Doubles, join_rows, sampled_rows, slice_rows, stratified_rows, top_k_rows, uniforms
from distil.signals.examples import TokenizedExample
from distil.signals.teacher import LocalTeacher, to_numpy

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

    from torch import Tensor

POLL_S = 0.5


def write_examples(
    teacher: LocalTeacher,
    examples: Sequence[TokenizedExample],
    writer: ShardWriter,
    spec: SignalSpec,
    *,
    batch_tokens: int,
    advance: Callable[[int], None],
) -> None:
    """Appends a record for each example, longest batches first; `advance` gets the tokens of each finished batch.

    A batch that does not fit into the GPU's memory is halved. Raises WorkFailed where a single example does not fit.
    """
    for batch in batches(examples, batch_tokens):
        for example, payload in zip(batch, _batch_payloads(teacher, batch, spec), strict=True):
            writer.add(example.example_id, len(example.positions), example.token_hash, payload)
        advance(sum(len(example.token_ids) for example in batch))


def _batch_payloads(teacher: LocalTeacher, batch: Sequence[TokenizedExample], spec: SignalSpec) -> list[bytes]:
    try:
        return payloads(teacher, batch, teacher.hidden_rows(batch), spec)
    except torch.OutOfMemoryError as error:
        if len(batch) == 1:
            raise WorkFailed(
                f"The example {batch[0].example_id} of {len(batch[0].token_ids):,} tokens does not fit into this device's memory "
                "beside the teacher. Set signals.max_length lower, or use a larger device; what was written is kept."
            ) from error
    half = len(batch) // 2
    return [*_batch_payloads(teacher, batch[:half], spec), *_batch_payloads(teacher, batch[half:], spec)]


def batches(examples: Sequence[TokenizedExample], batch_tokens: int) -> Iterator[list[TokenizedExample]]:
    """Examples of similar length together, padded size at most `batch_tokens` (or one example)."""
    batch: list[TokenizedExample] = []
    for example in sorted(examples, key=lambda example: (-len(example.token_ids), example.example_id)):
        if batch and len(batch[0].token_ids) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(example)
    if batch:
        yield batch


def payloads(
    teacher: LocalTeacher, examples: Sequence[TokenizedExample], hidden: Sequence[Tensor], spec: SignalSpec
) -> list[bytes]:
    """What is stored of each example. The rows of all examples go through the head together."""
    if spec.kind == "hidden":
        return [to_numpy(rows, spec.dtype).tobytes() for rows in hidden]
    sizes = [len(rows) for rows in hidden]
    if not sum(sizes):
        no_entropy = np.zeros((0, len(spec.temperatures)), np.float32)
        empty = SparseRows(np.zeros((0, 1), np.int64), np.zeros((0, 1), np.float32), no_entropy)
        return [join_sets([encode(empty, spec.layout)] * spec.sets) for _ in examples]
    random = _random(examples, sizes, spec)
    per_set: list[list[SparseRows]] = [[] for _ in range(spec.sets)]
    start = 0
    for logits in teacher.logit_chunks(torch.cat(list(hidden))):
        stop = start + len(logits)
        for number, parts in enumerate(per_set):
            parts.append(_keep(logits, random[number][start:stop] if random else None, spec))
        start = stop
    joined = [join_rows(parts) for parts in per_set]
    ends = np.cumsum(sizes)
    return [
        join_sets([encode(slice_rows(rows, int(end) - size, int(end)), spec.layout) for rows in joined])
        for size, end in zip(sizes, ends, strict=True)
    ]


def _random(examples: Sequence[TokenizedExample], sizes: Sequence[int], spec: SignalSpec) -> list[Doubles]:
    if spec.kind == "top_k":
        return []

    def draws(number: int) -> Iterator[Doubles]:
        for example, size in zip(examples, sizes, strict=True):
            yield uniforms(example.example_id, size, spec.draws, draw=spec.draw, seed=spec.seed, number=number)

    return [np.concatenate([*draws(number)]) for number in range(spec.sets)]


def _keep(logits: Tensor, random: Doubles | None, spec: SignalSpec) -> SparseRows:
    if random is None:
        return top_k_rows(logits, spec.k, spec.temperatures)
    if spec.kind == "sampled":
        return sampled_rows(logits, random, spec.temperatures[0])
    return stratified_rows(logits, spec.k, random, spec.temperatures[0])


def write_in_processes(
    folder: Path,
    ref: str,
    examples: Sequence[TokenizedExample],
    spec: SignalSpec,
    *,
    batch_tokens: int,
    shard_bytes: int,
    count: int,
) -> None:
    """As `write_examples`, in `count` processes of this machine, each with its own teacher and every count-th example.

    Raises what a process raised, and WorkFailed when one was killed; what they had written stays.
    """
    context = get_context("spawn")
    done = context.Value("q", 0)
    total = sum(len(example.token_ids) for example in examples)
    ordered = sorted(examples, key=lambda example: -len(example.token_ids))
    with (
        bar("signals", total, "tokens") as running,
        ProcessPoolExecutor(count, mp_context=context, initializer=_share, initargs=(done,)) as pool,
    ):
        waiting = {
            pool.submit(_worker, folder, ref, ordered[i::count], spec, batch_tokens, shard_bytes, (i, count))
            for i in range(count)
        }
        while waiting:
            finished, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_EXCEPTION)
            running.update(int(done.value))
            for future in finished:
                try:
                    future.result()
                except BrokenProcessPool:
                    raise WorkFailed(
                        "A process of `distil signals build` was killed (out of memory?). What it wrote is kept. "
                        "Run the command again with fewer signals.processes or smaller signals.batch_tokens."
                    ) from None


_done: Synchronized[int]
"""In a worker process: the counter of finished tokens that the parent's bar shows."""


def _share(counter: Synchronized[int]) -> None:
    global _done
    _done = counter


def _worker(
    folder: Path,
    ref: str,
    examples: list[TokenizedExample],
    spec: SignalSpec,
    batch_tokens: int,
    shard_bytes: int,
    share: tuple[int, int],
) -> None:
    number, count = share
    if torch.cuda.is_available():
        device = f"cuda:{number % torch.cuda.device_count()}"
    else:
        device = None
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    teacher = LocalTeacher(load(ref, device=device).model)

    def advance(tokens: int) -> None:
        with _done.get_lock():
            _done.value += tokens

    with ShardWriter(folder, f"part{number}", shard_bytes) as writer:
        write_examples(teacher, examples, writer, spec, batch_tokens=batch_tokens, advance=advance)
