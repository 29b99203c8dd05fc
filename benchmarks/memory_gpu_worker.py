"""One process of `benchmarks/memory.py --device cuda`: takes cases that nobody has taken, trains each and writes what it held.

The training is Distil's own, from its first check to its last step; around it, clocks and torch's counters are read (`Watch`).
With `--tiny` on a CPU the counters say 0, and bitsandbytes and running out of memory are made possible there.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
import yaml
from memory_gpu_cases import CASES, MODELS, Case, miniature, miniature_model
from memory_gpu_watch import CUDA, WATCH, Watch, alone, held, install, results
from memory_models import save_random, write_examples

import distil.models.load as loading
from distil.config import load_config
from distil.fit import training_need
from distil.models.shape import model_shape
from distil.models.sizing import Machine, this_machine
from distil.runs.artifacts import Project
from distil.train import stage
from distil.train.job import TrainJob
from distil.train.run import train_student

GIB = 1 << 30
DEVICE = "cuda" if CUDA else "cpu"
SHOWN_LINES = 15


def as_on_a_gpu() -> None:
    """On a CPU: 4 bits are allowed, and what is only read is in bfloat16."""
    loading._check_quantization = lambda *parts: None
    kind = loading.pick_dtype
    loading.pick_dtype = lambda dtype, device: torch.bfloat16 if dtype == "auto" else kind(dtype, device)


def machine() -> Machine:
    """This one; a CPU is taken for an H200, so that the estimate is that of a GPU."""
    found = this_machine()
    if found.gpu_name is not None:
        return found
    if CUDA:
        card = torch.cuda.get_device_properties(0)
        return found._replace(gpu_name=card.name, gpus=1, gpu_memory=card.total_memory)
    return found._replace(gpu_name="NVIDIA H200", gpus=1, gpu_memory=141 * GIB)


def model_folder(name: str) -> Path:
    """The saved random model, made by the first worker that needs it."""
    folder = Path(PLAN["folder"]) / "models" / name
    folder.parent.mkdir(exist_ok=True)
    with alone(folder.parent / f"{name}.lock"):
        if not (folder / "ready").exists():
            config = miniature_model(MODELS[name]) if PLAN["tiny"] else MODELS[name]
            save_random(config, folder, device=DEVICE, dtype="bfloat16")
            (folder / "ready").touch()
            free_memory()
    return folder


def write_project(case: Case, folder: Path) -> Project:
    """distil.yaml and the curated examples."""
    student = str(model_folder(case.student))
    whole = case.steps is None
    steps = {"learning_rate": "auto"} if whole else {"learning_rate": 1e-4, "epochs": 100.0}
    train = {"batch_size": case.batch, "log_steps": 1, "checkpoint_minutes": 600.0, **steps, **case.train}
    config = {
        "prompts": {"path": "prompts.jsonl"},
        "teachers": [{"model": f"local/{model_folder(case.teacher)}" if case.teacher else "openai/gpt-5-mini"}],
        "student": {
            "model": student,
            **({"adapter": "lora"} if case.adapter else {}),
            **({"quantization": "4bit"} if case.four_bit else {}),
        },
        "train": train,
    }
    folder.mkdir(parents=True)
    (folder / "distil.yaml").write_text(yaml.safe_dump(config))
    count = case.examples or 2 * case.batch
    write_examples(folder, student, count, case.tokens, validation=24 if whole else 0)
    return Project(folder)


def operations(case: Case, project: Project) -> float:
    """Of a trained token: 6 a parameter (4 for an adapter) and attention (causal, forward and backward); the student's alone."""
    shape = model_shape(str(model_folder(case.student)))
    assert shape is not None
    config = json.loads(shape.config)
    heads = config["num_attention_heads"]
    width = heads * (config.get("head_dim") or config["hidden_size"] // heads)
    found = (4 if case.adapter else 6) * (shape.active or shape.parameters)
    return float(found + 6 * shape.layers * width * case.tokens)


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Trains a case and returns its line."""
    started = time.perf_counter()
    project = write_project(case, folder)
    config, here = load_config(project), machine()
    need = training_need(project, config, here)
    assert need is not None
    made = time.perf_counter() - started
    free_memory()
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    watch, before = Watch(case, Path(PLAN["folder"]) / "training.lock", Path(PLAN["out"])), held()
    WATCH.append(watch)
    result = stage.run if case.saved or case.steps is None else train_alone
    facts = result(
        project, config.train, config.student, name="x", teacher=config.teachers[0], max_steps=case.steps
    ).facts
    line = figures(watch, need.memory._asdict(), need.memory.total, before)
    speed, per_token = watch.tokens_per_second(), operations(case, project)
    card = here.card
    return line | {
        "seconds": {"prepared": round(made, 2), **watch.seconds},
        "tokens_per_second": speed,
        "operations_per_token": per_token,
        # A teacher is asked within the steps or, where they fit, for all texts before them.
        "share_of_peak": speed * per_token / card.flops if speed and card and not case.teacher else None,
        "step_seconds": watch.step_seconds(),
        "kernels": watch.kernels,
        "micro_batch_tokens": facts["micro_batch_tokens"],
        "packing": watch.packing,
        "losses": watch.losses[:8],
        "learning_rate": facts["learning_rate"],
        "parity": facts.get("parity"),
        "checks": [check[:160] for check in facts["checks"]],
    }


class Facts:
    """What `train_alone` returns in place of a stage's result."""

    def __init__(self, facts: Any) -> None:
        self.facts = facts


def train_alone(
    project: Project, section: Any, student: Any, *, name: str, teacher: Any, max_steps: int | None
) -> Facts:
    """The training without its manifest, which hashes a saved model."""
    return Facts(train_student(TrainJob(project.root, name, section, student, teacher, max_steps=max_steps)))


def figures(watch: Watch, terms: dict[str, int], total: int, before: int) -> dict[str, Any]:
    """GiB for people, bytes for the rest. held: reserved memory of the training and what the process takes beside it."""
    allocated, reserved = (
        max((size for name, size in watch.peaks.items() if name.endswith(kind)), default=0)
        for kind in ("allocated", "reserved")
    )
    return {
        "allocated": allocated / GIB,
        "reserved": reserved / GIB,
        "held": (reserved + (CONTEXT or 0)) / GIB,
        "context": CONTEXT,
        "estimate": total / GIB,
        "terms": {name: round(size / GIB, 3) for name, size in terms.items()},
        "marks": watch.marks,
        "peaks": watch.peaks,
        "held_before": before,
    }


def free_memory() -> None:
    """Gives back what the case before has left."""
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()


def context_bytes() -> int | None:
    """What a process takes of the GPU beside its tensors: its context and the libraries of products. One worker at a time."""
    if not CUDA:
        return None
    note = Path(PLAN["folder"]) / "used"
    with alone(note.with_suffix(".lock")):
        before = int(note.read_text()) if note.exists() else PLAN["used_before"]
        product = torch.ones(256, 256, device="cuda", dtype=torch.bfloat16)
        (product @ product).sum().item()
        del product
        free, total = torch.cuda.mem_get_info()
        note.write_text(str(total - free))
        return None if before is None else total - free - before - torch.cuda.memory_reserved()


def next_case() -> tuple[int, Case] | None:
    """A case that no other worker has taken; None = none is left, or the time is over. One that needs another waits for it."""
    for number, case in enumerate(CASES):
        if PLAN["words"] and not any(word.lower() in case.name.lower() for word in PLAN["words"]):
            continue
        if case.limited and CUDA and not any(line["name"] == case.limited for line in results(Path(PLAN["out"]))):
            continue
        try:
            os.close(os.open(Path(PLAN["folder"]) / f"taken.{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return number, miniature(case) if PLAN["tiny"] else case
    return None


def write_line(line: dict[str, Any]) -> None:
    """Appends it."""
    with Path(PLAN["out"]).open("a") as out:
        out.write(json.dumps(line) + "\n")


def main() -> int:
    """Takes cases until the time is over. 3 = the GPU can't be used by this process any more."""
    folder = Path(PLAN["folder"])
    write_line(
        {
            "name": f"worker {NUMBER}",
            "ok": True,
            **figures(Watch(CASES[0], folder, folder), {"process": 0}, 0, 0),
            **about(),
        }
    )
    while time.time() < PLAN["end"] and (taken := next_case()) is not None:
        number, case = taken
        (folder / f"worker.{NUMBER}.case").write_text(case.name)
        said = io.StringIO()
        at = time.time()
        line: dict[str, Any] = {"name": case.name}
        try:
            with contextlib.redirect_stderr(said):
                line |= {"ok": True, **measure(case, folder / f"case.{number}")}
        except BaseException as error:
            log = traceback.format_exc().splitlines()[-SHOWN_LINES:]
            line |= {"ok": False, "error": f"{type(error).__name__}: {str(error)[:600]}", "log": log}
            if WATCH and WATCH[-1].case is case:
                line |= {"marks": WATCH[-1].marks, "peaks": WATCH[-1].peaks, "seconds": WATCH[-1].seconds}
        line |= {"said": said.getvalue().splitlines()[-8:], "worker": NUMBER, "began": round(at - (PLAN["end"]), 1)}
        line["ended"] = round(time.time() - PLAN["end"], 1)
        write_line(line)
        WATCH.clear()
        free_memory_or_end(line)
    return 0


def about() -> dict[str, Any]:
    """The machine and the versions, in the form of a result."""
    import bitsandbytes
    import peft
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    card = torch.cuda.get_device_name(0) if CUDA else "no GPU"
    return {
        "machine": str(machine()),
        "card": card,
        "versions": {**versions, "bitsandbytes": bitsandbytes.__version__},
        "micro_batch_tokens": 0,
        "started": round(time.time() - PLAN["end"], 1),
    }


def free_memory_or_end(line: dict[str, Any]) -> None:
    """After a fault of the GPU every call of this process fails: another process must take over."""
    try:
        free_memory()
        if CUDA:
            torch.zeros(1, device="cuda").item()
    except RuntimeError:
        os._exit(3)


if __name__ == "__main__":
    PLAN: dict[str, Any] = json.loads(sys.argv[1])
    NUMBER = int(sys.argv[2])
    CONTEXT = context_bytes()
    if not CUDA:
        as_on_a_gpu()
    install()
    sys.exit(main())
