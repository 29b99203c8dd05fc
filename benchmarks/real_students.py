"""Real students with known quality, through the commands that a user types: alpaca_eval, gsm8k, and near-copies that are wrong.

    python benchmarks/real_students.py --data PATH/TO/data [--dir FOLDER] [--only alpaca gsm8k copies] [--limit N] [--set K=V]

The data is not part of Distil. alpaca_eval/*.jsonl: 805 prompts with the answers of five models ({"prompt", "output"},
github.com/tatsu-lab/alpaca_eval, CC BY-NC 4.0). gsm8k/example_model_solutions.jsonl: 1,319 problems with four models' solutions
and whether each is right (github.com/openai/grade-school-math, MIT). The near-copies are made here: a teacher's answers with
every number changed, every yes and no reversed, or every unit swapped. Nothing is trained: `distil evaluate --answers` does all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import distil

DEFAULT_DATA = Path(os.environ.get("DISTIL_DATA", Path(__file__).parents[2] / "shared" / "data"))
ALPACA_STUDENTS = ("alpaca-7b", "vicuna-7b-v1.3", "text_davinci_003", "claude-2")
SOLUTIONS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
COPIES = 220
DRUGS = ("ibuprofen", "paracetamol", "amoxicillin", "cetirizine", "omeprazole", "metformin", "loratadine", "naproxen")
PEOPLE = ("an adult", "a child of ten", "a nursing mother", "someone over 70", "a diabetic", "a patient with asthma")
MEALS = ("before breakfast", "after lunch", "with dinner", "before bed", "between meals")
Row = dict[str, Any]


def command(*arguments: str) -> str:
    """Runs one distil command; its stdout. Exits with its message when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "distil", *arguments], stdout=subprocess.PIPE, text=True, check=False, env=os.environ
    )
    if done.returncode:
        raise SystemExit(f"distil {' '.join(arguments)} ended with code {done.returncode}")
    return done.stdout


def write(path: Path, rows: Iterable[Row]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def evaluate(folder: Path, name: str, prompts: Path, teacher: Path, students: dict[str, Path], *more: str) -> list[Row]:
    """init, collect, evaluate: the summaries."""
    project = folder / name
    if not (project / "distil.yaml").exists():
        command("init", str(project), "--teacher", f"recorded/{teacher}", "--prompts", str(prompts))
        command("collect", "--project", str(project))
    sources = [word for student, path in students.items() for word in ("--answers", str(path), "--as", student)]
    print(f"{name}: distil evaluate {' '.join(sources)} {' '.join(more)}", file=sys.stderr)
    found = json.loads(command("evaluate", "--project", str(project), *sources, *more, "--json"))
    return found if isinstance(found, list) else [found]


def alpaca(folder: Path, data: Path, more: list[str]) -> list[Row]:
    """gpt4 as the teacher of four models. It was asked once, so there is no ceiling."""
    files = {student: data / "alpaca_eval" / f"{student}.jsonl" for student in ALPACA_STUDENTS}
    teacher = data / "alpaca_eval" / "gpt4.jsonl"
    return evaluate(folder, "alpaca", teacher, teacher, files, *more)


def gsm8k(folder: Path, data: Path, more: list[str]) -> list[Row]:
    """The solutions of two sizes of a model, each fine-tuned alone and with a verifier, against the right numbers."""
    lines = (data / "gsm8k" / "example_model_solutions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    right = {name: sum(row[name]["is_correct"] for row in rows) / len(rows) for name in SOLUTIONS}
    print("right, says the file: " + ", ".join(f"{name} {share:.2%}" for name, share in right.items()), file=sys.stderr)
    prompts = write(
        folder / "gsm8k.jsonl",
        ({"prompt": row["question"], "reference": row["ground_truth"].rpartition("A: ")[2]} for row in rows),
    )
    files = {
        name: write(
            folder / f"{name}.jsonl", ({"prompt": row["question"], "output": row[name]["solution"]} for row in rows)
        )
        for name in SOLUTIONS
    }
    return evaluate(folder, "gsm8k", prompts, files["175b_verification"], files, *more)


def copies(folder: Path, data: Path, more: list[str]) -> list[Row]:
    """Answers that differ from the teacher's in a few decisive characters."""
    draw = random.Random(0)
    cases = []
    for _ in range(COPIES):
        drug, person, meal = draw.choice(DRUGS), draw.choice(PEOPLE), draw.choice(MEALS)
        cases.append(
            {
                "drug": drug, "person": person, "meal": meal, "safe": draw.random() < 0.5, "tablets": draw.randint(2, 9),
                "amount": draw.randint(100, 999), "hours": draw.randint(4, 12),
            }
        )  # fmt: skip

    def a_day(case: Row) -> int:
        return int(case["tablets"] * 24 // case["hours"])

    def asked(case: Row) -> str:
        return (
            f"Is it safe for {case['person']} to take {case['tablets']} tablets of {case['drug']}, {case['amount']} mg each, "
            f"every {case['hours']} hours {case['meal']}?"
        )

    def told(case: Row, unit: str = "mg") -> str:
        word, verb = ("Yes", "is") if case["safe"] else ("No", "is not")
        return (
            f"{word}, it {verb} safe for {case['person']} to take {case['drug']} {case['meal']}. The daily amount comes to "
            f"{a_day(case)} tablets or {a_day(case) * case['amount']} {unit}."
        )

    def again(case: Row) -> str:
        word, verb = ("Yes", "can") if case["safe"] else ("No", "cannot")
        return (
            f"{word}, {case['person']} {verb} take {case['drug']} {case['meal']}. That makes "
            f"{a_day(case)} tablets a day, which is {a_day(case) * case['amount']} mg."
        )

    def faithful(case: Row) -> str:
        word = "Yes, that is safe" if case["safe"] else "No, that is not safe"
        return (
            f"{word} for {case['person']} with {case['drug']} {case['meal']}: the total for a day is {a_day(case)} tablets, "
            f"so {a_day(case) * case['amount']} mg."
        )

    changes: dict[str, Callable[[Row], str]] = {
        "faithful": faithful,
        "numbers": lambda case: told(case | {"tablets": case["tablets"] + 3, "amount": case["amount"] + 111}),
        "reversed": lambda case: told(case | {"safe": not case["safe"]}),
        "units": lambda case: told(case, "g"),
    }
    prompts = write(folder / "copies.jsonl", ({"prompt": asked(case)} for case in cases))
    teacher = write(
        folder / "doctor.jsonl",
        ({"prompt": asked(case), "output": say(case)} for case in cases for say in (told, again)),
    )
    files = {
        name: write(folder / f"{name}.jsonl", ({"prompt": asked(case), "output": say(case)} for case in cases))
        for name, say in changes.items()
    }
    return evaluate(folder, "copies", prompts, teacher, files, *more)


SETS: dict[str, Callable[[Path, Path, list[str]], list[Row]]] = {"alpaca": alpaca, "gsm8k": gsm8k, "copies": copies}


def show(name: str, summaries: list[Row]) -> None:
    """A table in Markdown: the deciding metric of each student with its interval, and the verdict."""
    print(f"\n### {name}, {summaries[0]['test_prompts']:,} test prompts, Distil {distil.__version__}\n")
    print("| student | deciding metric | student | compared with | verdict | why |\n|---|---|---:|---:|---|---|")
    for summary in summaries:
        metric = summary["primary"]
        label = summary["metrics"].get(metric, {"label": metric})["label"]
        own = summary["models"][summary["name"]].get(metric)
        deciding = summary["deciding"]
        other = f"{deciding['versus']} {interval(deciding['other'])}" if deciding else "-"
        verdict = summary["verdict"]
        print(
            f"| {summary['name']} | {label} | {interval(own)} | {other} | {verdict['decision']} | {verdict['sentence']} |"
        )


def interval(value: Row | None) -> str:
    """`0.390 (0.364 to 0.417)`."""
    if value is None:
        return "-"
    bounds = "" if value["low"] is None else f" ({value['low']:.4f} to {value['high']:.4f})"
    return f"{value['mean']:.4f}{bounds}"


def main() -> None:
    """Runs the chosen sets and prints their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with alpaca_eval/ and gsm8k/")
    parser.add_argument("--dir", type=Path, help="where the projects go (default: a new temporary folder)")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--limit", type=int, help="only the first N test prompts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for distil evaluate")
    options = parser.parse_args()
    folder = options.dir or Path(tempfile.mkdtemp(prefix="real-students-"))
    folder.mkdir(parents=True, exist_ok=True)
    limit = [f"evaluate.limit={options.limit}"] if options.limit else []
    more = [word for setting in (*limit, *options.set) for word in ("--set", setting)]
    for name in options.only:
        show(name, SETS[name](folder.resolve(), options.data.resolve(), more))


if __name__ == "__main__":
    main()
