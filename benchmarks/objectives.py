"""Time and memory of the fused loss against its own matrix products, the article's way, TRL and Liger, side by side.

One process, one set of tensors, forward and backward, forward KL at temperature 2 plus cross-entropy, float32. Contenders take
turns within each round, so that a busy machine is busy for all of them; ratios are medians over rounds of (contender / ours), and
the minima are printed beside. Where others use the machine, `--threads 1 --clock cpu` counts this process's own time.
Peers that are not importable are left out with a line that says so. To have them all:

    python -m venv peers && peers/bin/pip install torch==2.13.0 'trl==1.16.*' liger-kernel==0.8.5 'transformers==5.23.*' peft
    PYTHONPATH=src peers/bin/python benchmarks/objectives.py

Extra peak memory is the peak of the process's resident memory during one run, less what was resident before it (Linux: VmHWM
after a reset through /proc/self/clear_refs, freed heap and the loss's kept buffers returned first).
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
from torch import Tensor
from torch.nn import functional

from distil.objectives import DenseTargets, fused_linear_distillation
from distil.objectives.chunks import release_buffers

TEMPERATURE = 2.0
DISTILL, LABEL = 0.7, 0.3
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Run = Callable[[], float]


@dataclass
class Problem:
    """Final hidden states and heads of a student (width 512) and a teacher (width 1024), and labels."""

    student_hidden: Tensor
    student_weight: Tensor
    teacher_hidden: Tensor
    teacher_weight: Tensor
    labels: Tensor

    @staticmethod
    def of(rows: int, vocabulary: int, student_width: int, teacher_width: int) -> Problem:
        torch.manual_seed(0)
        return Problem(
            torch.randn(rows, student_width).requires_grad_(),
            (torch.randn(vocabulary, student_width) * 0.05).requires_grad_(),
            torch.randn(rows, teacher_width),
            torch.randn(vocabulary, teacher_width) * 0.05,
            torch.randint(0, vocabulary, (rows,)),
        )

    def backward(self, loss: Tensor) -> float:
        """Backward of the mean over rows; the gradients are dropped again."""
        loss.backward()
        self.student_hidden.grad = self.student_weight.grad = None
        return loss.detach().item()


def products(problem: Problem) -> Run:
    """The floor: two projections and the two products of the backward pass, into buffers that exist already."""
    rows, vocabulary = len(problem.labels), len(problem.student_weight)
    logits = torch.empty(rows, vocabulary)
    hidden_gradient = torch.empty_like(problem.student_hidden)
    weight_gradient = torch.empty_like(problem.student_weight)

    def run() -> float:
        with torch.no_grad():
            torch.mm(problem.teacher_hidden, problem.teacher_weight.t(), out=logits)
            torch.mm(problem.student_hidden, problem.student_weight.t(), out=logits)
            torch.mm(logits, problem.student_weight, out=hidden_gradient)
            torch.mm(logits.t(), problem.student_hidden, out=weight_gradient)
        return 0.0

    return run


def ours(problem: Problem) -> Run:
    def run() -> float:
        loss = fused_linear_distillation(
            problem.student_hidden,
            problem.student_weight,
            DenseTargets(problem.teacher_hidden, problem.teacher_weight),
            problem.labels,
            temperature=TEMPERATURE,
            distill_weight=DISTILL,
            label_weight=LABEL,
        )
        return problem.backward(loss.total / loss.count)

    return run


def article(problem: Problem) -> Run:
    """Whole logits of both models, kl_div and cross_entropy by autograd; with the article's faults corrected (T^2, sums)."""

    def run() -> float:
        with torch.no_grad():
            teacher = functional.linear(problem.teacher_hidden, problem.teacher_weight) / TEMPERATURE
        logits = functional.linear(problem.student_hidden, problem.student_weight)
        divergence = functional.kl_div(
            functional.log_softmax(logits / TEMPERATURE, -1), functional.softmax(teacher, -1), reduction="batchmean"
        )
        label = functional.cross_entropy(logits, problem.labels)
        return problem.backward(DISTILL * TEMPERATURE**2 * divergence + LABEL * label)

    return run


def trl(problem: Problem, with_labels: bool) -> Run:
    """TRL's chunked divergence (DistillationTrainer); for the label term its own chunked log-probability."""
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    def run() -> float:
        divergence = ChunkedDivergenceFunction.apply(
            problem.student_hidden,
            problem.student_weight,
            None,
            problem.teacher_hidden,
            problem.teacher_weight,
            None,
            0.0,
            TEMPERATURE,
            1.0,
            None,
            1.0,
            None,
        )[0]
        loss = DISTILL * TEMPERATURE**2 * divergence.mean()
        if with_labels:
            arguments = (problem.student_hidden, problem.student_weight, None, problem.labels, 1.0, 32768)
            log_probs = ChunkedLogProbFunction.apply(*arguments, None, 1.0, ())[0]
            loss = loss - LABEL * log_probs.mean()
        return problem.backward(loss)

    return run


def liger(problem: Problem, compiled: bool) -> Run:
    """Liger's chunked JSD at beta 0, which is forward KL; T^2 goes into its weight because it has none."""
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(
        weight_hard_loss=LABEL,
        weight_soft_loss=DISTILL * TEMPERATURE**2,
        beta=0.0,
        temperature=TEMPERATURE,
        compiled=compiled,
    )

    def run() -> float:
        return problem.backward(
            loss(
                problem.student_hidden,
                problem.student_weight,
                problem.teacher_hidden,
                problem.teacher_weight,
                problem.labels,
            )
        )

    return run


CONTENDERS: dict[str, Callable[[Problem], Run]] = {
    "matrix products alone": products,
    "distil": ours,
    "the article's way, corrected": article,
    "TRL chunked divergence + labels": lambda problem: trl(problem, True),
    "TRL chunked divergence, no labels": lambda problem: trl(problem, False),
    "Liger chunked JSD, eager": lambda problem: liger(problem, False),
    "Liger chunked JSD, compiled": lambda problem: liger(problem, True),
}


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


def measure(
    problem: Problem, names: list[str], repeats: int, clock: Callable[[], float]
) -> dict[str, dict[str, object]]:
    runs: dict[str, Run] = {}
    losses: dict[str, float] = {}
    for name in names:
        try:
            run = CONTENDERS[name](problem)
            print(f"warming up: {name}", file=sys.stderr, flush=True)
            losses[name] = run()  # threads, compilation
        except ImportError as missing:
            print(f"left out: {name} ({missing})", file=sys.stderr)
            continue
        runs[name] = run
    peaks = {name: extra_peak_bytes(run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repeats):
        print(f"round {number + 1} of {repeats}", file=sys.stderr, flush=True)
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {
        name: {
            "median_s": statistics.median(taken),
            "min_s": min(taken),
            "of_ours": statistics.median(one / own for one, own in zip(taken, seconds["distil"], strict=True)),
            "of_ours_min": min(taken) / min(seconds["distil"]),
            "peak_mb": None if peaks[name] is None else peaks[name] / 1e6,
            "loss": losses[name],
        }
        for name, taken in seconds.items()
    }


def print_table(title: str, rows: dict[str, dict[str, object]]) -> None:
    print(f"\n{title}\n")
    print("| | median s | min s | times ours (median of rounds) | times ours (minima) | extra peak MB | loss |")
    print("|-|-|-|-|-|-|-|")
    for name, row in rows.items():
        peak = "n/a" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        print(
            f"| {name} | {row['median_s']:.3f} | {row['min_s']:.3f} | {row['of_ours']:.2f} | {row['of_ours_min']:.2f} "
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["2048x32000", "1024x128256"], help="rows x vocabulary")
    parser.add_argument("--widths", nargs=2, type=int, default=[512, 1024], help="of the student and the teacher")
    parser.add_argument("--leave-out", nargs="*", default=[], choices=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu with --threads 1 where others use the machine"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{processor()}, {options.threads} threads, {options.clock} time; Python {platform.python_version()}, {versions()}"
    )
    names = [name for name in CONTENDERS if name == "distil" or name not in options.leave_out]
    results = {}
    for size in options.sizes:
        rows, vocabulary = (int(part) for part in size.split("x"))
        results[size] = measure(
            Problem.of(rows, vocabulary, *options.widths), names, options.repeats, CLOCKS[options.clock]
        )
        widths = "/".join(str(width) for width in options.widths)
        print_table(f"N = {rows}, V = {vocabulary}, H = {widths}, float32, forward KL + cross-entropy", results[size])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
