"""The bundled student on real questions: fine-tune on banking77's 10,003 training questions, measure on its 3,080 test questions.

    python benchmarks/banking77.py --data PATH/TO/banking77 [--dir banking77] [--epochs 15]

The data is not part of Distil: banking_train.csv and banking_test.csv (text,category), PolyAI task-specific-datasets, CC BY 4.0.
The labels enter as a recorded teacher, so this is `collect`, `curate`, `train` and `evaluate` as any project runs them. Resumes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from distil.config import Config, parse_config
from distil.config_file import write_config
from distil.pipeline import run_missing
from distil.runs.artifacts import Project
from distil.runs.schemas.summary import read_summary

SYSTEM = "Name the intent of the customer's question."
DEFAULT_DATA = Path(os.environ.get("DISTIL_DATA", Path(__file__).parents[2] / "shared" / "data")) / "banking77"


def read(path: Path) -> dict[str, str]:
    """Question -> its intent in words; a repeated question counts once."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["text"].strip(): row["category"].replace("_", " ").lower() for row in csv.DictReader(file)}


def write_questions(project: Project, rows: Iterable[tuple[str, str, str]]) -> None:
    """prompts.jsonl and labels.jsonl (the recorded teacher) of (question, label, split)."""
    prompts, labels = [], []
    for text, label, split in rows:
        prompts.append(json.dumps({"prompt": text, "reference": label, "split": split}))
        labels.append(json.dumps({"prompt": text, "output": label}))
    project.root.mkdir(parents=True, exist_ok=True)
    (project.root / "prompts.jsonl").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    (project.root / "labels.jsonl").write_text("\n".join(labels) + "\n", encoding="utf-8")


def write_project(project: Project, data: Path, epochs: float, learning_rate: float, seed: int) -> Config:
    """prompts.jsonl, labels.jsonl (the recorded teacher) and distil.yaml."""
    rows = {split: read(data / f"banking_{split}.csv") for split in ("train", "test")}
    leaked = [text for text in rows["train"] if text in rows["test"]]
    print(
        f"{len(rows['test']):,} test questions; {len(leaked)} training questions are also test questions and are left out"
    )
    write_questions(
        project,
        [
            (text, label, split)
            for split in ("train", "test")
            for text, label in rows[split].items()
            if split == "test" or text not in rows["test"]
        ],
    )
    config = parse_config(
        {
            "task": "banking77",
            "prompts": {"path": "prompts.jsonl", "system": SYSTEM},
            "teachers": [{"model": "recorded/labels.jsonl", "sampling": {"max_tokens": 24}}],
            "curate": {"near_duplicates": None, "validation": 0.02, "test": 3080},
            "student": {"model": "bundled/student"},
            "train": {
                "epochs": epochs,
                "learning_rate": learning_rate,
                "seed": seed,
                "batch_size": 64,
                "weight_decay": 0.05,
            },
            "evaluate": {"metrics": ["exact_match", "accuracy"], "ceiling": False, "latency_prompts": 4},
        },
        "banking77",
    )
    project.config.write_text(write_config(config), encoding="utf-8")
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--dir", type=Path, default=Path("banking77"))
    parser.add_argument("--epochs", type=float, default=15)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not (options.data / "banking_train.csv").exists():
        raise SystemExit(f"{options.data} contains no banking_train.csv. Give the folder of the data with --data.")
    project = Project(options.dir)
    start = time.monotonic()
    config = write_project(project, options.data, options.epochs, options.learning_rate, options.seed)
    run_missing(project, config, name="banking", on_step=lambda step: print(f"$ {step.command}", flush=True))
    result = read_summary(project.stage("evaluate", "banking") / "summary.json")
    for model in ("base", "banking"):
        for metric, interval in result.models[model].items():
            print(
                f"{model:8} {metric:12} {interval.mean:.1%}  [{interval.low:.1%}, {interval.high:.1%}]  n = {interval.n:,}"
            )
    size = result.size["banking"]
    print(
        f"{size.parameters:,} parameters, {options.epochs:g} epochs, {(time.monotonic() - start) / 60:.0f} minutes in this run"
    )


if __name__ == "__main__":
    main()
