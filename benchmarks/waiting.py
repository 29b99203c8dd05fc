"""What waiting threads cost: SFT steps of the bundled student with spinning and with sleeping threads, alone and beside a job.

    python benchmarks/waiting.py [--steps 60] [--rounds 3] [--threads 2]

Prints seconds by the wall clock and CPU seconds, medians over the rounds, contenders in turn. "Beside a job" runs the same
training endlessly at the same time, waiting in the same way. Spinning is GNU's default (GOMP_SPINCOUNT=300000); sleeping is what
`import distil` sets. See distil/__init__.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

KINDS = {"spinning": {"GOMP_SPINCOUNT": "300000"}, "sleeping": {}}
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def train(steps: int, threads: int) -> None:
    """The child: `steps` optimizer steps over random texts; prints its seconds. 0 = until it is stopped."""
    import torch

    from distil.models.head import head_rows, output_head
    from distil.models.load import load
    from distil.objectives.fused import fused_linear_distillation

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = load("bundled/student", device="cpu").model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        ids = torch.randint(5, 1000, (16, 96))
        hidden = head_rows(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False})
        loss = fused_linear_distillation(
            hidden[:, :-1].flatten(0, 1), output_head(model).weight, None, ids[:, 1:].flatten(), label_weight=1.0
        )
        (loss.total / loss.count).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(5):
        step()
    if not steps:
        print("started", flush=True)
    wall, cpu, done = time.perf_counter(), time.process_time(), 0
    while not steps or done < steps:
        step()
        done += 1
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)


def measure(kind: str, steps: int, threads: int, *, beside: bool) -> dict[str, float]:
    """One training in a process of its own; `beside`: another one runs all the time."""
    environment = {name: value for name, value in os.environ.items() if name not in WAITING} | KINDS[kind]
    environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, __file__, "--threads", str(threads), "--child"]
    other = None
    if beside:
        other = subprocess.Popen([*command, "0"], env=environment, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        other.stdout.readline()
    try:
        ran = subprocess.run([*command, str(steps)], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        if other is not None:
            other.kill()
            other.communicate()
    seconds: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", type=int, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child is not None:
        train(chosen.child, chosen.threads)
        return
    found: dict[tuple[bool, str], list[dict[str, float]]] = {}
    for _ in range(chosen.rounds):
        for beside in (False, True):
            for kind in KINDS:
                found.setdefault((beside, kind), []).append(measure(kind, chosen.steps, chosen.threads, beside=beside))
    print(
        f"{chosen.steps} steps, {chosen.threads} threads, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end\n"
    )
    print("| | threads | wall s | CPU s |\n|---|---|---|---|")
    for (beside, kind), runs in found.items():
        wall, cpu = (statistics.median(run[name] for run in runs) for name in ("wall", "cpu"))
        print(f"| {'beside a job' if beside else 'alone'} | {kind} | {wall:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
