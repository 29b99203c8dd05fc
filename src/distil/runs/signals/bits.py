"""Packing of small integers into bits, in vectorized numpy: binary fields of any width, and unary numbers.

Bits are numbered from the least significant bit of byte 0; every packed stream is padded with zeros to whole bytes. Unpacking
works on many streams at once (one fancy-indexed gather for a whole training batch), because it runs in the training loop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MAX_WIDTH = 57  # a field that starts at bit 7 of its byte still lies within 8 bytes


def bit_length(values: Ints) -> Ints:
    """Bits of each non-negative integer below 2^52: 0 -> 0, 1 -> 1, 2..3 -> 2, ..."""
    return np.frexp(np.asarray(values, dtype=np.float64))[1].astype(np.int64)


def pack_fields(values: Ints, widths: Ints | int) -> bytes:
    """Concatenates values[i] as a binary field of widths[i] bits (0 to 57). A value wider than its field is a ValueError."""
    values = np.asarray(values, dtype=np.uint64)
    sizes = np.broadcast_to(np.asarray(widths, dtype=np.int64), values.shape)
    if values.size == 0:
        return b""
    if sizes.max() > MAX_WIDTH or bool((values >> sizes.astype(np.uint64)).any()):
        raise ValueError("a value does not fit into its field")
    ends = np.cumsum(sizes)
    starts = ends - sizes
    total_bytes = (int(ends[-1]) + 7) // 8
    words = np.zeros(total_bytes // 8 + 2, dtype="<u8")
    word = starts >> 6
    shift = (starts & 63).astype(np.uint64)
    # Fields are in order, so those of one word lie together: OR them group by group.
    firsts = np.flatnonzero(np.diff(word, prepend=-1))
    words[word[firsts]] |= np.bitwise_or.reduceat(values << shift, firsts)
    spill = np.where(shift > 0, values >> (np.uint64(63) - shift) >> np.uint64(1), np.uint64(0))
    words[word[firsts] + 1] |= np.bitwise_or.reduceat(spill, firsts)
    return words.tobytes()[:total_bytes]


def take_fields(buffer: Bytes, starts: Ints, widths: Ints | int) -> Ints:
    """The binary fields that start at the given bits of `buffer`. The buffer must have 8 spare bytes behind the last field."""
    if len(starts) == 0:
        return np.zeros(0, dtype=np.int64)
    view: NDArray[np.uint64] = np.ndarray((len(buffer) - 7,), dtype="<u8", buffer=buffer, strides=(1,))
    words = view[starts >> 3] >> (starts & 7).astype(np.uint64)
    masks = (np.uint64(1) << np.asarray(widths, dtype=np.uint64)) - np.uint64(1)
    return (words & masks).astype(np.int64)


def pack_unary(values: Ints) -> bytes:
    """Each value v as v zero bits and a one: small numbers without knowing their range."""
    values = np.asarray(values, dtype=np.int64)
    if values.size == 0:
        return b""
    ones = np.cumsum(values + 1) - 1
    bits = np.zeros(int(ones[-1]) + 1, dtype=np.uint8)
    bits[ones] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def take_unary(buffer: Bytes, stream_starts: Ints, counts: Ints) -> Ints:
    """All unary numbers of several streams that lie one after another in `buffer`, in order.

    stream_starts: first byte of each stream; counts: how many numbers each holds. A buffer with another number of one bits
    is a ValueError (a checksum would have caught it; this guards against reading with the wrong settings).
    """
    ones = np.flatnonzero(np.unpackbits(buffer, bitorder="little"))
    if len(ones) != int(counts.sum()):
        raise ValueError(f"a unary stream holds {len(ones)} numbers where {int(counts.sum())} were expected")
    if len(ones) == 0:
        return np.zeros(0, dtype=np.int64)
    before = np.empty_like(ones)
    before[1:] = ones[:-1]
    filled = counts > 0
    firsts = (np.cumsum(counts) - counts)[filled]
    before[firsts] = stream_starts[filled] * 8 - 1  # the zero padding of the stream before is not part of a number
    return ones - before - 1


def starts_of(lengths: Ints) -> Ints:
    """Exclusive running sum: where each of several consecutive pieces begins."""
    return np.cumsum(lengths) - lengths
