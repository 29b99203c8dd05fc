"""Peak memory of real trainings beside the estimate that plan, doctor and train use: `distil.fit`.

Each case is a fresh process that runs `distil train --max-steps 2` on the CPU; the kernel counts its peak (ru_maxrss: resident
memory, pages of shared libraries included). Models have random weights and come from their transformers config, so nothing is
downloaded; SmolLM2-135M is taken from DISTIL_LAB where it is there.

    python benchmarks/memory.py                    # all cases: about 20 CPU minutes and 6 GiB
    python benchmarks/memory.py lora moe           # those with one of these words in their name
    python benchmarks/memory.py --estimate         # the estimates alone, in seconds
    python benchmarks/memory.py --device cuda      # on a GPU, where torch counts, and the speed: memory_gpu.py
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memory_models import llama, save_random, write_examples

GIB = 1 << 30
TOKENS = 110
"""Of an example, about: a system prompt, a question and an answer of one third."""

SMALL = llama(320, 8, 864)
MIDDLE = llama(640, 12, 1712, 10)
QWEN = llama(384, 12, 1843, 6, 2, model_type="qwen2")
MOE = llama(
    320,
    6,
    0,
    8,
    4,
    model_type="qwen3_moe",
    moe_intermediate_size=256,
    num_experts=16,
    num_experts_per_tok=4,
    head_dim=64,
)
GEMMA = llama(
    256, 6, 1024, 4, 1, model_type="gemma3_text", head_dim=128, vocab_size=262_144, sliding_window=512, layer_types=None
)


@dataclass(frozen=True)
class Case:
    """One training to measure."""

    name: str
    student: dict[str, Any] | str
    """A config, or a folder of the lab."""
    train: dict[str, Any] = field(default_factory=dict)
    adapter: bool = False
    teacher: dict[str, Any] | None = None
    examples: int = 64
    tokens: int = TOKENS


LORA: dict[str, Any] = {"adapter": True}
CASES = [
    Case("Llama 26M, full", SMALL),
    Case("Llama 26M, full, 8,192 tokens", SMALL, {"micro_batch_tokens": 8192, "batch_size": 96}, examples=192),
    Case("Llama 26M, LoRA", SMALL, **LORA),
    Case("Llama 90M, full", MIDDLE),
    Case("Llama 90M, full, checkpointing", MIDDLE, {"gradient_checkpointing": True}),
    Case("Llama 90M, LoRA", MIDDLE, **LORA),
    Case("Qwen2 50M, full", QWEN),
    Case("SmolLM2-135M, full", "smollm2/hf"),
    Case("SmolLM2-135M, LoRA", "smollm2/hf", **LORA),
    Case("Llama 26M, logits, teacher in process", SMALL, {"method": "logits"}, teacher=MIDDLE),
    Case("Llama 26M, logits, two teachers", SMALL, {"method": "logits", "teachers": 2}, teacher=SMALL),
    Case("Llama 26M, logits, cached", SMALL, {"method": "logits", "signal": "cached"}, teacher=MIDDLE),
    Case("Llama 26M, on_policy", SMALL, {"method": "on_policy", "rollout_tokens": 24}, teacher=SMALL),
    Case("Qwen3-MoE 60M, full", MOE),
    Case("Gemma-3 75M, 262,144 ids, full", GEMMA),
    Case("Llama 26M, full, 700-token texts", SMALL, tokens=700),
    Case("Llama 26M, full, padded", SMALL, {"packing": False}),
    Case("Llama 26M, FSDP over 2 processes", SMALL, {"fsdp": True, "processes": 2}),
    Case("Llama 26M, 2 processes", SMALL, {"processes": 2}),
]


def main() -> None:
    """Prints a table in Markdown; one row a case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--estimate", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seconds", type=float, default=600.0, help="cuda: after so many no case begins")
    parser.add_argument("--out", help="cuda: the file of results, a line of JSON each")
    parser.add_argument("--workers", type=int, help="cuda: processes that load while one trains")
    parser.add_argument("--tiny", action="store_true", help="cuda: miniatures of the models")
    options = parser.parse_args()
    if options.device == "cuda":
        from memory_gpu import main as on_gpu

        return on_gpu(options)
    found = [c for c in CASES if not options.words or any(word.lower() in c.name.lower() for word in options.words)]
    cases = [case for case in found if isinstance(case.student, dict) or (lab() / case.student).is_dir()]
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder) / str(number) for number in range(len(cases))]
        for case, place in zip(cases, folders, strict=True):
            place.mkdir()
            (place / "case.json").write_text(json.dumps(case.__dict__))
        child("prepare", *folders)  # models in a child: memory of this process would count as its children's
        estimates = [int(line) / GIB for line in child("estimate", *folders).split()]
        print("| training | measured GiB | estimate | error | CPU seconds |\n|---|---:|---:|---:|---:|", flush=True)
        for case, place, estimate in zip(cases, folders, estimates, strict=True):
            print(f"| {case.name} {measured(case, place, estimate, options.estimate)}", flush=True)


def measured(case: Case, folder: Path, estimate: float, estimate_alone: bool) -> str:
    """The figures of a row."""
    if estimate_alone:
        return f"| | {estimate:.2f} | | |"
    if case.train.get("signal") == "cached":
        child("signals", folder)
    peak, seconds = peak_of("train", folder)
    shutil.rmtree(folder)
    return f"| {peak:.2f} | {estimate:.2f} | {estimate / peak - 1:+.0%} | {seconds:.0f} |"


def lab() -> Path:
    """Where real models are."""
    return Path(os.environ.get("DISTIL_LAB", "lab"))


def child(action: str, *folders: Path) -> str:
    """Runs this file in a process of its own and returns what it prints."""
    command = [sys.executable, __file__, "--child", action, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return done.stdout


def peak_of(action: str, folder: Path) -> tuple[float, float]:
    """(GiB of resident memory at the peak of the largest process, CPU seconds)."""
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, __file__, "--child", action, str(folder)], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((folder / "log.txt").read_text()[-4000:])
    return usage.ru_maxrss * 1024 / GIB, usage.ru_utime + usage.ru_stime


def write_models(case: dict[str, Any], folder: Path) -> None:
    """In the child: random models, the curated examples, distil.yaml."""
    import yaml

    for name in ("student", "teacher"):
        if isinstance(case[name], dict):
            save_random(case[name], folder / name)
    train = dict(case["train"])
    if train.pop("teachers", None):
        (folder / "second").symlink_to(folder / "teacher")
        train["teachers"] = [{"model": str(folder / "teacher")}, {"model": str(folder / "second")}]
    student = str(lab() / case["student"]) if isinstance(case["student"], str) else str(folder / "student")
    teacher = f"local/{folder / 'teacher'}" if case["teacher"] else "openai/gpt-5-mini"
    config = {
        "prompts": {"path": "prompts.jsonl"},
        "teachers": [{"model": teacher}],
        "student": {"model": student} | ({"adapter": "lora"} if case["adapter"] else {}),
        "train": train,
    }
    (folder / "distil.yaml").write_text(yaml.safe_dump(config))
    write_examples(folder, student, case["examples"], case["tokens"])


def in_child(action: str, folder: Path) -> None:
    """What a child process does."""
    if action == "prepare":
        sys.path.insert(0, str(Path(__file__).parents[1]))
        write_models(json.loads((folder / "case.json").read_text()), folder)
    elif action == "estimate":
        from distil.config import load_config
        from distil.fit import training_need
        from distil.models.sizing import this_machine
        from distil.runs.artifacts import Project

        need = training_need(Project(folder), load_config(Project(folder)), this_machine())
        assert need is not None
        print(need.memory.total)
    else:
        run(action, folder)


def run(action: str, folder: Path) -> None:
    """A cache of signals, or two steps of training."""
    from distil.config import load_config
    from distil.runs.artifacts import Project
    from distil.signals import stage as signals
    from distil.train import stage as train

    project = Project(folder)
    config = load_config(project)
    teacher = config.teachers[0]
    if action == "signals":
        signals.build(
            project, config.signals, teacher=teacher.model, student=config.student, temperature=config.train.temperature
        )
    else:
        train.run(project, config.train, config.student, name="x", teacher=teacher, max_steps=2)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        for folder in sys.argv[3:]:
            in_child(sys.argv[2], Path(folder))
    else:
        main()
