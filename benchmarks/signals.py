"""What a cache of a teacher's distributions costs and what it is worth: bytes, gradients, and the student that learns from it.

    python benchmarks/signals.py                       # all three parts, about 15 minutes on 2 cores
    python benchmarks/signals.py --parts bytes gradients
    python benchmarks/signals.py --teacher bundled/teacher --student bundled/student --examples 500 --epochs 3 --seeds 3

bytes      every file of a cache over its answer tokens, at V = 128,256, for draws with about 12 different ids (what Anshumann et
           al., ACL 2025, report for N = 50) and for less certain and more certain teachers.
gradients  of forward KL over all weights of the student, against the gradient of the full divergence on the same batch: the angle
           and length of one draw, the angle of the mean over draws (bias) and the noise (variance).
training   the student from the same start, on the same batches, at one learning rate: KL to the teacher, loss on sampled labels,
           and calibration error on held-out text; CPU seconds beside plain cross-entropy.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from signal_arms import CE, FULL, Arm, Bench, arms, forward_rows, loss_of, targets_of
from signal_bytes import bytes_table
from torch import Tensor

from distil.objectives import Targets
from distil.signals.examples import TokenizedExample
from distil.signals.inspect import measure

# ---- gradients --------------------------------------------------------------------------------------------------------------


def gradient_table(bench: Bench, model: Any, sets: int, batch: int = 48) -> Iterator[list[str]]:
    """Angle, length, bias and noise of each arm's gradient at this student."""
    items = bench.items["train"][:batch]
    ids = [item.example_id for item in items]
    full_store = bench.store(FULL)
    full = gradient(model, items, targets_of(full_store.read(ids, temperature=1.0), full_store))
    for arm in arms(sets):
        if arm.section is None:
            found = [gradient(model, items, None)]
        else:
            store = bench.store(arm)
            found = [
                gradient(
                    model, items, targets_of(store.read(ids, temperature=1.0, epoch=number), store, arm.renormalized)
                )
                for number in range(store.spec.sets)
            ]
        mean = torch.stack(found).mean(0)
        noise = float(torch.stack([((g - mean) ** 2).sum() for g in found]).sum()) / max(len(found) - 1, 1)
        yield [
            arm.name,
            f"{np.mean([angle(g, full) for g in found]):.1f}",
            f"{np.mean([float(g.norm() / full.norm()) for g in found]):.2f}",
            f"{angle(mean, full):.1f}",
            f"{noise / float(full.norm()) ** 2:.4f}" if len(found) > 1 else "0",
        ]


def gradient(model: Any, items: Sequence[TokenizedExample], targets: Targets | None) -> Tensor:
    """All gradients of a student as one vector."""
    model.zero_grad(set_to_none=True)
    loss_of(model, items, targets).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).clone()


def angle(a: Tensor, b: Tensor) -> float:
    """Degrees."""
    cosine = torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0)
    return float(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))))


# ---- training ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """One finished student on held-out conversations."""

    kl: float
    """Mean KL(teacher || student) a token, exact."""
    loss: float
    """Cross-entropy on labels that the teacher drew."""
    ece: float
    """Expected calibration error of the most probable token, 15 bins, in percent."""
    seconds: float
    """CPU time of training alone, without building the cache."""


def train_student(bench: Bench, arm: Arm, seed: int, epochs: int, rate: float) -> tuple[Any, float]:
    """(student, seconds). All arms see the same batches in the same order; draws are frozen, another set for another seed."""
    torch.manual_seed(seed)
    model = copy.deepcopy(bench.student.model).train()
    store = None if arm.section is None else bench.store(arm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    batches = [batch for epoch in range(epochs) for batch in shuffled(bench.items["train"], 16, seed * 1000 + epoch)]
    start = time.process_time()
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 10) * (1 - 0.9 * step / len(batches))
        targets = None
        if store is not None:
            rows = store.read([item.example_id for item in batch], temperature=1.0, epoch=seed)
            targets = targets_of(rows, store, arm.renormalized)
        optimizer.zero_grad(set_to_none=True)
        loss_of(model, batch, targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval(), time.process_time() - start


def shuffled(items: Sequence[TokenizedExample], size: int, seed: int) -> Iterator[list[TokenizedExample]]:
    order = np.random.default_rng(seed).permutation(len(items))
    for start in range(0, len(order) - size + 1, size):
        yield [items[i] for i in order[start : start + size]]


@torch.inference_mode()
def held_out(bench: Bench, model: Any, seconds: float) -> Trained:
    """Figures of a student on the validation answers."""
    kl, loss, confidence, right = [], [], [], []
    for items, log_p in bench.held_out():
        hidden, labels = forward_rows(model, items)
        log_q = torch.log_softmax(model.lm_head(hidden), -1)
        kl.append((log_p.exp() * (log_p - log_q)).sum(-1))
        loss.append(torch.nn.functional.nll_loss(log_q, labels, reduction="none"))
        best = log_q.max(-1)
        confidence.append(best.values.exp())
        right.append((best.indices == labels).float())
    bins = (torch.cat(confidence) * 15).long().clamp(max=14)
    gap = torch.zeros(15).index_add_(0, bins, torch.cat(confidence) - torch.cat(right))
    return Trained(
        float(torch.cat(kl).mean()), float(torch.cat(loss).mean()), 100 * float(gap.abs().sum()) / len(bins), seconds
    )


def training_table(bench: Bench, sets: int, seeds: int, epochs: int, rate: float) -> Iterator[list[str]]:
    """Mean and standard deviation over seeds. Seeds run in the outer loop, so that drift of the machine hits every arm alike."""
    chosen = [
        arm for arm in arms(sets) if not arm.name.startswith("top-3") and arm.name != "stratified 4+4, independent"
    ]
    results: dict[str, list[Trained]] = {arm.name: [] for arm in chosen}
    for seed in range(seeds):
        for arm in chosen:
            model, seconds = train_student(bench, arm, seed, epochs, rate)
            results[arm.name].append(held_out(bench, model, seconds))
            print(f"  seed {seed} {arm.name}: {results[arm.name][-1]}", flush=True)
    base = min(trained.seconds for trained in results[CE.name])
    for arm in chosen:
        found = results[arm.name]
        size = "-"
        if arm.section is not None:
            store = bench.store(arm)
            size = f"{measure(store).bytes_per_token / store.spec.sets:.1f}"
        yield [
            arm.name,
            size,
            spread([t.kl for t in found], 4),
            spread([t.loss for t in found], 4),
            spread([t.ece for t in found], 2),
            f"{min(t.seconds for t in found) / base:.2f}",
        ]


def spread(values: Sequence[float], digits: int) -> str:
    """mean ± standard deviation."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.{digits}f}"


# ---- output -----------------------------------------------------------------------------------------------------------------


def show(title: str, head: Sequence[str], rows: Iterator[list[str]], out: Callable[[str], None]) -> None:
    """A Markdown table."""
    out(f"\n### {title}\n")
    out("| " + " | ".join(head) + " |")
    out("|" + "---|" * len(head))
    for row in rows:
        out("| " + " | ".join(row) + " |")


def measure_students(bench: Bench, options: argparse.Namespace, out: Callable[[str], None]) -> None:
    """The parts that need a teacher and a student."""
    rows = sum(len(item.positions) for item in bench.items["train"])
    out(
        f"\n{len(bench.items['train'])} conversations, {rows:,} learned tokens ({options.learn}); answers by {options.teacher}."
    )
    if "gradients" in options.parts:
        head = ["signal", "angle", "length", "angle of the mean", "noise"]
        model = copy.deepcopy(bench.student.model)
        show("Gradient at the start", head, gradient_table(bench, model, options.sets), out)
        model, _ = train_student(bench, CE, 0, options.epochs, options.rate)
        show("Gradient after training on labels", head, gradient_table(bench, model, options.sets), out)
    if "training" in options.parts:
        head = ["signal", "bytes a token", "KL to the teacher", "loss on labels", "ECE %", "CPU time / CE"]
        show("Students", head, training_table(bench, options.sets, options.seeds, options.epochs, options.rate), out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", choices=["bytes", "gradients", "training"], default=["bytes", "gradients", "training"]
    )
    parser.add_argument("--teacher", default="bundled/teacher")
    parser.add_argument("--student", default="bundled/student")
    parser.add_argument("--examples", type=int, default=256, help="training examples; a quarter more are held out")
    parser.add_argument(
        "--learn", choices=["answer", "conversation"], default="conversation", help="which tokens are learned"
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--sets", type=int, default=8, help="draws for the gradient's bias and variance")
    parser.add_argument("--write", type=Path, help="also write the tables to this Markdown file")
    options = parser.parse_args()
    lines: list[str] = []

    def out(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    out(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    if "bytes" in options.parts:
        head = ["mean top probability", "signal", "ids a token", "bytes a token", "at 24 bits an id"]
        show("Bytes a token at V = 128,256, every header and the index counted", head, bytes_table(), out)
    if {"gradients", "training"} & set(options.parts):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), options.teacher, options.student, options.examples, options.learn)
            measure_students(bench, options, out)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
