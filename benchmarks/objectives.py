"""Time and memory of the fused loss against its own matrix products, the article's way, TRL and Liger, side by side.

One process, one set of tensors, forward and backward, forward KL at temperature 2 plus cross-entropy. Contenders take
turns within each round, so that a busy machine is busy for all of them; ratios are medians over rounds of (contender / ours), and
the minima are printed beside. Where others use the machine, `--threads 1 --clock cpu` counts this process's own time.
Peers that are not importable are left out with a line that says so. To have them all:

    python -m venv peers && peers/bin/pip install torch==2.13.0 'trl==1.16.*' liger-kernel==0.8.5 'transformers==5.23.*' peft
    PYTHONPATH=src peers/bin/python benchmarks/objectives.py

On a GPU (`--device cuda`) sizes are those that fill one, in bfloat16 and float32, and `objectives_device.py` measures more:
errors against float64, chunk sizes, single operations, kernels. No step begins after `--seconds`. The compiled contender takes
over a minute; on a GPU it is left out, unless `--leave-out` says otherwise (without a name: nothing is left out).

Extra peak memory on a CPU is the peak of the process's resident memory during one run, less what was resident before it (Linux:
VmHWM after a reset through /proc/self/clear_refs, freed heap and the loss's kept buffers returned first); on a GPU the
allocator's peak.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from objectives_contenders import COMPILED, CONTENDERS, OURS, Problem, Run, Size
from objectives_device import Limit, device_clock, device_peak_bytes, report_errors, report_more

from distil.objectives.chunks import release_buffers

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time, "device": device_clock}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def extra_peak_bytes(run: Run) -> int | None:
    """Resident peak during one run over what was resident before; None where Linux's counters are not at hand."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    release_buffers()
    ctypes.CDLL(None).malloc_trim(0)
    clear.write_text("5")
    before = _status_bytes(status, "VmRSS")
    run()
    return _status_bytes(status, "VmHWM") - before


def _status_bytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


@dataclass
class Meter:
    """How a run is measured, and when to stop."""

    clock: Callable[[], float]
    peak: Callable[[Run], int | None]
    repeats: int
    seconds_each: float
    """Further rounds of a contender are left out when it has taken so long, but for two."""
    limit: Limit


def measure(problem: Problem, names: list[str], meter: Meter) -> dict[str, dict[str, object]]:
    """Figures of each contender that runs; of the others a line says why not."""
    runs: dict[str, Run] = {}
    losses: dict[str, float] = {}
    peaks: dict[str, int | None] = {}
    seconds: dict[str, list[float]] = {}
    for name in names:
        if meter.limit.over():
            print(f"left out: {name} (time is up)")
            continue
        with meter.limit.step(name):
            run = CONTENDERS[name](problem)
            print(f"warming up: {name}", file=sys.stderr, flush=True)
            losses[name] = run()  # threads, compilation
            runs[name], seconds[name] = run, []
    for name in list(runs):
        with meter.limit.step(name):
            peaks[name] = meter.peak(runs[name])
    for number in range(meter.repeats):
        print(f"round {number + 1} of {meter.repeats}", file=sys.stderr, flush=True)
        for name, run in list(runs.items()):
            if number >= 2 and (sum(seconds[name]) > meter.seconds_each or meter.limit.over()):
                continue
            with meter.limit.step(name):
                start = meter.clock()
                run()
                seconds[name].append(meter.clock() - start)
    return {
        name: {
            "median_s": statistics.median(taken),
            "min_s": min(taken),
            **_of_ours(taken, seconds.get(OURS)),
            "peak_mb": None if (peak := peaks.get(name)) is None else peak / 1e6,
            "loss": losses[name],
        }
        for name, taken in seconds.items()
        if taken
    }


def _of_ours(taken: list[float], ours: list[float] | None) -> dict[str, float]:
    if not ours:
        return {"of_ours": float("nan"), "of_ours_min": float("nan")}
    return {
        "of_ours": statistics.median(one / own for one, own in zip(taken, ours, strict=False)),
        "of_ours_min": min(taken) / min(ours),
    }


def print_table(title: str, rows: dict[str, dict[str, object]]) -> None:
    print(f"\n{title}\n")
    print("| | median s | min s | times ours (median of rounds) | times ours (minima) | extra peak MB | loss |")
    print("|-|-|-|-|-|-|-|")
    for name, row in rows.items():
        peak = "n/a" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        print(
            f"| {name} | {row['median_s']:.4f} | {row['min_s']:.4f} | {row['of_ours']:.2f} | {row['of_ours_min']:.2f} "
            f"| {peak} | {row['loss']:.4f} |"
        )


def versions() -> str:
    names = ("torch", "trl", "liger-kernel", "transformers")
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, help="float32; on a GPU bfloat16 and float32")
    parser.add_argument(
        "--sizes", nargs="+", help="rows x vocabulary; 2048x32000 1024x128256, on a GPU 8192 rows of both"
    )
    parser.add_argument(
        "--widths", nargs=2, type=int, help="of the student and the teacher: 512 1024, on a GPU 2048 4096"
    )
    parser.add_argument("--leave-out", nargs="*", choices=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--clock", choices=CLOCKS, help="wall; cpu with --threads 1 where others use the machine; device on a GPU"
    )
    parser.add_argument("--seconds", type=float, help="no step is begun later; on a GPU 60")
    parser.add_argument("--errors", action="store_true", help="also against float64, as on a GPU")
    parser.add_argument("--more", action="store_true", help="also chunk sizes and single operations, as on a GPU")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    on_gpu = torch.device(options.device).type == "cuda"
    defaults = {
        "dtype": ["bfloat16", "float32"] if on_gpu else ["float32"],
        "sizes": ["8192x128256", "8192x32000"] if on_gpu else ["2048x32000", "1024x128256"],
        "widths": [2048, 4096] if on_gpu else [512, 1024],
        "leave_out": [COMPILED] if on_gpu else [],
        "clock": "device" if on_gpu else "wall",
        "seconds": 60.0 if on_gpu else float("inf"),
    }
    for name, default in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    options.errors, options.more = options.errors or on_gpu, options.more or on_gpu
    return options


def main() -> None:
    options = arguments()
    on_gpu = torch.device(options.device).type == "cuda"
    torch.set_num_threads(options.threads)
    where = torch.cuda.get_device_name(options.device) if on_gpu else processor()
    print(f"{where}, {options.threads} threads, {options.clock} time; Python {platform.python_version()}, {versions()}")
    limit = Limit(options.seconds)
    each = 1.0 if on_gpu else float("inf")
    peak = device_peak_bytes if on_gpu else extra_peak_bytes
    meter = Meter(CLOCKS[options.clock], peak, options.repeats, each, limit)
    names = [name for name in CONTENDERS if name == OURS or name not in options.leave_out]
    results = {}
    first = True
    for dtype in options.dtype:
        for asked in options.sizes:
            rows, vocabulary = (int(part) for part in asked.split("x"))
            size = Size(rows, vocabulary, *options.widths)
            with limit.step(f"{size}, {dtype}"):
                problem = Problem.of(size, DTYPES[dtype], options.device)
                results[f"{asked} {dtype}"] = measure(problem, names, meter)
                print_table(f"{size}, {dtype}, forward KL + cross-entropy", results[f"{asked} {dtype}"])
                if options.errors:
                    report_errors(size, DTYPES[dtype], options.device, names, limit)
                if options.more:
                    report_more(problem, meter.clock, limit, in_detail=first)
                first = False
            if on_gpu:
                torch.cuda.empty_cache()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{limit.taken():.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
