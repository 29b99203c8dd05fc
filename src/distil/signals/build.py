"""The teacher's pass over the examples: forward, choose what to keep, append to shards; in one process or several.

Called by stage.py with a finished list of what is left to do. What was appended is safe from `kill -9`; nothing is held back but
the batch in work. Each process writes shards of its own, so they never wait for one another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distil.errors import WorkFailed
from distil.progress import bar
from distil.runs.signals.codec import SparseRows, encode
from distil.runs.signals.shards import ShardWriter
from distil.runs.signals.spec import SignalSpec, join_sets, token_hash
from distil.signals.draws import join_rows, sampled_rows, slice_rows, stratified_rows, top_k_rows, uniforms
from distil.signals.teacher import Item, LocalTeacher, to_numpy

if TYPE_CHECKING:
    from torch import Tensor

POLL_S = 0.5


def write_items(
    teacher: LocalTeacher,
    items: Sequence[Item],
    writer: ShardWriter,
    spec: SignalSpec,
    *,
    batch_tokens: int,
    advance: Callable[[int], None],
) -> None:
    """Appends a record for each item, longest batches first; `advance` is told the tokens of each finished batch.

    A batch that does not fit into the GPU's memory is halved. Raises WorkFailed where a single example does not fit.
    """
    for batch in batches(items, batch_tokens):
        for item, payload in zip(batch, _batch_payloads(teacher, batch, spec), strict=True):
            rows = len(item.positions)
            writer.add(item.example_id, rows, token_hash(item.token_ids, item.answer_mask), payload)
        advance(sum(len(item.token_ids) for item in batch))


def _batch_payloads(teacher: LocalTeacher, batch: Sequence[Item], spec: SignalSpec) -> list[bytes]:
    import torch

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


def batches(items: Sequence[Item], batch_tokens: int) -> Iterator[list[Item]]:
    """Items of similar length together, padded size at most `batch_tokens` (or one item)."""
    batch: list[Item] = []
    for item in sorted(items, key=lambda item: (-len(item.token_ids), item.example_id)):
        if batch and len(batch[0].token_ids) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def payloads(teacher: LocalTeacher, items: Sequence[Item], hidden: Sequence[Tensor], spec: SignalSpec) -> list[bytes]:
    """What is stored of each item. The rows of all items go through the head together."""
    import torch

    if spec.kind == "hidden":
        return [to_numpy(rows, spec.dtype).tobytes() for rows in hidden]
    sizes = [len(rows) for rows in hidden]
    if not sum(sizes):
        nothing = np.zeros((0, len(spec.temperatures)), np.float32)
        empty = SparseRows(np.zeros((0, 1), np.int64), np.zeros((0, 1), np.float32), nothing)
        return [join_sets([encode(empty, spec.layout)] * spec.sets) for _ in items]
    random = _random(items, sizes, spec)
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


def _random(items: Sequence[Item], sizes: Sequence[int], spec: SignalSpec) -> list[np.ndarray[Any, Any]]:
    if spec.kind == "top_k":
        return []
    return [
        np.concatenate(
            [
                uniforms(item.example_id, size, spec.draws, draw=spec.draw, seed=spec.seed, number=number)
                for item, size in zip(items, sizes, strict=True)
            ]
        )
        for number in range(spec.sets)
    ]


def _keep(logits: Tensor, random: np.ndarray[Any, Any] | None, spec: SignalSpec) -> SparseRows:
    if random is None:
        return top_k_rows(logits, spec.k, spec.temperatures)
    if spec.kind == "sampled":
        return sampled_rows(logits, random, spec.temperatures[0])
    return stratified_rows(logits, spec.k, random, spec.temperatures[0])


def write_in_processes(
    folder: Path, ref: str, items: Sequence[Item], spec: SignalSpec, *, batch_tokens: int, shard_bytes: int, count: int
) -> None:
    """As `write_items`, in `count` processes of this machine, each with its own teacher and every count-th item.

    Raises what a process raised, and WorkFailed when one was killed; what they had written stays.
    """
    context = get_context("spawn")
    done = context.Value("q", 0)
    total = sum(len(item.token_ids) for item in items)
    ordered = sorted(items, key=lambda item: -len(item.token_ids))
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
                        "A process of `distil signals build` was killed (out of memory?). What it had written is kept: run "
                        "again with fewer signals.processes or smaller signals.batch_tokens, and it goes on."
                    ) from None


_done: Any = None
"""In a worker process: the counter of finished tokens that the parent's bar shows."""


def _share(counter: Any) -> None:
    global _done
    _done = counter


def _worker(
    folder: Path,
    ref: str,
    items: list[Item],
    spec: SignalSpec,
    batch_tokens: int,
    shard_bytes: int,
    place: tuple[int, int],
) -> None:
    import torch

    number, count = place
    if torch.cuda.is_available():
        device = f"cuda:{number % torch.cuda.device_count()}"
    else:
        device = None
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    from distil.models.load import load

    teacher = LocalTeacher(load(ref, device=device).model)

    def advance(tokens: int) -> None:
        with _done.get_lock():
            _done.value += tokens

    with ShardWriter(folder, f"part{number}", shard_bytes) as writer:
        write_items(teacher, items, writer, spec, batch_tokens=batch_tokens, advance=advance)
