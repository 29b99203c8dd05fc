"""Every way in which a compiler, a folder or a kept file fails: other folders, other flags, tensor operations; never a crash."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distil.objectives import compiling, native
from distil.objectives.native import native_rows
from tests.objectives.test_native import compare_dense


@pytest.fixture(autouse=True, scope="module")
def rows() -> None:
    """These tests choose for themselves."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder; nothing found before or in a test is remembered after it."""
    if native_rows(torch.float32, 1.0, None) is None:
        pytest.skip("compiled rows are not to be had")
    compiling.compiled.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "distil"
    compiling.compiled.cache_clear()


def to_be_had() -> bool:
    """Whether a process that starts now gets compiled rows."""
    compiling.compiled.cache_clear()
    return native_rows(torch.float32, 1.0, None) is not None


def as_compiler(folder: Path, script: str) -> str:
    """A compiler that is a shell script."""
    program = folder / "picky"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_it_is_compiled_once_for_a_machine(cache: Path) -> None:
    assert to_be_had()
    (made,) = cache.iterdir()
    first = made.stat().st_mtime_ns
    assert to_be_had()
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [first]


@pytest.mark.parametrize(
    "compiler",
    ["", "no-such-compiler", "false", "false --with-an-argument", "true", "cat", "cc 'without an end", "cc -m32"],
)
def test_without_a_working_compiler_there_are_no_compiled_rows(
    compiler: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert not to_be_had()
    assert not list(cache.parent.rglob("*.so"))


def test_a_compiler_may_have_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "env LC_ALL=C cc -DNOTHING")
    assert to_be_had()


def test_a_file_that_is_no_program_is_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cc").write_bytes(b"\x7fELF")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    assert not to_be_had()


def test_a_compiler_that_hangs_is_ended_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "COMPILE_SECONDS", 0.2)
    monkeypatch.setenv("CC", as_compiler(tmp_path, f"sleep 30 & echo $! > {tmp_path}/started; wait"))
    before = time.monotonic()
    assert not to_be_had()
    assert time.monotonic() - before < 5
    started = Path("/proc") / (tmp_path / "started").read_text().strip() / "stat"
    assert ended(started, before + 20), "what the compiler started sleeps on"


def ended(process: Path, deadline: float) -> bool:
    """Whether the process of this /proc/PID/stat ends in time: on a busy machine a killed one may still wait for a core."""
    while time.monotonic() < deadline:
        try:
            if process.read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_a_compiler_without_openmp_makes_do_with_one_thread(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "CC", as_compiler(tmp_path, 'for word; do test "$word" = -fopenmp && exit 1; done\nexec cc "$@"')
    )
    assert to_be_had()
    compare_dense("jsd", 3.0, 1031, 900, torch.float32, 3e-6)
    assert len(list(cache.glob("*.so"))) == 2


@pytest.mark.parametrize("reachable", [False, True])
def test_an_unsafe_openmp_falls_back_to_one_thread(
    reachable: bool, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runtime.c").write_text("int nobody(void) { return 0; }")
    name = "omp" if reachable else "absent"
    subprocess.run(["cc", "-shared", "-o", tmp_path / f"lib{name}.so", tmp_path / "runtime.c"], check=True)
    linked = f"-Wl,--no-as-needed -L{tmp_path} -l{name} {f'-Wl,-rpath,{tmp_path}' if reachable else ''}"
    script = f'more=; for word; do test "$word" = -fopenmp && more="{linked}"; done; exec cc "$@" $more'
    monkeypatch.setenv("CC", as_compiler(tmp_path, script))
    assert to_be_had()
    assert [b"GOMP_parallel" in path.read_bytes() for path in cache.iterdir()] == [False]


@pytest.mark.parametrize("kept_bytes", [0, 8192])
def test_a_kept_file_that_was_cut_short_is_made_again(kept_bytes: int, cache: Path) -> None:
    """In another process: one that maps such a file is killed."""
    assert to_be_had()
    (made,) = cache.iterdir()
    whole = made.read_bytes()
    made.unlink()  # this process has it mapped
    made.write_bytes(whole[:kept_bytes])
    script = (
        "import torch; from distil.objectives.native import native_rows as rows; assert rows(torch.float32, 1.0, None)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
    (again,) = cache.iterdir()
    assert again.stat().st_size == len(whole)


def test_a_kept_file_of_other_content_is_made_again(cache: Path) -> None:
    assert to_be_had()
    (made,) = cache.iterdir()
    whole = made.read_bytes()
    made.unlink()
    made.write_bytes(whole[:4096] + bytes(8192) + whole[12288:])
    assert to_be_had()
    assert [path.read_bytes() == whole for path in cache.iterdir()] == [True]


def test_a_kept_file_that_does_not_load_costs_a_compilation(cache: Path) -> None:
    assert to_be_had()
    (made,) = cache.iterdir()
    other = b"made for another machine"
    name = made.stem.rsplit("-", 1)[0]
    made.unlink()
    made.write_bytes(other)
    made.rename(cache / f"{name}-{compiling._checksum(other)}.so")
    assert to_be_had()


def test_a_full_disk_costs_a_compilation(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler can't write to the cache folder, but to the one for temporary files."""
    script = f'for word; do case "$word" in {cache}/*) exit 1;; esac; done; exec cc "$@"'
    monkeypatch.setenv("CC", as_compiler(tmp_path, script))
    assert to_be_had()
    assert not list(cache.iterdir())


def test_a_cache_folder_that_is_a_file_costs_a_compilation(cache: Path) -> None:
    cache.parent.write_text("")
    assert to_be_had()


def test_a_user_without_a_home_gets_no_folder_where_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does for a user whom no list names
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert to_be_had()
    assert not list(Path().iterdir())


def test_without_any_folder_there_are_no_compiled_rows(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache.parent.write_text("")
    monkeypatch.setattr(compiling, "_private", full)
    assert not to_be_had()


def test_two_processes_may_compile_at_once(cache: Path) -> None:
    script = (
        "import torch; from distil.objectives.native import native_rows as rows; assert rows(torch.float32, 1.0, None)"
    )
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert [path.suffix for path in cache.iterdir()] == [".so"]


def test_a_partial_compilation_is_used_for_its_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that fills up in between: the other objective must not fail in the middle of a training."""
    from distil.objectives.chunks import Buffers
    from distil.objectives.gradients import Divergence
    from distil.objectives.rows import row_kernel

    monkeypatch.setenv(
        "CC", as_compiler(tmp_path, 'for word; do test "$word" = -DKIND=JSD && exit 1; done\nexec cc "$@"')
    )
    buffers = Buffers(torch.float32, torch.device("cpu"))
    assert row_kernel(buffers, 2.0, Divergence("tvd")).one_pass
    assert not row_kernel(buffers, 2.0, Divergence("jsd")).one_pass


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.SWITCH, "0")
    assert not to_be_had()
