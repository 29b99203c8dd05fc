"""A C file becomes a loaded function: compiled by the machine's own compiler at first use, kept in the user's cache folder.

What was compiled is kept under a name made of the source, the command and the processor, so it costs a tenth of a second once.
Everything that can go wrong with compilers and folders ends in None, never in an error: the caller has another way.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fopenmp-simd",
         "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")  # fmt: skip
# What not every compiler takes, best first. torch brings libgomp.so.1 and has loaded it: its threads are shared.
TUNINGS = (("-fopenmp", "-march=native"), ("-fopenmp",), ("-march=native",), ())
COMPILE_SECONDS = 20
# OpenMP runtimes, LLVM's and Intel's, that end the process when they meet another of their kind; torch may have brought one.
QUARRELSOME = (b"libomp", b"libiomp")


@functools.cache
def compiled(source: Path, settings: tuple[str, ...], symbol: str) -> Any | None:
    """The C function `symbol` of `source`, compiled with `settings` (-Dname=value); None where it can't be had."""
    command = _command(settings)
    if command is None:
        return None
    made_of = (source.read_text(), command, TUNINGS, os.stat(command[0]).st_mtime_ns, _processor())
    name = f"{source.stem}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:24]}"
    for folder in _folders():
        try:
            library = _kept(folder, name) or _made(folder, name, command, source)
        except OSError:  # not writable, or mounted without leave to execute
            continue
        except subprocess.TimeoutExpired:
            return None
        if library is not None:
            return getattr(library, symbol, None)
    return None


def _command(settings: tuple[str, ...]) -> list[str] | None:
    """What CC or `cc` means, with flags; None without a compiler."""
    try:
        compiler = shlex.split(os.environ.get("CC", "cc"))
    except ValueError:  # a quote that doesn't end
        return None
    found = shutil.which(compiler[0]) if compiler else None
    return None if found is None else [found, *compiler[1:], *FLAGS, *settings]


def _folders() -> Iterator[Path]:
    """The user's cache folder, then a private one of this process for where that can't be used."""
    cache = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
    if cache.is_absolute():  # it isn't where a user has no home
        yield cache / "distil"
    try:
        yield Path(_private().name)
    except OSError:  # no folder for temporary files
        return


@functools.cache
def _private() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="distil-")


def _kept(folder: Path, name: str) -> ctypes.CDLL | None:
    """What an earlier process left. The name ends in a checksum: a file cut short would kill every process that loads it."""
    for path in folder.glob(f"{name}-*.so"):
        if path.stem == f"{name}-{_checksum(path.read_bytes())}":
            return ctypes.CDLL(str(path))
        path.unlink(missing_ok=True)
    return None


def _made(folder: Path, name: str, command: list[str], source: Path) -> ctypes.CDLL | None:
    """Compiled now. It appears in the folder whole or not at all, so several processes may try at once."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(suffix=".so", dir=folder)
    os.close(handle)
    try:
        for tuning in TUNINGS:
            if not _succeeds([*command, *tuning, "-o", draft, str(source), "-lm"]):
                continue
            content = Path(draft).read_bytes()
            if any(runtime in content for runtime in QUARRELSOME):
                continue
            try:
                library = ctypes.CDLL(draft)
            except OSError:  # made for another machine, or needs what isn't here
                continue
            os.replace(draft, folder / f"{name}-{_checksum(content)}.so")
            return library
        return None
    finally:
        Path(draft).unlink(missing_ok=True)


def _succeeds(command: list[str]) -> bool:
    """Raises TimeoutExpired when it hangs, after an end is put to it and to what it started."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        return process.wait(COMPILE_SECONDS) == 0
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + next((line for line in lines if line.startswith(("flags", "Features"))), "")
