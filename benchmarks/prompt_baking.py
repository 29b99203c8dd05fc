"""Does a student need the long prompt that its teacher was given? Three students of the same answers, over several seeds.

    python benchmarks/prompt_baking.py --data PATH/TO/banking77 --dir FOLDER [--seeds 3]

Questions of banking77 with their labels as a recorded teacher, whose production prompt names all intents with an example of each.
One student sees that prompt, one a short text, one nothing (`student.prompt`). Paired over the same test questions. Resumes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean

from arms import compare, evaluated, parser
from banking77 import DEFAULT_DATA, read, write_questions

from distil.config import Config, parse_config
from distil.config_file import write_config
from distil.models.load import load_tokenizer
from distil.models.render import render_prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples

ARMS = {"same": "same", "short": "Name the intent.", "none": "none"}


def rules(examples: dict[str, list[str]]) -> str:
    """The production prompt."""
    lines = [f"- {intent}: such as {texts[0]!r}" for intent, texts in examples.items()]
    return "\n".join(
        ["You sort the questions of a bank's customers. Answer with one of these intents, and nothing else:", *lines]
    )


def write_project(project: Project, arm: str, seed: int, options: argparse.Namespace) -> Config:
    """Prompts, labels and distil.yaml of one student."""
    by_intent: dict[tuple[str, str], list[str]] = defaultdict(list)
    questions = {split: read(options.data / f"banking_{split}.csv") for split in ("train", "test")}
    for split, rows in questions.items():
        for text, intent in rows.items():
            if split == "test" or text not in questions["test"]:
                by_intent[split, intent].append(text)
    intents = sorted({intent for _, intent in by_intent})[: options.intents]
    examples = {intent: by_intent["train", intent][options.train_each :] for intent in intents}
    write_questions(
        project,
        [
            (text, intent, split)
            for split, count in (("train", options.train_each), ("test", options.test_each))
            for intent in intents
            for text in by_intent[split, intent][:count]
        ],
    )
    config = parse_config(
        {
            "prompts": {"path": "prompts.jsonl", "system": rules(examples)},
            "teachers": [{"model": "recorded/labels.jsonl", "sampling": {"max_tokens": 24}}],
            "curate": {"near_duplicates": None, "validation": 0.05, "test": options.intents * options.test_each},
            "student": {"model": options.student, "adapter": options.adapter, "prompt": ARMS[arm]},
            "train": {"epochs": options.epochs, "learning_rate": options.rate, "seed": seed, "batch_size": 16},
            "evaluate": {"metrics": ["exact_match"], "ceiling": False, "baseline": False, "latency_prompts": 4},
        },
        "prompt_baking",
    )
    project.config.write_text(write_config(config), encoding="utf-8")
    return config


def tokens(project: Project) -> float:
    """Mean tokens of a request to the student, its prompt included where it sees one."""
    tokenizer = load_tokenizer(str(project.model("student")))
    return mean(len(render_prompt(tokenizer, e.prompt_messages)) for e in read_examples(project.split("test")))


def main() -> None:
    """Trains what is missing and prints the table."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    options_parser.add_argument("--intents", type=int, default=12)
    options_parser.add_argument("--train-each", type=int, default=24)
    options_parser.add_argument("--test-each", type=int, default=20)
    options_parser.add_argument("--epochs", type=float, default=5)
    options_parser.add_argument("--rate", type=float, default=2e-3)
    options_parser.add_argument("--student", default="bundled/student")
    options_parser.add_argument("--adapter", choices=["lora"])
    options = options_parser.parse_args()

    def project(arm: str, seed: int) -> Project:
        return Project(options.dir / f"{arm}-{seed}")

    def measure(arm: str, seed: int) -> list[float]:
        return evaluated(project(arm, seed), write_project(project(arm, seed), arm, seed, options))

    figures = {"tokens of a request": lambda arm: f"{tokens(project(arm, 0)):.0f}"}
    compare(list(ARMS), measure, seeds=options.seeds, base="same", figures=figures)


if __name__ == "__main__":
    main()
