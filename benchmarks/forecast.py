"""Forecast against outcome: what `distil forecast` says of a log, beside what students that were trained on it reached.

    python benchmarks/forecast.py --data DATA [--demo FOLDER] [--only NAME ...]

DATA has banking77, gsm8k and alpaca_eval; FOLDER is a finished `distil demo`, whose training answers are the log and whose
evaluated student is the outcome. The other outcomes are those of docs/results*.md, which benchmarks/banking77.py,
benchmarks/learning_rates.py and benchmarks/real.py measure. Nothing is trained here. Prints Markdown, with CPU seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import distil
from distil.forecast.result import Between, Replay
from distil.records import Prediction
from distil.runs.jsonl import read_examples, read_records
from distil.text import same_answer

DEFAULT_DATA = Path(os.environ.get("DISTIL_DATA", Path(__file__).parents[2] / "shared" / "data"))
TOLD = "Name the intent of the customer's question."
MODEL = "gpt-4o"
INTENTS, EACH = 8, 20  # of benchmarks/real_tasks.py


class Case(NamedTuple):
    """A log, and what is known of its students."""

    name: str
    turns: list[list[dict[str, str]]]
    outcome: str
    reached: float | None
    """Share of a student's answers that are as the teacher's; None: no student answers like the teacher, or it is unknown."""


def conversation(asked: str, answer: str, told: str | None = None) -> list[dict[str, str]]:
    """The turns of one request, with its answer."""
    system = [{"role": "system", "content": told}] if told else []
    return [*system, {"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def banking(data: Path) -> list[list[dict[str, str]]]:
    """All training questions of banking77."""
    with (data / "banking77" / "banking_train.csv").open(encoding="utf-8", newline="") as file:
        return [conversation(row["text"], row["category"].replace("_", " "), TOLD) for row in csv.DictReader(file)]


def eight(data: Path) -> list[list[dict[str, str]]]:
    """The 160 training questions of 8 intents that SmolLM2-135M was tuned on (the same draw as real_tasks.py)."""
    by_intent: dict[tuple[str, str], list[str]] = defaultdict(list)
    for split in ("train", "test"):
        with (data / "banking77" / f"banking_{split}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                by_intent[split, row["category"]].append(row["text"].strip())
    draw, found = random.Random(0), []
    for intent in sorted({intent for _, intent in by_intent})[:INTENTS]:
        found += [
            conversation(t, intent.replace("_", " "), TOLD) for t in draw.sample(by_intent["train", intent], EACH)
        ]
        draw.sample(by_intent["test", intent], 10)
    return found


def jsonl(path: Path) -> list[dict[str, str]]:
    """The objects of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cases(data: Path, demo: Path | None) -> Iterable[Case]:
    """Every log with its outcome."""
    if demo is not None:
        examples = [
            e for split in ("train", "validation") for e in read_examples(demo / "work" / "curate" / f"{split}.jsonl")
        ]
        turns = [[{"role": m.role, "content": m.text} for m in example.messages] for example in examples]
        share, count = of_demo(demo)
        yield Case(
            "triage (demo)", turns, f"1.05M student: {share:.1%} of {count} whole answers as the teacher's", share
        )
    yield Case("banking77", banking(data), "1.05M student: 84.9% of 3,079 (results.md)", 0.849)
    few = random.Random(0).sample(banking(data), 2_000)
    yield Case("banking77, 2,000 of it", few, "1.05M student, 135 steps: 26.5% of 200 (results_decide.md)", 0.265)
    yield Case("8 intents of it", eight(data), "SmolLM2-135M: 79 of 80 (results_real.md)", 79 / 80)
    problems = jsonl(data / "gsm8k" / "test.jsonl")
    told = "students of 6B keep 38% to 69% of the teacher's quality (results_real.md)"
    yield Case("gsm8k, solutions", [conversation(r["question"], r["answer"]) for r in problems], told, None)
    short = [conversation(r["question"], r["answer"].rpartition("####")[2].strip()) for r in problems]
    yield Case("gsm8k, numbers alone", short, told, None)
    answers = jsonl(data / "alpaca_eval" / "gpt4.jsonl")
    turns = [conversation(r["prompt"], r["output"]) for r in answers]
    yield Case("alpaca_eval, GPT-4", turns, "four students NOT DECIDED without a judge (results_real.md)", None)


def of_demo(demo: Path) -> tuple[float, int]:
    """(share, number) of test prompts that the student of the demo answers exactly like the teacher."""
    tested = [
        e for e in read_examples(demo / "work/curate/test.jsonl") if e.fields.get("wording") != "unseen"
    ]  # like training
    taught = {example.prompt_id: example.messages[-1].text for example in tested}
    predictions = read_records(demo / "work/evaluate/sft/predictions.jsonl", Prediction)
    said = [p for p in predictions if p.prompt_id in taught and p.model == "sft"]
    return sum(same_answer(p.text, taught[p.prompt_id]) for p in said) / len(said), len(said)


def shown(found: Between | None) -> str:
    """A share with its interval."""
    return "?" if found is None else f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def row(case: Case, replay: Replay, seconds: float) -> str:
    """One line of the table."""
    largest = replay.slices[0]
    inside = "-"
    if case.reached is not None and largest.quality is not None:
        inside = "yes" if largest.quality.low <= case.reached <= largest.quality.high else "**no**"
    cells = (
        case.name, f"{len(case.turns):,}", largest.answers, largest.distillable, shown(largest.quality),
        shown(largest.answered), case.outcome, inside, f"{seconds:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Parses, forecasts, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    print(
        "| log | requests | answers | distillable | forecast: right if all | answered at 95% | outcome | inside | CPU s |"
    )
    print("|---|---:|---|---|---:|---:|---|---|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(args.data, args.demo):
            if args.only and not any(case.name.startswith(name) for name in args.only):
                continue
            path = Path(folder) / "log.jsonl"
            lines = [json.dumps({"model": MODEL, "messages": turns}) for turns in case.turns]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            replay = distil.forecast(path)
            print(row(case, replay, resource.getrusage(resource.RUSAGE_SELF).ru_utime - before), flush=True)
            print(f"<!-- {replay.slices[0].why} -->", flush=True)


if __name__ == "__main__":
    main()
