"""The compiled rows against the tensor operations, and every way in which they can't be had."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distil.objectives import DIVERGENCES, native
from distil.objectives.chunks import Buffers
from distil.objectives.gradients import Divergence
from distil.objectives.native import native_library
from distil.objectives.rows import NativeRows, TensorRows, row_kernel
from tests.objectives.builders import normal


@pytest.fixture(autouse=True, scope="module")
def rows() -> None:
    """These tests choose for themselves."""


@pytest.fixture(autouse=True)
def fresh_library() -> Iterator[None]:
    """Nothing found before or in a test is remembered after it."""
    native._compiled.cache_clear()
    yield
    native._compiled.cache_clear()


def both(dtype: torch.dtype) -> tuple[NativeRows, TensorRows]:
    library = native_library(dtype)
    if library is None:
        pytest.skip("compiled rows are not to be had")
    return NativeRows(library), TensorRows(Buffers(dtype, torch.device("cpu")))


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize(("vocabulary", "shared"), [(1, 1), (37, 37), (1031, 900)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-13)])
def test_dense_rows_are_what_tensor_operations_say(
    divergence: str, temperature: float, vocabulary: int, shared: int, dtype: torch.dtype, tolerance: float
) -> None:
    chosen, pulls = Divergence(divergence, 0.3, 0.2), (2.8, 0.6)
    results = []
    for kernel in both(dtype):
        logits = normal(70, vocabulary, seed=1, scale=4.0, dtype=dtype)
        teacher = normal(70, shared, seed=2, scale=4.0, dtype=dtype)
        loss, normaliser = kernel.dense(logits, teacher, chosen, temperature, pulls)
        results.append((loss, normaliser, logits))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("differentiate", [True, False])
def test_student_rows_are_what_tensor_operations_say(temperature: float, differentiate: bool) -> None:
    by_row = normal(70, 2, seed=3, dtype=torch.float32) if differentiate else None
    results = []
    for kernel in both(torch.float32):
        logits = normal(70, 1031, seed=1, scale=4.0, dtype=torch.float32)
        sums = kernel.student(logits, temperature, by_row)
        results.append((*sums, logits) if differentiate else sums)
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    kernel, _ = both(torch.float32)
    before, results = torch.get_num_threads(), []
    for count in (1, threads):
        torch.set_num_threads(count)
        logits = normal(64, 2000, seed=1, dtype=torch.float32)
        loss, _ = kernel.dense(
            logits, normal(64, 2000, seed=2, dtype=torch.float32), Divergence("jsd", 0.5, 0.1), 3.0, (1.0, 1.0)
        )
        results.append((loss, logits))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_nan_on_either_side_is_seen_in_the_loss(divergence: str) -> None:
    kernel, _ = both(torch.float32)
    for broken in (0, 1):
        sides = [normal(2, 300, seed=1, dtype=torch.float32), normal(2, 300, seed=2, dtype=torch.float32)]
        sides[broken][1, 123] = torch.nan
        loss, _ = kernel.dense(sides[0], sides[1], Divergence(divergence, 0.5, 0.1), 2.0, (1.0, 1.0))
        assert torch.isfinite(loss[0]) and torch.isnan(loss[1])


def test_it_is_compiled_once_for_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(torch.float32)
    native._compiled.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native_library(torch.float32) is not None
    (made,) = (tmp_path / "distil").iterdir()
    first = made.stat().st_mtime_ns
    native._compiled.cache_clear()
    assert native_library(torch.float32) is not None
    assert made.stat().st_mtime_ns == first


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.SWITCH, "0")
    assert isinstance(row_kernel(Buffers(torch.float32, torch.device("cpu"))), TensorRows)


@pytest.mark.parametrize("compiler", ["", "no-such-compiler", "false", "false --with-an-argument"])
def test_without_a_working_compiler_tensor_operations_are_used(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert isinstance(row_kernel(Buffers(torch.float32, torch.device("cpu"))), TensorRows)
    assert not list(tmp_path.rglob("*.so"))


def test_a_compiler_without_openmp_makes_do_with_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(torch.float32)
    picky = tmp_path / "picky"
    picky.write_text('#!/bin/sh\nfor word; do test "$word" = -fopenmp && exit 1; done\nexec cc "$@"\n')
    picky.chmod(0o755)
    monkeypatch.setenv("CC", str(picky))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native._compiled.cache_clear()
    test_dense_rows_are_what_tensor_operations_say("jsd", 3.0, 1031, 900, torch.float32, 3e-6)
    assert len(list((tmp_path / "distil").glob("*.so"))) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_folder_that_is_read_only_costs_a_compilation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(torch.float32)
    native._compiled.cache_clear()
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native_library(torch.float32) is not None


def test_a_cache_folder_that_is_a_file_costs_a_compilation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(torch.float32)
    native._compiled.cache_clear()
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert native_library(torch.float32) is not None


def test_a_child_after_a_fork_can_use_it() -> None:
    both(torch.float32)
    script = """
import os, torch
from distil.objectives import LogitTargets, fused_linear_distillation
def loss():
    torch.manual_seed(0)
    hidden, weight, teacher = torch.randn(64, 8), torch.randn(2000, 8), torch.randn(64, 2000)
    return fused_linear_distillation(hidden, weight, LogitTargets(teacher), torch.zeros(64, dtype=torch.long)).total.item()
torch.set_num_threads(1)
before = loss()
child = os.fork()
if child == 0:
    os._exit(0 if loss() == before else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
