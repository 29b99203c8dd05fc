"""How the rows of one example become bytes, and how the bytes of a whole batch become arrays again. numpy only, no files.

A row is the teacher's distribution at one position. Sparse kinds (top_k, sampled, stratified) hold a few ids a row; `hidden`
holds the teacher's hidden state, which is only cast. store.py reads with `decode`, signals/ writes with `encode`.

The layout of a block (one example, one independent draw), at a vocabulary of V ids and b = ceil(log2 V):
    header      width of the entry counts, Rice parameter, byte length of the unary stream: 6 bytes
    counts      n, the entries of each row, in a fixed width
    columns     per row: entropy and, where the kind has them, log-odds of the tail (float16 or float32)
    unary       for each entry: high part of the step from the id before it in the row (ids ascend), then for each its tag
    binary      for each entry: the l low bits of its id, then its value
Ascending ids cost about log2(V/n) + 2 bits each instead of b (Elias 1974, Fano 1971): the order of a row's entries says nothing,
and log2(n!) bits are saved by not storing it. A count costs 1 bit when it is 1, and 2*floor(log2 c) + 1 bits otherwise (Elias
gamma, 1975), instead of 7: at N = 50 most entries of a row were drawn once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.runs.signals.bits import bit_length, pack_fields, pack_unary, starts_of, take_fields, take_unary

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Kind = Literal["top_k", "sampled", "stratified", "hidden"]

HEADER = struct.Struct("<BBI")
HEAD_BITS = 12
"""Stratified: bits of a head log-probability, relative to the row's largest."""
HEAD_STEP = 1.0 / 256
"""Stratified: nats of one step, so at most 0.2% of a probability; the range is 16 nats."""
RICE_CHOICES = range(-1, 7)
"""Rice parameters that are tried, as bits below b - bit_length(n)."""


@dataclass(frozen=True)
class SparseRows:
    """What a block holds, as arrays: R rows of at most K entries."""

    ids: Ints
    """(R, K) ids, each at most once a row; -1 pads, anywhere on the way in, at the end on the way out."""
    values: Floats
    """(R, K) top_k: logit minus the row's largest logit. sampled: how often the id was drawn. stratified: a head entry's
    log p_T minus the row's largest (at most 0), a tail entry's number of draws (at least 1)."""
    entropy: Floats
    """(R, T) entropy in nats of p_T for each stored temperature; nan = unknown."""
    tail_odds: Floats | None = None
    """(R, T) log(tail mass / kept mass) for each stored temperature; None for sampled."""


class Layout(NamedTuple):
    """What the decoder must know beside the bytes; comes from the cache's spec."""

    kind: Kind
    id_bits: int
    """ceil(log2 V)"""
    temperatures: int
    """Stored temperatures T a row: 1 for the sampled kinds."""
    value_bits: int = 16
    """top_k: 16 or 32, the width of a stored logit."""

    @property
    def row_type(self) -> np.dtype[np.void]:
        """The fixed columns of a row."""
        odds = "<f4" if self.kind == "top_k" else "<f2"
        fields: list[tuple[str, str, tuple[int]]] = [("entropy", "<f2", (self.temperatures,))]
        if self.kind != "sampled":
            fields.append(("odds", odds, (self.temperatures,)))
        return np.dtype(fields)


def encode(rows: SparseRows, layout: Layout) -> bytes:
    """One block. Raises ValueError where a row has no id, or ids leave the vocabulary or repeat within a row."""
    ids, values, counts = _ascending(rows)
    if bool((counts == 0).any()):
        raise ValueError("every row needs at least one id")
    if ids.size and (int(ids.max()) >> layout.id_bits or bool((_steps(ids, counts)[_not_first(counts)] <= 0).any())):
        raise ValueError("ids of a row must be distinct and lie within the vocabulary")
    tags, fields, widths = _values_to_fields(values, layout)
    adjust, low = _best_low(ids, counts, layout.id_bits)
    high = ids >> low
    unary = pack_unary(np.concatenate([_steps(high, counts), tags]))
    low_part = ids & ((1 << low) - 1)
    binary = pack_fields(np.concatenate([low_part, fields]), np.concatenate([low, widths]))
    count_width = int(bit_length(counts).max(initial=0))
    columns = np.zeros(len(counts), dtype=layout.row_type)
    columns["entropy"] = rows.entropy
    if rows.tail_odds is not None:
        largest = np.finfo(columns["odds"].dtype).max
        columns["odds"] = np.clip(rows.tail_odds, -largest, largest)
    header = HEADER.pack(count_width, adjust - RICE_CHOICES.start, len(unary))
    return header + pack_fields(counts, count_width) + columns.tobytes() + unary + binary


def decode(blocks: Sequence[bytes | memoryview], row_counts: Sequence[int], layout: Layout) -> SparseRows:
    """The rows of several blocks, in order, in one vectorized pass. `row_counts[i]` rows are in block i."""
    per_block = np.asarray(row_counts, dtype=np.int64)
    heads = [HEADER.unpack_from(block) for block in blocks]
    count_width = np.array([head[0] for head in heads], dtype=np.int64)
    adjust = np.array([head[1] for head in heads], dtype=np.int64) + RICE_CHOICES.start
    unary_bytes = np.array([head[2] for head in heads], dtype=np.int64)
    column_bytes = per_block * layout.row_type.itemsize
    base = starts_of(np.array([len(block) for block in blocks], dtype=np.int64))
    column_at = base + HEADER.size + (per_block * count_width + 7) // 8
    unary_at = column_at + column_bytes
    buffer = np.frombuffer(b"".join([*blocks, bytes(8)]), dtype=np.uint8)

    block_of = np.repeat(np.arange(len(per_block)), per_block)
    place = np.arange(len(block_of)) - starts_of(per_block)[block_of]
    widths = count_width[block_of]
    counts = take_fields(buffer, (base[block_of] + HEADER.size) * 8 + place * widths, widths)
    columns = _pieces(buffer, column_at, column_bytes).view(layout.row_type)

    entries = np.bincount(block_of, weights=counts, minlength=len(per_block)).astype(np.int64)
    tagged = layout.kind != "top_k"
    numbers = take_unary(_pieces(buffer, unary_at, unary_bytes), starts_of(unary_bytes), entries * (2 if tagged else 1))
    steps, tags = _split_tags(numbers, entries) if tagged else (numbers, np.zeros(len(numbers), dtype=np.int64))

    row_of = np.repeat(np.arange(len(counts)), counts)
    low = np.maximum(layout.id_bits - bit_length(counts) - adjust[block_of], 0)[row_of]
    value_widths = _field_widths(tags, layout)
    low_at, value_at = _binary_starts((unary_at + unary_bytes) * 8, entries, low, value_widths)
    ids = (_running(steps, counts) << low) | take_fields(buffer, low_at, low)
    values = _fields_to_values(tags, take_fields(buffer, value_at, value_widths), layout)
    return _padded(counts, row_of, ids, values, columns)


def _ascending(rows: SparseRows) -> tuple[Ints, Floats, Ints]:
    """(ids, values, counts): the real entries row by row, ids ascending within a row."""
    row, column = np.nonzero(rows.ids >= 0)
    ids = rows.ids[row, column].astype(np.int64)
    values = rows.values[row, column].astype(np.float32)
    order = np.lexsort((ids, row))
    return ids[order], values[order], np.bincount(row, minlength=len(rows.ids)).astype(np.int64)


def _not_first(counts: Ints) -> NDArray[np.bool_]:
    flags = np.ones(int(counts.sum()), dtype=bool)
    flags[starts_of(counts)[counts > 0]] = False
    return flags


def _steps(numbers: Ints, counts: Ints) -> Ints:
    """Within each row: the first number, then the differences."""
    return np.where(_not_first(counts), numbers - np.roll(numbers, 1), numbers)


def _running(steps: Ints, counts: Ints) -> Ints:
    """The inverse of `_steps`."""
    total = np.cumsum(steps)
    before = np.concatenate([[0], total])[starts_of(counts)]
    return total - np.repeat(before, counts)


def _best_low(ids: Ints, counts: Ints, id_bits: int) -> tuple[int, Ints]:
    """The Rice parameter that makes this block smallest: skewed ids (frequent tokens come first) want fewer low bits."""
    lasts = (np.cumsum(counts) - 1)[counts > 0]
    costs = {}
    for adjust in RICE_CHOICES:
        low = np.maximum(id_bits - bit_length(counts) - adjust, 0)
        costs[adjust] = int((low * counts).sum() + (ids[lasts] >> low[counts > 0]).sum())
    best = min(costs, key=lambda adjust: costs[adjust])
    return best, np.repeat(np.maximum(id_bits - bit_length(counts) - best, 0), counts)


def _values_to_fields(values: Floats, layout: Layout) -> tuple[Ints, Ints, Ints]:
    """(tags, binary fields, widths). Only the kinds with draws have tags: 0 = head entry, else how long the count is."""
    if layout.kind == "top_k":
        size = layout.value_bits // 8
        fields = values.astype(f"<f{size}").view(f"<u{size}").astype(np.int64)
        return np.zeros(0, dtype=np.int64), fields, np.full(len(values), layout.value_bits, dtype=np.int64)
    drawn = np.maximum(np.rint(values), 1).astype(np.int64)
    length = bit_length(drawn)
    fields = drawn - (1 << (length - 1))
    if layout.kind == "sampled":
        tags = length - 1
    else:
        head = values <= 0
        steps = np.clip(np.rint(-values / HEAD_STEP), 0, 2**HEAD_BITS - 1).astype(np.int64)
        tags, fields = np.where(head, 0, length), np.where(head, steps, fields)
    return tags, fields, _field_widths(tags, layout)


def _field_widths(tags: Ints, layout: Layout) -> Ints:
    if layout.kind == "top_k":
        return np.full(len(tags), layout.value_bits, dtype=np.int64)
    return tags if layout.kind == "sampled" else np.where(tags == 0, HEAD_BITS, tags - 1)


def _fields_to_values(tags: Ints, fields: Ints, layout: Layout) -> Floats:
    if layout.kind == "top_k":
        size = layout.value_bits // 8
        return fields.astype(f"<u{size}").view(f"<f{size}").astype(np.float32)
    if layout.kind == "sampled":
        return ((1 << tags) + fields).astype(np.float32)
    drawn = (1 << np.maximum(tags - 1, 0)) + fields
    return np.where(tags == 0, -fields * HEAD_STEP, drawn).astype(np.float32)


def _pieces(buffer: NDArray[np.uint8], starts: Ints, lengths: Ints) -> NDArray[np.uint8]:
    return np.concatenate([buffer[a : a + n] for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)])


def _split_tags(numbers: Ints, entries: Ints) -> tuple[Ints, Ints]:
    """Each block's unary stream holds all its steps, then all its tags."""
    is_step = np.repeat(np.tile([True, False], len(entries)), np.repeat(entries, 2))
    return numbers[is_step], numbers[~is_step]


def _binary_starts(stream_bits: Ints, entries: Ints, low: Ints, value_widths: Ints) -> tuple[Ints, Ints]:
    """First bit of each entry's low id bits and of its value: a block holds all low parts, then all values."""
    block_of = np.repeat(np.arange(len(entries)), entries)
    low_before, value_before = np.cumsum(low) - low, np.cumsum(value_widths) - value_widths
    low_bits = np.bincount(block_of, weights=low, minlength=len(entries)).astype(np.int64)
    value_bits = np.bincount(block_of, weights=value_widths, minlength=len(entries)).astype(np.int64)
    low_at = stream_bits[block_of] + low_before - starts_of(low_bits)[block_of]
    value_at = (stream_bits + low_bits)[block_of] + value_before - starts_of(value_bits)[block_of]
    return low_at, value_at


def _padded(counts: Ints, row_of: Ints, ids: Ints, values: Floats, columns: NDArray[np.void]) -> SparseRows:
    width = int(counts.max(initial=1))
    place = np.arange(len(ids)) - starts_of(counts)[row_of]
    wide_ids = np.full((len(counts), width), -1, dtype=np.int64)
    wide_values = np.zeros((len(counts), width), dtype=np.float32)
    wide_ids[row_of, place] = ids
    wide_values[row_of, place] = values
    names = columns.dtype.names or ()
    odds = columns["odds"].astype(np.float32) if "odds" in names else None
    return SparseRows(wide_ids, wide_values, columns["entropy"].astype(np.float32), odds)
