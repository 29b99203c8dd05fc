"""Tokens per second of the training loop: SFT next to TRL's SFTTrainer, logit distillation next to a loop as in the article.

Same student, same examples, same batch of 32, same epochs, AdamW; each contestant runs in a fresh process, in turn, several
times; the median counts. Tokens are those of the chat, without padding, over the seconds of the loop (without imports and
loading). The article's loop computes what the article's code computes: full logits of both models at all positions of padded
batches.

    python benchmarks/training.py                                       # Distil and the article's loop
    python benchmarks/training.py --peer-python VENV/bin/python         # and TRL, from a venv with trl, torch and transformers

Needs the bundled models (or --student and --teacher). The peer's process imports nothing of Distil.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH = 32
LEARNING_RATE = 1e-3
ROW = 512  # length of TRL's packed rows


class Clock:
    """Wall and CPU seconds of a loop; CPU seconds are steadier on a busy machine."""

    wall = cpu = 0.0

    def start(self) -> None:
        """Starts a measurement."""
        self._begin = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Adds the time since `start`."""
        self.wall += time.perf_counter() - self._begin[0]
        self.cpu += time.process_time() - self._begin[1]


def write_examples(folder: Path, student: str, examples: int) -> dict[str, Any]:
    """Writes the bundled task as chats, for all contestants and as a Distil project; returns counts."""
    from distil.bundled.triage.generate import write_prompts
    from distil.models.load import load_tokenizer
    from distil.models.render import render
    from distil.records import Example, Message
    from distil.runs.artifacts import Project
    from distil.runs.jsonl import read_lines, write_records

    write_prompts(folder / "prompts.jsonl", train=examples, test=0)
    tokenizer = load_tokenizer(student)
    chats, records, tokens = [], [], 0
    for number, (_, line) in enumerate(read_lines(folder / "prompts.jsonl")):
        messages = [Message(role="user", content=line["prompt"]), Message(role="assistant", content=line["reference"])]
        tokens += len(render(tokenizer, messages).input_ids)
        chats.append({"messages": [m.to_wire() for m in messages]})
        records.append(
            Example(id=f"e{number}", prompt_id=f"p{number}", answer_id=None, messages=messages, split="train")
        )
    write_records(Project(folder / "project").split("train"), records)
    (folder / "chats.json").write_text(json.dumps(chats), encoding="utf-8")
    return {"examples": len(chats), "tokens": tokens}


def distil(job: dict[str, Any]) -> Clock:
    """Seconds of Distil's loop."""
    from distil.calls.config import TeacherConfig
    from distil.models.config import StudentConfig
    from distil.runs.artifacts import Project
    from distil.train import setup, stage
    from distil.train.config import TrainConfig
    from distil.train.trainer import DistilTrainer

    section = TrainConfig(
        method=job["method"], epochs=job["epochs"], learning_rate=LEARNING_RATE, batch_size=BATCH, validation_examples=0
    )
    clock = Clock()

    def timed(function: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            clock.start()
            try:
                return function(*arguments, **options)
            finally:
                clock.stop()

        return run

    DistilTrainer.train = timed(DistilTrainer.train)  # type: ignore[method-assign]
    setup._cache_signal = timed(setup._cache_signal)  # querying the teacher ahead, where there are several epochs
    stage.run(
        Project(Path(job["folder"]) / "project"),
        section,
        StudentConfig(model=job["student"]),
        name=f"{job['method']}-{time.time_ns()}",
        teacher=TeacherConfig(model=job["teacher"]),
    )
    return clock


def trl(job: dict[str, Any]) -> Clock:
    """Seconds of TRL's loop, with its packing or without."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    chats = json.loads((Path(job["folder"]) / "chats.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(job["student_folder"])
    model = AutoModelForCausalLM.from_pretrained(job["student_folder"], dtype="float32")
    batch = max(1, round(BATCH * job["tokens"] / job["examples"] / ROW)) if job["packing"] else BATCH
    config = SFTConfig(
        output_dir=str(Path(job["folder"]) / "trl"),
        num_train_epochs=job["epochs"],
        learning_rate=LEARNING_RATE,
        per_device_train_batch_size=batch,
        packing=job["packing"],
        max_length=ROW,
        assistant_only_loss=True,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=10,
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(chats), processing_class=tokenizer)
    clock = Clock()
    clock.start()
    trainer.train()
    clock.stop()
    return clock


def article(job: dict[str, Any]) -> Clock:
    """Seconds of a plain loop as in the article: padded batches, full logits of both models, KL at T = 2, cross-entropy."""
    import torch
    import torch.nn.functional as F
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chats = json.loads((Path(job["folder"]) / "chats.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(job["student_folder"])
    student = AutoModelForCausalLM.from_pretrained(job["student_folder"], dtype="float32").train()
    teacher = AutoModelForCausalLM.from_pretrained(job["teacher_folder"], dtype="float32").eval()
    texts = [tokenizer.apply_chat_template(chat["messages"], tokenize=False) for chat in chats]
    optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE)
    temperature, generator = 2.0, torch.Generator().manual_seed(0)
    clock = Clock()
    clock.start()
    for _ in range(job["epochs"]):
        order = torch.randperm(len(texts), generator=generator).tolist()
        for at in range(0, len(order), BATCH):
            rows = [texts[i] for i in order[at : at + BATCH]]
            batch = tokenizer(rows, return_tensors="pt", padding=True, add_special_tokens=False)
            inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
            with torch.no_grad():
                teacher_logits = teacher(**inputs).logits
            logits = student(**inputs).logits
            soft = F.kl_div(
                F.log_softmax(logits / temperature, dim=-1),
                F.softmax(teacher_logits / temperature, dim=-1),
                reduction="batchmean",
            )
            hard = F.cross_entropy(logits.view(-1, logits.size(-1)), batch["input_ids"].view(-1))
            (0.7 * soft + 0.3 * hard).backward()
            optimizer.step()
            optimizer.zero_grad()
    clock.stop()
    return clock


CONTESTANTS: dict[str, tuple[Any, dict[str, Any], bool]] = {
    "distil sft": (distil, {"method": "sft"}, False),
    "TRL SFTTrainer, packing": (trl, {"packing": True}, True),
    "TRL SFTTrainer, padding": (trl, {"packing": False}, True),
    "distil logits": (distil, {"method": "logits"}, False),
    "the article's loop": (article, {}, False),
}


def main() -> None:
    """Runs all contestants and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="bundled/student")
    parser.add_argument("--teacher", default="bundled/teacher")
    parser.add_argument("--peer-python", help="python of a venv with trl")
    parser.add_argument("--examples", type=int, default=960)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), choices=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        clock = CONTESTANTS[options.contestant][0](json.loads(options.job))
        print("SECONDS", clock.wall, clock.cpu)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Every contestant in turn, `repeats` times."""
    from distil.models.load import resolve

    counts = write_examples(folder, options.student, options.examples)
    common = {
        "folder": str(folder), "student": options.student, "teacher": options.teacher, "epochs": options.epochs,
        "student_folder": resolve(options.student), "teacher_folder": resolve(options.teacher), **counts,
    }  # fmt: skip
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.repeats):
        for name, (_, extra, peer) in CONTESTANTS.items():
            if name not in options.only or (peer and not options.peer_python):
                continue
            python = options.peer_python if peer else sys.executable
            command = [python, __file__, "--contestant", name, "--job", json.dumps({**common, **extra})]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            results = [line for line in done.stdout.splitlines() if line.startswith("SECONDS ")]
            if not results:
                raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
            times.setdefault(name, []).append((float(results[0].split()[1]), float(results[0].split()[2])))
    report(times, counts["tokens"] * options.epochs, counts["examples"])


def report(times: dict[str, list[tuple[float, float]]], tokens: int, examples: int) -> None:
    """Prints medians, and Distil relative to each peer."""
    print(
        f"{platform.machine()}, {examples} examples, {tokens:,} tokens, batch {BATCH}, Python {platform.python_version()}"
    )
    print(f"{'':26} {'wall s':>8} {'tokens/s':>9} {'CPU s':>8} {'tokens/CPU s':>13}  wall of each run")
    wall = {name: statistics.median(run[0] for run in runs) for name, runs in times.items()}
    cpu = {name: statistics.median(run[1] for run in runs) for name, runs in times.items()}
    for name, runs in times.items():
        each = ", ".join(f"{run[0]:.1f}" for run in runs)
        speeds = f"{wall[name]:8.2f} {tokens / wall[name]:9,.0f} {cpu[name]:8.2f} {tokens / cpu[name]:13,.0f}"
        print(f"{name:26} {speeds}  {each}")
    for ours, peer in (
        ("distil sft", "TRL SFTTrainer, packing"),
        ("distil sft", "TRL SFTTrainer, padding"),
        ("distil logits", "the article's loop"),
    ):
        if peer in wall and ours in wall:
            print(
                f"{ours}: {wall[peer] / wall[ours]:.2f} times {peer} by wall, {cpu[peer] / cpu[ours]:.2f} by CPU seconds"
            )


if __name__ == "__main__":
    main()
