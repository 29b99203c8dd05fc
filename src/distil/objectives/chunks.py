"""How many rows are worked on at a time, and the buffers that are used again for each chunk.

Two sizes. A *chunk* is what a matrix product sees: large enough that reading the head's weights once more for every chunk costs
little beside the arithmetic, small enough for a byte budget. A *block* is what the elementwise passes see: on a CPU a few rows
that stay in the second-level cache through all passes, so that ten passes cost little more than one (compiled rows need no
blocks); on an accelerator the whole chunk, because a launch costs more than the traffic.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

CHUNK_ROWS = 1024  # half as many cost 5% of the time on a CPU (measured at V = 32,000)
CHUNK_BYTES = 448 * 2**20  # for the logits of one chunk, all buffers together
ACCELERATOR_ROWS = 1024  # the same two on an accelerator, where temporaries are as large as the chunk
ACCELERATOR_BYTES = 2 * 2**30
BLOCK_BYTES = 2**20  # one buffer's rows for each thread: half and twice as much are slower (second-level cache, calls)
ACCELERATOR_BUFFERS = 5  # temporaries of a whole chunk where a block is a chunk


def chunk_rows(
    vocabulary: int, buffers: int, dtype: torch.dtype, device: torch.device, asked: int | None = None
) -> int:
    """At most so many rows a chunk: `asked` if given, else what fits the budget with `buffers` buffers of a chunk's logits,
    and no more than matrix products gain from."""
    if asked is not None:
        if asked < 1:
            raise ValueError(f"chunk_tokens is {asked}; expected at least 1")
        return asked
    rows, budget = CHUNK_ROWS, CHUNK_BYTES
    if device.type != "cpu":
        rows, budget, buffers = ACCELERATOR_ROWS, ACCELERATOR_BYTES, buffers + ACCELERATOR_BUFFERS
    return max(1, min(rows, budget // (buffers * vocabulary * dtype.itemsize)))


def block_rows(vocabulary: int, dtype: torch.dtype, device: torch.device, chunk: int) -> int:
    """Rows of a block within a chunk; on a CPU at least one row a thread, because reductions are shared out by rows."""
    if device.type != "cpu":
        return chunk
    threads = torch.get_num_threads()
    return min(chunk, threads * max(1, BLOCK_BYTES // (vocabulary * dtype.itemsize)))


class Buffers:
    """Named (rows, columns) buffers of one dtype on one device, allocated at first use and handed out again after."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        self._held: dict[str, Tensor] = {}
        self._used: set[str] = set()

    def get(self, name: str, rows: int, columns: int) -> Tensor:
        """An uninitialized, contiguous (rows, columns) buffer; its content lasts until the same name is asked for again."""
        self._used.add(name)
        held = self._held.get(name)
        if held is None or held.numel() < rows * columns:
            held = None
            self._held.pop(name, None)  # what was there is freed first
            with torch.inference_mode(False):  # a tensor made in that mode can't be written to outside of it
                self._held[name] = held = torch.empty(rows * columns, dtype=self.dtype, device=self.device)
        return held[: rows * columns].view(rows, columns)

    @classmethod
    @contextmanager
    def kept(cls, dtype: torch.dtype, device: torch.device) -> Iterator[Buffers]:
        """Buffers of which the next call finds those that this one used. On a CPU fresh memory costs a page fault every 4 KiB, 5%
        of the whole loss; an accelerator's allocator keeps memory by itself."""
        buffers = cls(dtype, device)
        if device.type != "cpu":
            yield buffers
            return
        buffers._held = _KEPT.pop(dtype, {})  # a second thread finds none and makes its own
        yield buffers
        used = {name: held for name, held in buffers._held.items() if name in buffers._used}
        if sum(held.nbytes for held in used.values()) <= CHUNK_BYTES:
            _KEPT[dtype] = used


_KEPT: dict[torch.dtype, dict[str, Tensor]] = {}


def release_buffers() -> None:
    """Gives back what `Buffers.kept` holds between calls: at most CHUNK_BYTES for each dtype."""
    _KEPT.clear()


class Rows:
    """The counted rows of a batch, cut into chunks. Rows that are not counted are never projected."""

    def __init__(self, counted: Tensor, chunk: int) -> None:
        self.total = counted.numel()
        self.index = counted.nonzero().squeeze(1)  # (M,) positions in the batch
        self.count = self.index.numel()
        self.all = self.count == self.total
        self.chunk = chunk

    def spans(self) -> list[tuple[int, int]]:
        """[start, stop) of each chunk, counted among the counted rows; all of about one size, so that none is a sliver."""
        number = -(-self.count // self.chunk)
        edges = [self.count * edge // number for edge in range(number + 1)] if number else []
        return list(itertools.pairwise(edges))

    def take(self, tensor: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """The counted rows [start, stop) of a tensor with a leading batch dimension; a view where every row counts."""
        stop = self.count if stop is None else stop
        return tensor[start:stop] if self.all else tensor.index_select(0, self.index[start:stop])

    def spread(self, compact: Tensor) -> Tensor:
        """The inverse of `take` over all counted rows: (M, ...) -> (N, ...) with zeros where a row is not counted."""
        if self.all:
            return compact
        full = compact.new_zeros((self.total, *compact.shape[1:]))
        return full.index_copy_(0, self.index, compact)
