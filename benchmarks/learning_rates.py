"""Which peak learning rate is best? The default's rule (distil/train/rate.py) beside a sweep, on the models that are at hand.

    python benchmarks/learning_rates.py --data PATH/TO/banking77                          the bundled student of 1M parameters
    python benchmarks/learning_rates.py --data PATH/TO/banking77 --student PATH --intents 8 --questions 160 --adapter lora

A project as a newcomer makes it: questions of banking77 with their labels as a recorded teacher, and all settings at their
defaults but for the learning rate. Prints the share of held-out questions that each student answers with the very label.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import tempfile
from pathlib import Path

from distil.config import Config, parse_config
from distil.pipeline import run_stage
from distil.runs.artifacts import Project
from distil.runs.schemas.summary import read_summary
from distil.train import stage


def make(project: Project, options: argparse.Namespace) -> Config:
    """Prompts, labels and a config that names only what is not a default."""
    with (options.data / "banking_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = list(dict.fromkeys(row["category"] for row in rows))[: options.intents]
    chosen = [row for row in rows if row["category"] in kept]
    chosen = chosen[:: max(1, len(chosen) // options.questions)][: options.questions]
    prompts = [{"prompt": row["text"], "reference": row["category"].replace("_", " ")} for row in chosen]
    for name, key in (("questions.jsonl", "reference"), ("labels.jsonl", "output")):
        lines = [json.dumps({"prompt": p["prompt"], key: p["reference"]}) for p in prompts]
        (project.root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return parse_config(
        {
            "prompts": {"path": "questions.jsonl", "system": "Name the intent of the customer's question."},
            "teachers": [{"model": "recorded/labels.jsonl"}],
            "student": {"model": options.student, "adapter": options.adapter},
            "curate": {"test": min(200, options.questions // 4)},
            "train": {"epochs": options.epochs, "batch_size": options.batch_size, "log_steps": 1},
            "evaluate": {"metrics": ["accuracy"], "ceiling": False, "latency_prompts": 1},
        },
        "learning_rates",
    )


def _right(project: Project, config: Config) -> str:
    run_stage(project, config, "evaluate", "x")
    share = read_summary(project.summary("x")).models["x"]["accuracy"]
    return f"right {share.mean:.1%} of {share.n} "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--student", default="bundled/student")
    parser.add_argument("--adapter", choices=["lora"], default=None)
    parser.add_argument("--intents", type=int, default=77)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--loss-only", action="store_true", help="Only the loss on held-out questions: an hour less.")
    parser.add_argument("--rates", type=float, nargs="*", default=[2e-5, 2e-4, 1e-3, 2e-3, 4e-3])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        config = make(project, options)
        for name in ("prompts", "collect", "curate"):
            run_stage(project, config, name, None)
        for rate in [None, *options.rates]:
            section = config.train.model_copy(update={"learning_rate": rate})
            done = stage.run(project, section, config.student, name="x", force=True)
            right = "" if options.loss_only else _right(project, config)
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(
                f"{'default' if rate is None else 'set':8}{done.facts['learning_rate']:>9.1e}  {done.steps} steps  loss "
                f"{done.validation_loss:.3f}  {right} ({used.ru_utime + used.ru_stime:.0f} CPU s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
