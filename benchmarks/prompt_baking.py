"""Does a student need the long prompt that its teacher was given? Three students of the same answers, over several seeds.

    python benchmarks/prompt_baking.py --data PATH/TO/banking77 [--dir FOLDER] [--seeds 3]

Questions of banking77 with their labels as a recorded teacher, whose production prompt names all intents with an example of each.
One student sees that prompt, one a short text, one nothing (`student.prompt`). Paired over the same test questions. Resumes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean

from banking77 import DEFAULT_DATA, read, write_questions

from distil.config import Config, parse_config
from distil.config_file import write_config
from distil.evaluate.stats import paired_difference
from distil.models.load import load_tokenizer
from distil.models.render import render_prompt
from distil.pipeline import run_missing
from distil.records import Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.text import same_answer

INTENTS, TRAIN_EACH, TEST_EACH = 12, 40, 20
ARMS = {"same": "same", "short": "Name the intent.", "none": "none"}


def rules(examples: dict[str, list[str]]) -> str:
    """The production prompt."""
    lines = [f"- {intent}: such as {texts[0]!r}" for intent, texts in examples.items()]
    return "\n".join(
        ["You sort the questions of a bank's customers. Answer with one of these intents, and nothing else:", *lines]
    )


def write_project(project: Project, data: Path, arm: str, seed: int) -> Config:
    """Prompts, labels and distil.yaml of one student."""
    by_intent: dict[tuple[str, str], list[str]] = defaultdict(list)
    questions = {split: read(data / f"banking_{split}.csv") for split in ("train", "test")}
    for split, rows in questions.items():
        for text, intent in rows.items():
            if split == "test" or text not in questions["test"]:
                by_intent[split, intent].append(text)
    intents = sorted({intent for _, intent in by_intent})[:INTENTS]
    examples = {intent: by_intent["train", intent][TRAIN_EACH:] for intent in intents}
    write_questions(
        project,
        [
            (text, intent, split)
            for split, count in (("train", TRAIN_EACH), ("test", TEST_EACH))
            for intent in intents
            for text in by_intent[split, intent][:count]
        ],
    )
    config = parse_config(
        {
            "prompts": {"path": "prompts.jsonl", "system": rules(examples)},
            "teachers": [{"model": "recorded/labels.jsonl", "sampling": {"max_tokens": 24}}],
            "curate": {"near_duplicates": None, "validation": 0.05, "test": INTENTS * TEST_EACH},
            "student": {"model": "bundled/student", "prompt": ARMS[arm]},
            "train": {"epochs": 12, "learning_rate": 2e-3, "seed": seed, "batch_size": 16},
            "evaluate": {"metrics": ["exact_match"], "ceiling": False, "baseline": False, "latency_prompts": 4},
        },
        "prompt_baking",
    )
    project.config.write_text(write_config(config), encoding="utf-8")
    return config


def outcome(project: Project) -> tuple[list[float], float]:
    """(right or not for each test question in order of its id, mean tokens of a request)."""
    said = {
        p.prompt_id: p.text for p in read_records(project.predictions("student"), Prediction) if p.model == "student"
    }
    examples = sorted(read_examples(project.split("test")), key=lambda e: e.prompt_id)
    right = [float(same_answer(said[e.prompt_id], e.reference or "")) for e in examples]
    tokenizer = load_tokenizer(str(project.model("student")))
    return right, mean(len(render_prompt(tokenizer, e.prompt_messages)) for e in examples)


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    folder = options.dir or Path(tempfile.mkdtemp())
    found: dict[str, list[list[float]]] = defaultdict(list)
    tokens: dict[str, float] = {}
    for seed in range(options.seeds):
        for arm in ARMS:
            project = Project(folder / f"{arm}-{seed}")
            run_missing(project, write_project(project, options.data, arm, seed), name="student")
            right, tokens[arm] = outcome(project)
            found[arm].append(right)
            print(f"seed {seed}, {arm}: {mean(right):.1%} right, {tokens[arm]:.0f} tokens a request", flush=True)
    print("| student.prompt | tokens of a request | right | against `same` |\n|---|---:|---:|---:|")
    for arm in ARMS:
        each = [mean(column) for column in zip(*found[arm], strict=True)]  # over seeds, for each question
        base = [mean(column) for column in zip(*found["same"], strict=True)]
        change = "-"
        if arm != "same":
            d = paired_difference(each, base).estimate
            change = f"{100 * d.mean:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f}) points"
        print(f"| {arm} | {tokens[arm]:.0f} | {mean(each):.1%} | {change} |")


if __name__ == "__main__":
    main()
