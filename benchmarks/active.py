"""Does asking where the student is unsure save answers? `distil collect --active` against random prompts at equal answers.

    python benchmarks/active.py --dir active --task banking [--data PATH/TO/banking77]
    python benchmarks/active.py --dir active --task triage

banking: questions of 20 intents of banking77, as unevenly frequent as in a log (the rarest is a tenth of the most frequent), with
their labels as a recorded teacher, and a student of 1M parameters. triage: messages of the bundled task, answered by the bundled
teacher (once, then recorded). Both arms share the random first round; then one is asked what `--active` chose, the other one more
random prompts. The test questions are equally frequent as the prompts. Resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from arms import Table, difference, parser, scores
from banking77 import DEFAULT_DATA, read, write_questions
from banking77 import SYSTEM as BANKING
from methods import ensure, prepare

from distil.active.pool import shuffled
from distil.active.run import run
from distil.bundled.triage import SYSTEM as TRIAGE
from distil.config import Config, load_config, parse_config
from distil.config_file import write_config
from distil.ids import content_id
from distil.parts import config_of_parts, student_of_part
from distil.pipeline import run_stage
from distil.records import Answer, Example, Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.active import read_chosen, read_rounds

Rows = dict[str, list[tuple[str, str]]]
"""train (the pool), validation, test -> questions with the teacher's answers."""
INTENTS, RAREST = 20, 0.1
VALIDATION, TEST = 100, 300
DRAWS = 2_000


def banking(data: Path) -> Rows:
    """The same unevenness in all three; intents in the order of their names, which says nothing about them."""
    train, test = read(data / "banking_train.csv"), read(data / "banking_test.csv")
    intents = sorted(set(train.values()))[:: max(1, 77 // INTENTS)][:INTENTS]
    share = dict(zip(intents, np.geomspace(1, RAREST, INTENTS), strict=True))

    def some(rows: dict[str, str]) -> list[tuple[str, str]]:
        of_intent = {intent: [(text, label) for text, label in rows.items() if label == intent] for intent in intents}
        return [row for intent, found in of_intent.items() for row in found[: round(share[intent] * len(found))]]

    pool, order = [row for row in some(train) if row[0] not in test], np.random.default_rng(0)
    mixed = [pool[row] for row in order.permutation(len(pool))]
    asked = [row for at, row in enumerate(some(test)) if at % 3]  # as uneven, in less time
    return {"validation": mixed[:VALIDATION], "train": mixed[VALIDATION:], "test": asked}


def triage(options: argparse.Namespace) -> Rows:
    """Messages with the bundled teacher's answers, which are asked once."""
    project = Project(options.dir / "triage-answers")
    config = prepare(project, options.pool + VALIDATION + TEST, 0)
    for stage in ("prompts", "collect"):
        ensure(project, config, stage)
    answers = {answer.prompt_id: answer.text for answer in read_records(project.answers, Answer)}
    rows = [
        (prompt.messages[-1].text, answers[prompt.id])
        for prompt in read_records(project.prompts, Prompt)
        if prompt.id in answers
    ]
    return {"validation": rows[:VALIDATION], "train": rows[VALIDATION:-TEST], "test": rows[-TEST:]}


class Bench:
    """One task: its rows, and a project for each seed, arm and size."""

    def __init__(self, root: Path, rows: Rows, system: str, metric: str, options: argparse.Namespace) -> None:
        self.root, self.rows, self.system, self.metric, self.options = root, rows, system, metric, options
        self.sizes = [options.first * number for number in range(1, options.rounds + 1)]

    def project(self, name: str, seed: int, marked: dict[str, list[tuple[str, str]]]) -> tuple[Project, Config]:
        """A project with these questions, by the side that they are on."""
        project = Project(self.root / f"seed-{seed}" / name)
        write_questions(project, [(text, answer, side) for side, found in marked.items() for text, answer in found])
        config = parse_config(
            {
                "task": "active",
                "prompts": {"path": "prompts.jsonl", "system": self.system},
                "teachers": [{"model": "recorded/labels.jsonl", "sampling": {"max_tokens": 80}}],
                "curate": {"test": 0, "validation": 0.0, "seed": seed},
                "student": {"model": "bundled/student"},
                "train": {"epochs": self.options.epochs, "batch_size": 16, "seed": seed, "validation_examples": 0},
                "evaluate": {
                    "metrics": [self.metric],
                    "ceiling": False,
                    "baseline": False,
                    "latency_prompts": 0,
                },
            },
            "active",
        )
        project.config.write_text(write_config(config), encoding="utf-8")
        if not project.prompts.exists():
            run_stage(project, config, "prompts", None)
        return project, config

    def chosen(self, seed: int) -> dict[int, list[str]]:
        """Round -> ids of the training prompts that `--active` chose; the table of its rounds is printed."""
        sides = {"train": self.rows["train"], "validation": self.rows["validation"]}
        project, config = self.project("active", seed, sides)
        run(project, config, rounds=self.options.rounds, limit=VALIDATION + self.sizes[-1])
        for one in read_rounds(project.active_rounds):
            print(
                f"  {one.how} {one.asked} score {one.score} ranking {one.ranking} {one.asked_uncertainty}", flush=True
            )
        held = {prompt.id for prompt in read_records(project.prompts, Prompt) if prompt.split == "validation"}
        lines = read_chosen(project.active_chosen, self.options.rounds)
        rounds = range(1, self.options.rounds + 1)
        return {r: [line.prompt_id for line in lines if line.round == r and line.prompt_id not in held] for r in rounds}

    def measure(self, arm: str, size: int, seed: int, chosen: dict[int, list[str]]) -> list[float]:
        """Score of each test question of the student of one arm and size; the first round is the same in both arms."""
        active = Project(self.root / f"seed-{seed}" / "active")
        prompts = {prompt.id: prompt for prompt in read_records(active.prompts, Prompt)}
        if arm == "random":
            pool = [prompt for prompt in prompts.values() if prompt.split != "validation"]
            ids = [prompt.id for prompt in shuffled(pool, seed)][:size]
        else:
            ids = [key for number, found in chosen.items() if number * self.options.first <= size for key in found]
        system = prompts[ids[0]].messages[:-1]
        answers = dict(self.rows["train"])
        rows = [_example([*prompts[key].messages], answers[prompts[key].messages[-1].text], "train") for key in ids]
        tests = [_example([*system, Message(role="user", content=q)], a, "test") for q, a in self.rows["test"]]
        part = Project(self.root / f"seed-{seed}" / (f"{arm}-{size}" if size > self.options.first else f"both-{size}"))
        config = config_of_parts(active, load_config(active))
        student_of_part(part, config, "student", rows, tests)
        return scores(part, "student", self.metric)


def _example(messages: list[Message], answer: str, side: Literal["train", "test"]) -> Example:
    turns = [*messages, Message(role="assistant", content=answer)]
    key = content_id("prompt", [turn.to_wire() for turn in messages])
    return Example(id=key, prompt_id=key, answer_id=key, messages=turns, reference=answer, split=side)


def saved(tables: dict[str, list[Table]], sizes: Sequence[int]) -> tuple[float, float, float]:
    """Share of the answers that are saved at equal quality, with its 95% interval by a bootstrap over seeds and questions.

    score = a + b log(answers) + gain for the active arm, by least squares: 1 - exp(-gain / b) of the answers are saved.
    """
    x = np.array([[1.0, np.log(size), float(arm == "active")] for arm in tables for size in sizes])
    stacked = np.array([table for arm in tables for table in tables[arm]])  # (arms x sizes, seeds, questions)

    def fit(values: np.ndarray) -> float:
        _, slope, gain = np.linalg.lstsq(x, values, rcond=None)[0]
        return float(1 - np.exp(-gain / max(slope, 1e-9)))

    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        seeds, questions = (rng.integers(n, size=n) for n in stacked.shape[1:])
        drawn.append(fit(stacked[:, seeds][:, :, questions].mean(axis=(1, 2))))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return fit(stacked.mean(axis=(1, 2))), float(low), float(high)


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--task", choices=["banking", "triage"], default="banking")
    options_of.add_argument("--data", type=Path, default=DEFAULT_DATA)
    options_of.add_argument("--first", type=int, default=100, help="Training answers of each round.")
    options_of.add_argument("--rounds", type=int, default=3)
    options_of.add_argument("--pool", type=int, default=1500, help="triage: prompts to choose from.")
    options_of.add_argument("--epochs", type=float, default=6)
    options = options_of.parse_args()
    if options.task == "banking":
        bench = Bench(options.dir / "banking", banking(options.data), BANKING, "accuracy", options)
    else:
        bench = Bench(options.dir / "triage", triage(options), TRIAGE, "field_accuracy", options)
    found: dict[str, list[list[list[float]]]] = {arm: [[] for _ in bench.sizes] for arm in ("random", "active")}
    for seed in options.seeds:
        chosen = bench.chosen(seed)
        for at, size in enumerate(bench.sizes):
            for arm in found:
                found[arm][at].append(bench.measure(arm, size, seed, chosen))
                print(f"seed {seed}, {size} answers, {arm}: {np.mean(found[arm][at][-1]):.1%}", flush=True)
    tables = {arm: [np.array(rows) for rows in of_size] for arm, of_size in found.items()}
    print("\n| answers | random | active | difference |\n|---:|---:|---:|---:|")
    for at, size in enumerate(bench.sizes):
        random, active = tables["random"][at], tables["active"][at]
        print(f"| {size} | {random.mean():.1%} | {active.mean():.1%} | {difference(active, random).points()} |")
    share, low, high = saved(tables, bench.sizes)
    print(
        f"\nAnswers saved at equal quality: {share:.0%} ({low:.0%} to {high:.0%}); {len(options.seeds)} seeds, ", end=""
    )
    print(f"pool of {len(bench.rows['train']):,}, {len(bench.rows['test']):,} test questions ({bench.metric}).")


if __name__ == "__main__":
    main()
