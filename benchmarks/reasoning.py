"""Does a small student learn more from a teacher's answers with their thinking? `curate.reasoning` on a task made for it.

    python benchmarks/reasoning.py --dir FOLDER [--seeds 3]

A toy with a recorded teacher: four tables, each from the numbers 0 to 9 to other ones, and questions that apply three of them in
a row ("Start with 7. Apply C, then A, then D."). The tables are nowhere in the prompt. The recorded teacher is always right; its
thinking looks each step up, tersely or with repetitions and checks, one of the two at random. All arms learn from the same
prompts for the same number of steps from the bundled student; they differ in what is kept of the thinking, and in how the
student is asked. Real teachers are wrong at times, and real students know more: this shows the mechanics, not a gain to expect.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from arms import compare, evaluated, parser

from distil.config import Config, parse_config
from distil.config_file import write_config
from distil.records import Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records

TABLES, NUMBERS = "ABCD", 10
TRAIN, TEST, EPOCHS = 440, 200, 8


class Arm(NamedTuple):
    """What is kept of the thinking, and whether the student is asked to think."""

    reasoning: str
    tokens: int = 20
    thinks: bool = True


ARMS = {
    "drop": Arm("drop", thinks=False),
    "short": Arm("short"),
    "full": Arm("full"),
    "mix": Arm("mix"),
    "mix, asked without thinking": Arm("mix", tokens=0, thinks=False),
}


def tables() -> dict[str, list[int]]:
    """Letter -> what each number becomes."""
    draw = random.Random(0)
    return {letter: draw.sample(range(NUMBERS), NUMBERS) for letter in TABLES}


def steps(start: int, letters: str) -> list[tuple[str, int, int]]:
    """(table, from, to) of each step."""
    known, found = tables(), []
    for letter in letters:
        found.append((letter, start, known[letter][start]))
        start = known[letter][start]
    return found


def terse(found: list[tuple[str, int, int]]) -> str:
    """Each step once."""
    return ", ".join(f"{letter} {before} is {after}" for letter, before, after in found)


def verbose(found: list[tuple[str, int, int]]) -> str:
    """Each step announced, looked up and checked."""
    return ", ".join(
        f"now {letter} of {before}: {letter} {before} is {after}, right, it is {after}"
        for letter, before, after in found
    )


def write_project(project: Project, arm: Arm, seed: int) -> Config:
    """Prompts, the recorded teacher's two samples of each, and distil.yaml."""
    draw = random.Random(1)
    every = [(start, a + b + c) for start in range(NUMBERS) for a in TABLES for b in TABLES for c in TABLES]
    questions = draw.sample(every, TRAIN + TEST)
    project.root.mkdir(parents=True, exist_ok=True)
    files = {name: project.root / name for name in ("prompts.jsonl", "first.jsonl", "second.jsonl")}
    lines: dict[str, list[str]] = {name: [] for name in files}
    for number, (start, letters) in enumerate(questions):
        found = steps(start, letters)
        asked = f"Start with {start}. Apply {', then '.join(letters)}."
        answer = str(found[-1][2])
        split = "test" if number < TEST else "train"
        lines["prompts.jsonl"].append(json.dumps({"prompt": asked, "reference": answer, "split": split}))
        traces = [terse(found), verbose(found)]
        draw.shuffle(traces)
        for name, trace in zip(("first.jsonl", "second.jsonl"), traces, strict=True):
            lines[name].append(json.dumps({"prompt": asked, "answer": answer, "reasoning": trace}))
    for name, path in files.items():
        path.write_text("\n".join(lines[name]) + "\n", encoding="utf-8")
    config = parse_config(
        {
            "prompts": {"path": "prompts.jsonl"},
            "teachers": [
                {"model": f"recorded/{name}", "sampling": {"max_tokens": 250}}
                for name in ("first.jsonl", "second.jsonl")
            ],
            "curate": {
                "near_duplicates": None,
                "validation": 0.05,
                "reasoning": arm.reasoning,
                "reasoning_tokens": arm.tokens,
            },
            "student": {"model": "bundled/student", "template_args": {"enable_thinking": arm.thinks}},
            "train": {"epochs": EPOCHS, "learning_rate": 4e-3, "seed": seed, "batch_size": 8},
            "evaluate": {"metrics": ["exact_match"], "ceiling": False, "baseline": False, "latency_prompts": 4},
        },
        "reasoning",
    )
    project.config.write_text(write_config(config), encoding="utf-8")
    return config


def tokens(project: Project) -> float:
    """Mean tokens that the student writes for an answer, thinking included."""
    rows = read_records(project.predictions("student"), Prediction)
    return mean(row.output_tokens for row in rows if row.model == "student")


def main() -> None:
    """Trains what is missing and prints the table."""
    options = parser(__doc__).parse_args()
    folder: Path = options.dir

    def project(arm: str, seed: int) -> Project:
        return Project(folder / f"{list(ARMS).index(arm)}-{seed}")

    def measure(arm: str, seed: int) -> list[float]:
        place = project(arm, seed)
        return evaluated(place, write_project(place, ARMS[arm], seed))

    def written(arm: str) -> str:
        return f"{mean(tokens(project(arm, seed)) for seed in options.seeds):.0f}"

    compare(list(ARMS), measure, seeds=options.seeds, base="drop", figures={"tokens an answer": written})


if __name__ == "__main__":
    main()
