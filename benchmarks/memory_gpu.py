"""`benchmarks/memory.py --device cuda`: peak memory and speed of real trainings on a GPU, beside what Distil says before them.

A few worker processes (memory_gpu_worker.py) take the cases one after another; while one trains, the others load, so that the
GPU is rarely idle, and training itself is one at a time (a lock), so that it is timed alone. A result is a line of JSON as soon
as it is there; a failure is one, too.

    python benchmarks/memory.py --device cuda --seconds 170 --out memory.jsonl
    python benchmarks/memory.py --device cuda --tiny          # miniatures, also on a CPU: the flow alone
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from memory_gpu_cases import CASES

WORKER = Path(__file__).with_name("memory_gpu_worker.py")
GRACE = 25.0
"""Seconds after the budget in which a case that runs may end."""
SHOWN_LINES = 15
ROOM = 32 << 30
"""Bytes that the models of all cases take on a disk, about."""


def main(options: argparse.Namespace) -> None:
    """Runs the cases and prints a table in Markdown."""
    started = time.time()
    out = Path(options.out or "memory_gpu.jsonl").resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("")
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        plan = {
            "folder": folder,
            "out": str(out),
            "end": started + options.seconds,
            "tiny": options.tiny,
            "words": options.words,
            "used_before": used_memory(),
        }
        count = options.workers or min(3, max(1, (os.cpu_count() or 1) // 4))
        supervise(plan, count, options.seconds + GRACE - (time.time() - started))
    print(report(out), flush=True)
    print(f"\n{time.time() - started:.0f} seconds", flush=True)


def place() -> str | None:
    """Memory as a disk where it has the room, else the usual folder for temporary files."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > ROOM else None


def used_memory() -> int | None:
    """Bytes of the GPU that are taken before anything of this ran; None where nobody says."""
    if not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return int(said[0]) << 20 if said and said[0].isdigit() else None


def supervise(plan: dict[str, Any], count: int, seconds: float) -> None:
    """Keeps the workers running until no case is left or the time is over. One that died is replaced."""
    until = time.monotonic() + seconds
    running = {number: start(plan, number) for number in range(count)}
    number = count
    while running and time.monotonic() < until:
        time.sleep(0.2)
        for key, worker in list(running.items()):
            code = worker.poll()
            if code is None:
                continue
            del running[key]
            if code != 0 and note_unfinished(plan, key, f"the process ended with code {code}") and number < 20:
                running[number] = start(plan, number)
                number += 1
    for key, worker in running.items():
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        note_unfinished(plan, key, "stopped at the end of the time")


def start(plan: dict[str, Any], number: int) -> subprocess.Popen[bytes]:
    """A worker in a process group of its own, its output in a file."""
    threads = str(max(1, (os.cpu_count() or 1) // 3))
    root, paths = WORKER.parents[1], os.environ.get("PYTHONPATH", "")
    found = os.pathsep.join(filter(None, [str(root), str(root / "src"), paths]))
    environment = {"OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false", **os.environ, "PYTHONPATH": found}
    with (Path(plan["folder"]) / f"worker.{number}.log").open("w") as log:
        command = [sys.executable, str(WORKER), json.dumps(plan), str(number)]
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def note_unfinished(plan: dict[str, Any], worker: int, why: str) -> bool:
    """Adds a line for the case that the worker had begun. False where it had begun none: then it can't start at all."""
    folder = Path(plan["folder"])
    log = (folder / f"worker.{worker}.log").read_text(errors="replace").splitlines()[-SHOWN_LINES:]
    done = {line["name"] for line in lines(Path(plan["out"]))}
    begun = folder / f"worker.{worker}.case"
    name = begun.read_text() if begun.exists() else f"worker {worker}"
    if name not in done:
        with Path(plan["out"]).open("a") as out:
            out.write(json.dumps({"name": name, "ok": False, "error": why, "log": log}) + "\n")
    return begun.exists()


def lines(file: Path) -> list[dict[str, Any]]:
    """The results so far."""
    return [json.loads(line) for line in file.read_text().splitlines() if line.strip()]


def report(file: Path) -> str:
    """A table of the results, then the failures."""
    every = lines(file)
    found = [line for line in every if "versions" not in line]
    order = {case.name: number for number, case in enumerate(CASES)}
    done = sorted((line for line in found if line.get("ok")), key=lambda line: order.get(line["name"], 99))
    workers = [line for line in every if "versions" in line]
    context = min((line["context"] or 0 for line in workers), default=0) / (
        1 << 30
    )  # the others began beside one that worked
    rows = [
        *({f"{line['card']}, {line['machine']}, {line['versions']}": "" for line in workers}),
        f"A process takes {context:.2f} GiB of the GPU beside its tensors.",
        "",
        "| training | allocated GiB | reserved | estimate | of it the process | error | tokens/s | of peak | pass |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for line in done:
        speed = line.get("tokens_per_second")
        rows.append(
            f"| {line['name']} | {line['allocated']:.2f} | {line['reserved']:.2f} | {line['estimate']:.2f} "
            f"| {line['terms']['process']:.2f} | {line['estimate'] / max(line['reserved'] + context, 1e-9) - 1:+.0%} "
            f"| {f'{speed:,.0f}' if speed else ''} | {share(line)} | {line['micro_batch_tokens']:,} |"
        )
    rows += [
        "",
        "error: the estimate against reserved memory and what a process takes beside it (context and libraries).",
    ]
    for line in done:
        if line.get("kernels"):
            rows += ["", f"{line['name']}, one step's kernels (ms, calls, name):"]
            rows += [f"    {ms:9.2f} {calls:6} {name}" for name, ms, calls in line["kernels"]]
    for line in found:
        if not line.get("ok"):
            rows += ["", f"**{line['name']}**: {line.get('error')}", *(f"    {text}" for text in line.get("log", []))]
    missing = [case.name for case in CASES if case.name not in {line["name"] for line in found}]
    return "\n".join([*rows, *([f"\nNot begun: {'; '.join(missing)}"] if missing else [])])


def share(line: dict[str, Any]) -> str:
    """Of the device's dense bfloat16."""
    return f"{line['share_of_peak']:.1%}" if line.get("share_of_peak") else ""
