"""What `objectives.py` measures on a GPU besides: errors against float64, chunk sizes, single operations, the kernels of one run.

Everything runs on a CPU as well, at small sizes, to see that it works. A step that raises becomes a line.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from objectives_contenders import CONTENDERS, FLOOR, OURS, Problem, Run, Size, article, ours
from torch import Tensor

from distil.objectives.chunks import chunk_rows
from distil.objectives.heads import add_product, work_dtype

CHUNKS = (256, 512, 1024, 2048, 4096, 8192)
ERROR_ROWS, ERROR_CHUNK = 256, 100


class Limit:
    """When the last step may begin, and what becomes of one that raises."""

    def __init__(self, seconds: float) -> None:
        self._start = time.perf_counter()
        self._seconds = seconds

    def taken(self) -> float:
        return time.perf_counter() - self._start

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A block that is left where it raises, with a line."""
        try:
            yield
        except ImportError as missing:
            print(f"left out: {name} ({missing})", flush=True)
        except Exception as error:
            reason = next(iter(str(error).splitlines()), "")
            print(f"failed: {name} ({type(error).__name__}: {reason[:300]})", flush=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def over(self) -> bool:
        """Whether no step may begin any more."""
        return self.taken() > self._seconds


def device_clock() -> float:
    """Seconds, after everything that was asked of the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def device_peak_bytes(run: Run) -> int | None:
    """The allocator's peak during one run over what was allocated before it."""
    if not torch.cuda.is_available():
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def report_errors(size: Size, dtype: torch.dtype, device: str, names: list[str], limit: Limit) -> None:
    """Each contender's loss and gradients against the article's way in float64 on the same numbers and device; a few rows."""
    small = Size(min(size.rows, ERROR_ROWS), size.vocabulary, size.student_width, size.teacher_width)
    with limit.step("errors"):
        problem = Problem.of(small, dtype, device)
        exact = problem.exact()
        exact.gradients = []
        truth = article(exact)()
        print(f"\nErrors against float64, {small}, {dtype} (relative; loss, gradient of hidden states, of the head)\n")
        for name in names:
            if name == FLOOR or "no labels" in name or limit.over():
                continue
            with limit.step(name):
                problem.gradients = []
                run = ours(problem, ERROR_CHUNK) if name == OURS else CONTENDERS[name](problem)
                found = run()
                errors = [abs(found - truth) / abs(truth)]
                errors += [_relative(got, right) for got, right in zip(problem.gradients, exact.gradients, strict=True)]
                print(f"    {name}: " + ", ".join(f"{error:.1e}" for error in errors), flush=True)


def _relative(got: Tensor, right: Tensor) -> float:
    return float((got.double() - right).norm() / right.norm())


def report_more(problem: Problem, clock: Callable[[], float], limit: Limit, *, in_detail: bool) -> None:
    """Our time and memory by chunk size; in detail also single operations on a chunk and the kernels of one run."""
    vocabulary, rows = len(problem.student_weight), len(problem.labels)
    dtype = work_dtype(problem.student_weight.dtype)
    chosen = chunk_rows(vocabulary, 2, dtype, problem.student_weight.device)
    print(f"\nChunk sizes of distil (by default {min(chosen, rows)} rows)\n")
    for chunk in sorted({*(chunk for chunk in CHUNKS if chunk <= rows), min(chosen, rows)}):
        if limit.over():
            print("    time is up")
            break
        with limit.step(f"chunks of {chunk}"):
            run = ours(problem, chunk)
            run()
            peak = device_peak_bytes(run)
            memory = "" if peak is None else f", {peak / 1e6:.0f} MB"
            print(f"    {chunk} rows: {1e3 * _median(run, clock, 3):.2f} ms{memory}", flush=True)
    if in_detail and not limit.over():
        with limit.step("single operations"):
            _report_operations(problem, min(rows, 1024), clock)
    if in_detail and not limit.over() and torch.cuda.is_available():
        with limit.step("kernels"):
            _report_kernels(ours(problem))


def _median(run: Callable[[], object], clock: Callable[[], float], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = clock()
        run()
        taken.append(clock() - start)
    return statistics.median(taken)


def _report_operations(problem: Problem, rows: int, clock: Callable[[], float]) -> None:
    """What a chunk's passes cost, and other ways to do the same; bandwidth by what must be read and written."""
    hidden, weight = problem.student_hidden.detach()[:rows], problem.student_weight.detach()
    vocabulary, dtype = len(weight), work_dtype(weight.dtype)
    one, two, three = (torch.rand(rows, vocabulary, dtype=dtype, device=weight.device) for _ in range(3))
    low = one.to(weight.dtype)
    head = torch.zeros(weight.shape, dtype=dtype, device=weight.device)
    whole = one.nbytes
    operations: dict[str, tuple[Callable[[], object], int]] = {
        "copy": (lambda: two.copy_(one), 2 * whole),
        "multiply in place": (lambda: two.mul_(1.0), 2 * whole),
        "softmax": (lambda: torch.softmax(one, -1, out=two), 2 * whole),
        "amax": (lambda: one.amax(-1), whole),
        "logsumexp": (lambda: torch.logsumexp(one, -1), whole),
        "sum": (lambda: one.sum(-1), whole),
        "dot of rows: vecdot": (lambda: torch.linalg.vecdot(one, two), 2 * whole),
        "dot of rows: product, sum": (lambda: (one * two).sum(-1), 2 * whole),
        "dot of rows: product into a buffer, sum": (lambda: torch.mul(one, two, out=three).sum(-1), 2 * whole),
        "squares of rows: vector_norm": (lambda: torch.linalg.vector_norm(one, 2, -1).square_(), whole),
        "to the head's dtype": (lambda: one.to(weight.dtype), whole + low.nbytes),
        "project": (lambda: add_product(two, hidden, weight.t(), 0.5, added=False), whole + weight.nbytes),
        "gradient of the head, added": (lambda: add_product(head, low.t(), hidden, 0.5, added=True), 2 * head.nbytes),
        "gradient of the head, set": (lambda: add_product(head, low.t(), hidden, 0.5, added=False), head.nbytes),
    }
    print(f"\nSingle operations on {rows} rows x {vocabulary}, {dtype} (head {weight.dtype})\n")
    for name, (run, moved) in operations.items():
        run()
        seconds = _median(run, clock, 5)
        print(f"    {name}: {1e3 * seconds:.3f} ms, {moved / seconds / 1e9:.0f} GB/s", flush=True)


def _report_kernels(run: Run) -> None:
    """The GPU's time in one run, by kernel."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
        run()
        torch.cuda.synchronize()
    found = [event for event in profiled.key_averages() if event.self_device_time_total > 0]
    kernels = [event for event in found if event.device_type == torch.autograd.DeviceType.CUDA]
    total = sum(event.self_device_time_total for event in kernels)
    print(f"\nKernels of one run of distil ({total / 1e3:.2f} ms together)\n")
    for event in sorted(kernels, key=lambda event: -event.self_device_time_total)[:20]:
        print(f"    {event.self_device_time_total / 1e3:.3f} ms, {event.count} times: {event.key[:110]}")
