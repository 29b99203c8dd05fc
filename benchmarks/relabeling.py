"""A noisy log, relabeled by a committee: how right are the labels that are kept, and what does a student gain?

    python benchmarks/relabeling.py --dir FOLDER [--data PATH/TO/shared/data] [--seeds 3] [--labels-only | --linear]

First the labels, without training. Real: the solutions of four recorded models to gsm8k's problems, and the texts of four to
60 prompts of alpaca_eval. Simulated: questions of banking77 whose log has 20% wrong labels, and teachers that are right on 85%
to 90% of them. Teachers are simulated, students are not: a teacher errs where a normal variable of its own and one that all
teachers share (the question's difficulty; half of the variance) exceed its threshold, and on half of its errors it names the
intent that all of them confuse with the right one, else any other.

Then students of the log, of one of the teachers, of the committee of three and of the right labels, at equal optimizer steps:
8 intents, 30 questions each, measured on 160 test questions with right labels, unless said otherwise. A seed draws other noise
and other teachers. Resumes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory

import numpy as np
from arms import compare, evaluated, parser
from banking77 import DEFAULT_DATA, SYSTEM, read

from distil.config import Config, parse_config
from distil.config_file import write_config
from distil.curate import stage as curate
from distil.curate.config import CurateConfig
from distil.curate.label_vectors import hashed
from distil.final_answer import final_answer, same_final
from distil.ids import content_id
from distil.pipeline import run_stage
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records

NOISE, ACCURACY, SHARED, CONFUSED = 0.2, (0.88, 0.85, 0.90, 0.86, 0.87), 0.5, 0.5
EPOCHS, BATCH = 6, 16
GSM8K = ("175b_verification", "6b_verification", "175b_finetuning", "6b_finetuning")
LINEAR, RIDGE = (1_500, 1_000), 0.3
ALPACA = ("gpt4", "claude-2", "text_davinci_003", "vicuna-7b-v1.3")
PLAIN = {"near_duplicates": None, "validation": 0, "test": 0}
ARMS = ("the log", "one teacher", "committee, 2 of 3", "right labels")


def write_project(
    project: Project,
    prompts: Iterable[Mapping[str, object]],
    teachers: Mapping[str, Mapping[str, str]],
    section: Mapping[str, object],
    train: Mapping[str, object] | None = None,
    student: Mapping[str, object] | None = None,
) -> Config:
    """Prompts, recorded teachers (name -> question -> answer) and distil.yaml."""
    project.root.mkdir(parents=True, exist_ok=True)
    _write(project.root / "prompts.jsonl", prompts)
    for name, answers in teachers.items():
        _write(project.root / f"{name}.jsonl", ({"prompt": asked, "output": said} for asked, said in answers.items()))
    config = parse_config(
        {
            "prompts": {"path": "prompts.jsonl", "system": SYSTEM if train else None},
            "teachers": [{"model": f"recorded/{name}.jsonl"} for name in teachers],
            "curate": {**PLAIN, **section},
            "student": dict(student or {"model": "bundled/student"}),
            "train": {"batch_size": BATCH, **(train or {})},
            "evaluate": {"metrics": ["exact_match"], "ceiling": False, "baseline": False, "latency_prompts": 0},
        },
        "relabeling",
    )
    project.config.write_text(write_config(config), encoding="utf-8")
    return config


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def kept_right(project: Project, truth: Mapping[str, str]) -> tuple[int, int]:
    """(training rows, those with the right result). truth: question -> a text that ends in it."""
    rows = list(read_examples(project.split("train")))
    right = 0
    for row in rows:
        wanted = truth[row.prompt_messages[-1].text]
        kind = "number" if wanted.startswith("A: ") else "text"
        right += same_final(final_answer(row.answer, None, kind), final_answer(wanted, None, kind))
    return len(rows), right


def with_answers(folder: Path, prompts: Mapping[str, str | None], teachers: Mapping[str, Mapping[str, str]]) -> Project:
    """A project as `distil collect` leaves it, written at once. prompts: question -> what the log says; teachers as above."""
    project = Project(folder)
    asked = [Prompt.make([Message(role="user", content=text)], reference=log) for text, log in prompts.items()]
    write_records(project.prompts, asked)
    answers = [
        Answer(
            id=content_id("answer", [prompt.id, name]),
            prompt_id=prompt.id,
            teacher=name,
            sampling=Sampling(),
            text=said[prompt.messages[-1].text],
            finish_reason="stop",
            call_id="recorded",
        )
        for prompt in asked
        for name, said in teachers.items()
    ]
    write_records(project.answers, answers)
    return project


def labels_table(
    name: str, truth: Mapping[str, str], log: Mapping[str, str] | None, teachers: Mapping[str, Mapping[str, str]]
) -> None:
    """One row of the table for the log, each way to choose, and each number of answers that must agree."""
    if log is not None:
        right = sum(log[asked] == truth[asked] for asked in truth)
        print(f"| {name} | the log | {len(truth):,} (100%) | {right / len(truth):.1%} | |")
    ways: list[dict[str, object]] = [{"choose": "first"}, {"choose": "majority"}]
    ways += [{"choose": "committee", "agree": least} for least in range(2, len(teachers) + 1)]
    for way in ways:
        with TemporaryDirectory() as folder:
            project = with_answers(Path(folder), {asked: log[asked] if log else None for asked in truth}, teachers)
            section = {**PLAIN, "filters": [], "references": "unchecked", **way}
            report = curate.run(project, CurateConfig.model_validate(section), teachers=list(teachers)).committee
            rows, right = kept_right(project, truth)
        said = ""
        if report is not None and report.low is not None and report.high is not None:
            said = f"{report.contradicted / report.compared:.1%} ({report.low:.1%} to {report.high:.1%})"
        shown = f"{way['choose']}, {way['agree']} of {len(teachers)}" if "agree" in way else str(way["choose"])
        print(f"| {name} | {shown} | {rows:,} ({rows / len(truth):.0%}) | {right / rows:.1%} | {said} |", flush=True)


def gsm8k(data: Path) -> None:
    """The recorded solutions."""
    lines = (data / "gsm8k" / "example_model_solutions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["question"]: row for row in map(json.loads, lines)}
    truth = {asked: row["ground_truth"].splitlines()[-1] for asked, row in rows.items()}
    teachers = {name: {asked: row[name]["solution"] for asked, row in rows.items()} for name in GSM8K}
    labels_table("gsm8k, 4 recorded models", truth, None, teachers)


def alpaca(data: Path) -> None:
    """Open texts: how many prompts are kept; which answers are right is not known."""
    recorded = {
        name: {
            row["prompt"]: row["output"]
            for row in map(
                json.loads, (data / "alpaca_eval" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
            )
        }
        for name in ALPACA
    }
    for least in (2, 3, 4):
        with TemporaryDirectory() as folder:
            project = with_answers(Path(folder), dict.fromkeys(list(recorded[ALPACA[0]])[:60]), recorded)
            section = {**PLAIN, "filters": [], "choose": "committee", "agree": least}
            report = curate.run(project, CurateConfig.model_validate(section), teachers=ALPACA).committee
        assert report is not None
        share = report.agreed / report.prompts
        print(
            f"| alpaca_eval, 4 recorded models | committee, {least} of 4 | {report.agreed:,} ({share:.0%}) | - | |",
            flush=True,
        )


def simulated(truth: Mapping[str, str], seed: int, count: int) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """(log, teachers) of banking77's questions: planted noise, and errors that the teachers share in part."""
    draw = random.Random(seed)
    labels = sorted(set(truth.values()))
    confused = dict(zip(labels, labels[1:] + labels[:1], strict=True))
    log = {asked: _other(label, labels, draw) if draw.random() < NOISE else label for asked, label in truth.items()}
    difficulty = {asked: draw.gauss(0, 1) for asked in truth}
    teachers = {}
    for number, accuracy in enumerate(ACCURACY[:count]):
        threshold = NormalDist().inv_cdf(accuracy)
        teachers[f"teacher{number}"] = {
            asked: label
            if SHARED**0.5 * difficulty[asked] + (1 - SHARED) ** 0.5 * draw.gauss(0, 1) <= threshold
            else confused[label]
            if draw.random() < CONFUSED
            else _other(label, labels, draw)
            for asked, label in truth.items()
        }
    return log, teachers


def _other(label: str, labels: Sequence[str], draw: random.Random) -> str:
    return draw.choice([each for each in labels if each != label])


def questions(data: Path, intents: int, train_each: int, test_each: int) -> tuple[dict[str, str], dict[str, str]]:
    """(training, test) questions with their right labels, of the first `intents`."""
    every = {split: read(data / "banking77" / f"banking_{split}.csv") for split in ("train", "test")}
    chosen = sorted(set(every["train"].values()))[:intents]
    found = []
    for split, each in (("train", train_each), ("test", test_each)):
        by_label: dict[str, list[str]] = defaultdict(list)
        for asked, label in every[split].items():
            if split == "test" or asked not in every["test"]:
                by_label[label].append(asked)
        found.append({asked: label for label in chosen for asked in by_label[label][:each]})
    return found[0], found[1]


def student(options: argparse.Namespace, arm: str, seed: int) -> list[float]:
    """Trains one student; scores of the test questions against the right labels."""
    train, test = questions(options.data, options.intents, options.train_each, options.test_each)
    log, teachers = simulated(train, seed, 3)
    given = {
        "the log": {"log": log},
        "one teacher": {"teacher0": teachers["teacher0"]},
        "right labels": {"truth": train},
    }
    sources = {name: answers | test for name, answers in given.get(arm, teachers).items()}
    rows = [{"prompt": asked, "reference": log[asked], "split": "train"} for asked in train]
    rows += [{"prompt": asked, "reference": label, "split": "test"} for asked, label in test.items()]
    way = {"choose": "committee" if "committee" in arm else "first", "references": "right"}
    project = Project(options.dir / f"{arm.replace(',', '').replace(' ', '-')}-{seed}")
    steps = {"epochs": EPOCHS, "seed": seed, "learning_rate": options.rate}
    of = {"model": options.student, "adapter": options.adapter}
    if not project.split("train").exists():
        config = write_project(project, rows, sources, way, steps, of)
        for stage in ("prompts", "collect", "curate"):
            run_stage(project, config, stage, None)
    kept = sum(1 for _ in read_examples(project.split("train")))
    steps["epochs"] = EPOCHS * len(train) / kept
    return evaluated(project, write_project(project, rows, sources, way, steps, of))


def linear(data: Path, seeds: range) -> None:
    """As `student`, for all 77 intents and with a model that costs nothing: ridge regression on TF-IDF of characters."""
    known = {split: read(data / "banking77" / f"banking_{split}.csv") for split in ("train", "test")}
    free = sorted(item for item in known["train"].items() if item[0] not in known["test"])
    train = dict(random.Random(0).sample(free, LINEAR[0]))
    test = random.Random(0).sample(sorted(known["test"].items()), LINEAR[1])
    labels = sorted(set(known["train"].values()))
    texts = [*train, *(asked for asked, _ in test)]
    vectors = dict(zip(texts, hashed(texts), strict=True))

    def measure(arm: str, seed: int) -> list[float]:
        log, teachers = simulated(train, seed, 3)
        taught = {"the log": log, "one teacher": teachers["teacher0"], "right labels": train}.get(arm)
        if taught is None:
            with TemporaryDirectory() as folder:
                project = with_answers(Path(folder), dict(log), teachers)
                section = {**PLAIN, "filters": [], "choose": "committee", "agree": int(arm[len("committee, ")])}
                curate.run(project, CurateConfig.model_validate(section), teachers=list(teachers))
                rows = read_examples(project.split("train"))
                taught = {row.prompt_messages[-1].text: row.answer for row in rows}
        inputs = np.stack([vectors[asked] for asked in taught]).astype(np.float64)
        wanted = np.array([[label == each for each in labels] for label in taught.values()], dtype=np.float64)
        weights = inputs.T @ np.linalg.solve(inputs @ inputs.T + RIDGE * np.eye(len(inputs)), wanted)
        said = np.stack([vectors[asked] for asked, _ in test]) @ weights
        return [float(labels[best] == label) for best, (_, label) in zip(said.argmax(axis=1), test, strict=True)]

    compare([*ARMS[:3], "committee, 3 of 3", ARMS[3]], measure, seeds=seeds, base="the log")


def main() -> None:
    """Prints the tables; trains what is missing."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--data", type=Path, default=DEFAULT_DATA.parent)
    options_parser.add_argument("--labels-only", action="store_true")
    options_parser.add_argument("--linear", action="store_true", help="A linear student on all intents, in a minute.")
    options_parser.add_argument("--intents", type=int, default=8)
    options_parser.add_argument("--train-each", type=int, default=30)
    options_parser.add_argument("--test-each", type=int, default=20)
    options_parser.add_argument("--student", default="bundled/student")
    options_parser.add_argument("--adapter", choices=["lora"])
    options_parser.add_argument("--rate", type=float, default=2e-3)
    options = options_parser.parse_args()
    if options.linear:
        linear(options.data, options.seeds)
        return
    if options.labels_only:
        print("| task | way | rows kept | of them right | contradicts the log |\n|---|---|---:|---:|---:|")
        gsm8k(options.data)
        alpaca(options.data)
        truth = read(options.data / "banking77" / "banking_train.csv")
        truth = dict(random.Random(0).sample(sorted(truth.items()), 2000))
        for count in (3, 5):
            log, teachers = simulated(truth, 0, count)
            labels_table(f"banking77, {count} simulated teachers", truth, log, teachers)
        return
    compare(ARMS, lambda arm, seed: student(options, arm, seed), seeds=options.seeds, base="the log")


if __name__ == "__main__":
    main()
