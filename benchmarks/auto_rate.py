"""Is a learning rate that was tried (`train.learning_rate: auto`) better than the one that fits the size (null)?

    python benchmarks/auto_rate.py --dir FOLDER [--task banking77 --data PATH/TO/banking77 | --task triage] [--seeds 3]

banking77: 1,000 questions with 77 labels as a recorded teacher. triage: the bundled task and teacher. The bundled student of 1M
parameters, all weights, three epochs in batches of 32, unless said otherwise; `--student PATH --adapter lora` takes another one,
with fewer questions. Resumes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from arms import compare, evaluated, parser
from banking77 import DEFAULT_DATA, SYSTEM, read, write_questions

from distil.bundled.triage import SYSTEM as TRIAGE
from distil.bundled.triage import write_prompts
from distil.config import Config, parse_config
from distil.config_file import write_config
from distil.runs.artifacts import Project
from distil.runs.manifest import read_manifest
from distil.runs.schemas.notes import TrainNotes

ARMS = {"null": None, "auto": "auto"}


def questions(project: Project, data: Path, train: int, test: int, intents: int) -> dict[str, object]:
    """Writes questions of banking77 with their labels, and returns what distil.yaml says of them."""
    rows = []
    for side, count in (("train", train), ("test", test)):
        found = read(data / f"banking_{side}.csv")
        kept = sorted(set(found.values()))[:intents]
        chosen = [(text, label, side) for text, label in found.items() if label in kept]
        rows += chosen[:: max(1, len(chosen) // count)][:count]
    seen = {text for text, _, side in rows if side == "test"}
    write_questions(project, [row for row in rows if row[2] == "test" or row[0] not in seen])
    return {
        "prompts": {"path": "prompts.jsonl", "system": SYSTEM},
        "teachers": [{"model": "recorded/labels.jsonl", "sampling": {"max_tokens": 24}}],
        "evaluate": {"metrics": ["exact_match"], "ceiling": False, "baseline": False, "latency_prompts": 4},
    }


def messages(project: Project, train: int, test: int) -> dict[str, object]:
    """Writes messages of the bundled task, and returns what distil.yaml says of them. One project alone asks the teacher."""
    project.root.mkdir(parents=True, exist_ok=True)
    asked = sorted(project.root.parent.glob("triage-*/ledger.sqlite"))
    if asked and not project.ledger.exists():
        shutil.copy(asked[0], project.ledger)
    write_prompts(project.root / "prompts.jsonl", train=train, test=0, unseen=test)
    return {
        "prompts": {"path": "prompts.jsonl", "system": TRIAGE},
        "teachers": [{"model": "bundled/teacher", "sampling": {"temperature": 0.7, "max_tokens": 80}}],
        "evaluate": {"ceiling": False, "baseline": False, "latency_prompts": 4},
    }


def main() -> None:
    """Trains what is missing and prints the table."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--task", choices=["banking77", "triage"], default="banking77")
    options_parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    options_parser.add_argument("--train", type=int, default=1250)
    options_parser.add_argument("--test", type=int, default=300)
    options_parser.add_argument("--intents", type=int, default=77)
    options_parser.add_argument("--epochs", type=float, default=3)
    options_parser.add_argument("--batch-size", type=int, default=32)
    options_parser.add_argument("--student", default="bundled/student")
    options_parser.add_argument("--adapter", choices=["lora"])
    options = options_parser.parse_args()

    def project(arm: str, seed: int) -> Project:
        return Project(options.dir / f"{options.task}-{arm}-{seed}")

    def write(arm: str, seed: int) -> Config:
        if options.task == "triage":
            sections = messages(project(arm, seed), options.train, options.test)
        else:
            sections = questions(project(arm, seed), options.data, options.train, options.test, options.intents)
        sections |= {
            "curate": {"near_duplicates": None, "test": options.test},
            "student": {"model": options.student, "adapter": options.adapter},
            "train": {
                "learning_rate": ARMS[arm],
                "seed": seed,
                "epochs": options.epochs,
                "batch_size": options.batch_size,
            },
        }
        config = parse_config(sections, "auto_rate")
        project(arm, seed).config.write_text(write_config(config), encoding="utf-8")
        return config

    def rates(arm: str) -> str:
        found = [read_manifest(project(arm, seed), "train", "student") for seed in options.seeds]
        return ", ".join(f"{TrainNotes.of(manifest).learning_rate:.1e}" for manifest in found)

    metric = "exact_match" if options.task == "banking77" else "field_accuracy"
    compare(
        list(ARMS),
        lambda arm, seed: evaluated(project(arm, seed), write(arm, seed), metric=metric),
        seeds=options.seeds,
        base="null",
        figures={"peak rates": rates},
    )


if __name__ == "__main__":
    main()
