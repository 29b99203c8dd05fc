"""Row kernels in compiled C: what tensors `rows.c` is called with.

`compiling.py` compiles it at first use. Where that can't be, or DISTIL_NATIVE=0 is set, `native_rows` returns None and `rows.py`
uses tensor operations.
"""

from __future__ import annotations

import os
from ctypes import c_double, c_float, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distil.objectives.compiling import compiled
from distil.objectives.gradients import Divergence

SOURCE = Path(__file__).with_name("rows.c")
SWITCH = "DISTIL_NATIVE"  # 0: never compile
ELEMENTS_A_THREAD = 2**14  # fewer are done before another thread has begun


def native_rows(dtype: torch.dtype, temperature: float, divergence: Divergence | None) -> NativeRows | None:
    """Compiled rows for float32 or float64 on a CPU; None where they can't be had."""
    if os.environ.get(SWITCH, "1") == "0" or dtype not in (torch.float32, torch.float64):
        return None
    settings = (
        f"-DKIND={'NONE' if divergence is None else divergence.name.upper()}",
        f"-DTEMPERATURE={int(temperature) if temperature in (1.0, 2.0) else 0}",
        f"-DDOUBLE={int(dtype == torch.float64)}",
    )
    function = compiled(SOURCE, settings, "student_rows" if divergence is None else "dense_rows")
    return None if function is None else NativeRows(function, dtype, temperature, divergence)


class NativeRows:
    """`RowKernel` in compiled code; a row stays in the second-level cache from its first reading to its last writing.

    Has `dense` if it is made with a divergence, else `student`: an objective needs one of them.
    """

    kind = "compiled"
    one_pass = True

    def __init__(self, function: Any, dtype: torch.dtype, temperature: float, divergence: Divergence | None) -> None:
        self._function = function
        self._dtype = dtype
        self._temperature = temperature
        self._divergence = divergence
        number = c_double if dtype == torch.float64 else c_float
        numbers, pointers = [number], [c_void_p]
        function.restype = None
        if divergence is None:
            function.argtypes = pointers + 2 * [c_int64] + numbers + 4 * pointers + [c_int]
        else:
            function.argtypes = 2 * pointers + 3 * [c_int64] + 4 * numbers + 3 * pointers + 2 * [c_int]

    def student(self, logits: Tensor, by_row: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `RowKernel.student`."""
        if self._divergence is not None:
            raise ValueError("these rows were made for `dense`")
        rows, vocabulary = logits.shape
        by_row = None if by_row is None else by_row.expand(rows, 2).contiguous()
        threads = _threads(rows, vocabulary)
        sums, room = logits.new_empty(2, rows), logits.new_empty(threads, 2, vocabulary)
        self._function(
            self._start(logits), rows, vocabulary, self._temperature, None if by_row is None else self._start(by_row),
            self._start(sums[0]), self._start(sums[1]), self._start(room), threads,
        )  # fmt: skip
        return sums[0, :, None], sums[1, :, None]

    def dense(self, logits: Tensor, teacher: Tensor, pulls: tuple[float, float] | None) -> tuple[Tensor, Tensor]:
        """As `RowKernel.dense`."""
        if self._divergence is None:
            raise ValueError("these rows were made for `student`")
        (rows, vocabulary), shared = logits.shape, teacher.shape[1]
        if teacher.shape[0] != rows or shared > vocabulary:
            raise ValueError(f"teacher {tuple(teacher.shape)} does not match logits {tuple(logits.shape)}")
        weight, label_scale = pulls or (0.0, 0.0)
        threads = _threads(rows, vocabulary)
        results, room = logits.new_empty(2, rows), logits.new_empty(threads, 2, vocabulary)
        self._function(
            self._start(logits), self._start(teacher), rows, vocabulary, shared,
            self._divergence.parameter, self._temperature, weight, label_scale,
            self._start(results[0]), self._start(results[1]), self._start(room), pulls is not None, threads,
        )  # fmt: skip
        return results[0], results[1, :, None]

    def _start(self, tensor: Tensor) -> int:
        """Where its numbers lie. Refuses what the compiled code would take for something else."""
        if tensor.dtype != self._dtype or tensor.device.type != "cpu" or not tensor.is_contiguous():
            actual = f"a {tensor.dtype} tensor on {tensor.device} with strides {tensor.stride()}"
            raise ValueError(f"{actual}; expected {self._dtype} on a CPU, contiguous")
        return tensor.data_ptr()


def _threads(rows: int, vocabulary: int) -> int:
    """As many as torch uses, but no more than there is work for."""
    return max(1, min(torch.get_num_threads(), rows, rows * vocabulary // ELEMENTS_A_THREAD))
