"""Bits of the signal cache: what is packed comes back, at any width and across many streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.runs.signals.bits import MAX_WIDTH, bit_length, pack_fields, pack_unary, starts_of, take_fields, take_unary

FIELDS = st.lists(
    st.integers(0, MAX_WIDTH).flatmap(lambda width: st.tuples(st.integers(0, 2**width - 1), st.just(width))),
    max_size=80,
)


def padded(data: bytes) -> np.ndarray:
    return np.frombuffer(data + bytes(8), dtype=np.uint8)


@settings(deadline=None)
@given(FIELDS)
def test_fields_of_any_width_come_back(fields: list[tuple[int, int]]) -> None:
    values = np.array([value for value, _ in fields], dtype=np.int64)
    widths = np.array([width for _, width in fields], dtype=np.int64)
    data = pack_fields(values, widths)
    assert len(data) == (int(widths.sum()) + 7) // 8
    assert take_fields(padded(data), starts_of(widths), widths).tolist() == values.tolist()


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 70), max_size=20), min_size=1, max_size=8))
def test_unary_streams_are_read_together(streams: list[list[int]]) -> None:
    packed = [pack_unary(np.array(stream, dtype=np.int64)) for stream in streams]
    lengths = np.array([len(data) for data in packed], dtype=np.int64)
    counts = np.array([len(stream) for stream in streams], dtype=np.int64)
    buffer = np.frombuffer(b"".join(packed), dtype=np.uint8)
    assert take_unary(buffer, starts_of(lengths), counts).tolist() == [v for stream in streams for v in stream]


def test_a_value_wider_than_its_field_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        pack_fields(np.array([8]), 3)


def test_a_unary_stream_with_another_count_is_refused() -> None:
    with pytest.raises(ValueError, match="2 numbers where 3"):
        take_unary(np.frombuffer(pack_unary(np.array([1, 2])), dtype=np.uint8), np.array([0]), np.array([3]))


def test_bit_length_is_exact_at_powers_of_two() -> None:
    values = [0, 1, 2, 3, 4, 2**17 - 1, 2**17, 2**40 - 1]
    assert bit_length(np.array(values)).tolist() == [value.bit_length() for value in values]
