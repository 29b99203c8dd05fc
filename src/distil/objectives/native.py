"""Compiles `rows.c` with the machine's own C compiler at first use, and calls it.

What was compiled is kept in the user's cache folder under a name made of the source, the compiler and the processor, so it costs
a tenth of a second once. Where there is no compiler, or it fails, or DISTIL_NATIVE=0 is set, `native_library` returns None and
the callers in `rows.py` use tensor operations.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("rows.c")
SWITCH = "DISTIL_NATIVE"  # 0: never compile
FLAGS = (
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
)
# What not every compiler takes, best first. torch brings libgomp.so.1 and has loaded it: its threads are shared.
TUNINGS = (("-fopenmp", "-march=native"), ("-fopenmp",), ("-fopenmp-simd", "-march=native"), ())
COMPILE_SECONDS = 60
ELEMENTS_A_THREAD = 2**14  # fewer are done before another thread has begun


class NativeLibrary:
    """The compiled functions for one dtype; each (divergence, temperature) is compiled when it is first asked for."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._double = dtype == torch.float64
        self._real = ctypes.c_double if self._double else ctypes.c_float

    def student_rows(
        self, logits: Tensor, temperature: float, by_row: Tensor | None, lse: Tensor, plain: Tensor
    ) -> None:
        """See `student_row` in rows.c. logits (R, V), by_row (R, 2) or None, results (R,); all contiguous."""
        rows, vocabulary = logits.shape
        function = self._function("NONE", temperature).student_rows
        by_row = None if by_row is None else by_row.contiguous()

        threads = _threads(rows, vocabulary)
        room = logits.new_empty(threads, vocabulary)
        function(
            _start(logits), _long(rows), _long(vocabulary), self._real(temperature), _start(by_row), _start(lse), _start(plain),
            _start(room), ctypes.c_int(by_row is not None), ctypes.c_int(threads),
        )  # fmt: skip

    def dense_rows(
        self,
        logits: Tensor,
        teacher: Tensor,
        divergence: tuple[str, float],
        temperature: float,
        pulls: tuple[float, float] | None,
        loss: Tensor,
        plain: Tensor,
    ) -> None:
        """See `dense_row` in rows.c. logits (R, V), teacher (R, V'), results (R,); all contiguous."""
        (rows, vocabulary), shared = logits.shape, teacher.shape[1]
        name, parameter = divergence
        function = self._function(name.upper(), temperature).dense_rows
        weight, label_scale = pulls or (0.0, 0.0)

        threads = _threads(rows, vocabulary)
        room = logits.new_empty(2 * threads, vocabulary)
        function(
            _start(logits), _start(teacher), _long(rows), _long(vocabulary), _long(shared),
            self._real(parameter), self._real(temperature), self._real(weight), self._real(label_scale),
            _start(loss), _start(plain), _start(room),
            ctypes.c_int(pulls is not None), ctypes.c_int(threads),
        )  # fmt: skip

    def _function(self, kind: str, temperature: float) -> ctypes.CDLL:
        library = _compiled(kind, int(temperature) if temperature in (1.0, 2.0) else 0, self._double)
        if library is None:
            raise RuntimeError(
                f"rows.c compiled for other settings, but not for {kind}; set {SWITCH}=0 to do without it"
            )
        return library


def native_library(dtype: torch.dtype) -> NativeLibrary | None:
    """The compiled rows for float32 or float64; None where they can't be had."""
    if os.environ.get(SWITCH, "1") == "0" or dtype not in (torch.float32, torch.float64):
        return None
    return None if _compiled("NONE", 1, dtype == torch.float64) is None else NativeLibrary(dtype)


def _long(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


def _start(tensor: Tensor | None) -> ctypes.c_void_p:
    if tensor is None:
        return ctypes.c_void_p(None)
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


def _threads(rows: int, vocabulary: int) -> int:
    """As many as torch uses, but no more than there is work for."""
    return max(1, min(torch.get_num_threads(), rows, rows * vocabulary // ELEMENTS_A_THREAD))


@functools.cache
def _compiled(kind: str, temperature: int, double: bool) -> ctypes.CDLL | None:
    """The library for one set of definitions in rows.c, from the cache folder or compiled now."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    found = shutil.which(compiler[0]) if compiler else None
    if found is None:
        return None
    settings = (f"-DKIND={kind}", f"-DTEMPERATURE={temperature}", f"-DDOUBLE={int(double)}")
    command = [found, *compiler[1:], *FLAGS, *settings]
    made_of = (SOURCE.read_text(), command, os.stat(found).st_mtime_ns, _processor())
    name = f"rows-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:24]}.so"
    for folder in _folders():
        try:
            target = folder / name
            if not target.exists() and not _compile(command, target):
                return None
            return ctypes.CDLL(str(target))
        except OSError:  # not writable, or mounted without leave to execute
            continue
    return None


def _folders() -> Iterator[Path]:
    """The user's cache folder, then a private one of this process for where that can't be used."""
    yield Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "distil"
    yield Path(_private().name)


@functools.cache
def _private() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="distil-rows-")


def _compile(command: list[str], target: Path) -> bool:
    """Whether `target` could be made; it appears whole or not at all, so several processes may try at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(suffix=".so", dir=target.parent)
    os.close(handle)
    try:
        for tuning in TUNINGS:
            whole = [*command, *tuning, "-o", draft, str(SOURCE), "-lm"]
            try:
                done = subprocess.run(whole, capture_output=True, timeout=COMPILE_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                return False
            if done.returncode == 0:
                os.replace(draft, target)
                return True
        return False
    finally:
        Path(draft).unlink(missing_ok=True)


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + next((line for line in lines if line.startswith(("flags", "Features"))), "")
