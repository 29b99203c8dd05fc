"""One answer to a prompt or several? Students of the same prompts and of equally many optimizer steps, over several seeds.

    python benchmarks/answers_per_prompt.py --dir FOLDER [--seeds 3] [--prompts 96] [--arms 4]

The bundled teacher answers each message four times at temperature 0.7. Arms: its first answer; all different ones, in each epoch
or taking turns; every one, equal ones too, as votes; the one that is the reference (rejection sampling); and, for the same bill,
four times as many prompts with one answer each. The messages are in wordings that the teacher was not trained on: on others its
four answers are nearly always equal and right, so that little could be shown. A seed draws another order of the data. Scored by
the fields that equal the reference on further such messages. Resumes.
"""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

from arms import compare, evaluated, parser

from distil.bundled.triage import SYSTEM
from distil.bundled.triage.generate import prompt_rows
from distil.config import Config, parse_config
from distil.config_file import write_config
from distil.pipeline import run_stage
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.stage_states import step_state

SAMPLES, EPOCHS, BATCH, TEST = 4, 4, 8, 80
ARMS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "1 answer": ({"choose": "first"}, {}),
    "4, all": ({"choose": "all"}, {}),
    "4, votes": ({"choose": "votes"}, {}),
    "4, reference": ({"choose": "reference"}, {}),
    "4, one per epoch": ({"choose": "all"}, {"answers": "one_per_epoch"}),
    "1 answer, 4 x prompts": ({"choose": "first"}, {}),
}
"""Name -> settings of curate and of train."""


def settings(arm: str, seed: int, epochs: float) -> Config:
    """distil.yaml of one student."""
    curate, train = ARMS[arm]
    return parse_config(
        {
            "prompts": {"path": "prompts.jsonl", "system": SYSTEM},
            "teachers": [{"model": "bundled/teacher", "sampling": {"temperature": 0.7, "max_tokens": 80}}],
            "collect": {"samples": 1 if "prompts" in arm else SAMPLES},
            "curate": {"near_duplicates": None, "validation": 0.0, "test": TEST, **curate},
            "student": {"model": "bundled/student"},
            "train": {"epochs": epochs, "learning_rate": 2e-3, "seed": seed, "batch_size": BATCH, **train},
            "evaluate": {"metrics": ["field_accuracy"], "ceiling": False, "baseline": False, "latency_prompts": 0},
        },
        "answers_per_prompt",
    )


def write_prompts(path: Path, prompts: int) -> None:
    """Training and test messages; no message is in both."""
    test = list(prompt_rows(train=0, test=0, unseen=TEST, seed=0))
    known = {row["prompt"] for row in test}
    drawn = (row for row in prompt_rows(train=0, test=0, unseen=prompts + TEST, seed=1) if row["prompt"] not in known)
    train = [row | {"split": "train"} for row in itertools.islice(drawn, prompts)]
    rows = [{key: value for key, value in row.items() if key != "group"} for row in [*train, *test]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def collected(root: Path, arm: str, prompts: int) -> Project:
    """The answers that all arms but one share."""
    project = Project(root / f"collected{'-more' if 'prompts' in arm else ''}")
    if not project.prompts.exists():
        write_prompts(project.root / "prompts.jsonl", prompts * (SAMPLES if "prompts" in arm else 1))
        first = Project(root / "collected")
        if first.ledger.exists():  # the first answers to the messages that both have are not asked for again
            shutil.copy(first.ledger, project.ledger)
    config = settings(arm, 0, EPOCHS)
    for stage in ("prompts", "collect"):
        if step_state(project, config, stage, None).state != "done":
            run_stage(project, config, stage, None)
    return project


def main() -> None:
    """Trains what is missing and prints the table."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--prompts", type=int, default=96)
    options_parser.add_argument("--arms", type=int, default=len(ARMS), help="Only the first so many.")
    options = options_parser.parse_args()
    rows: dict[str, int] = {}
    known = options.dir / "answers.sqlite"  # the teacher's answers to the test prompts, which are the same everywhere

    def measure(arm: str, seed: int) -> list[float]:
        source = collected(options.dir, arm, options.prompts)
        project = Project(options.dir / f"{arm.replace(',', '').replace(' ', '-')}-{seed}")
        if not project.root.exists():
            shutil.copytree(source.root, project.root)
            if known.exists():
                shutil.copy(known, project.cache)
        config = settings(arm, seed, EPOCHS)
        if step_state(project, config, "curate", None).state != "done":
            run_stage(project, config, "curate", None)
        examples = list(read_examples(project.split("train")))
        once = len({e.prompt_id for e in examples}) if "epoch" in arm else len(examples)
        rows[arm] = len(examples)
        config = settings(arm, seed, options.prompts * EPOCHS / once)
        project.config.write_text(write_config(config), encoding="utf-8")
        scores = evaluated(project, config, metric="field_accuracy")
        if not known.exists():
            shutil.copy(project.cache, known)
        return scores

    compare(
        list(ARMS)[: options.arms],
        measure,
        seeds=options.seeds,
        base="1 answer",
        figures={"training rows": lambda arm: f"{rows[arm]:,}"},
    )


if __name__ == "__main__":
    main()
