"""The projects of real.py: banking77's intents and GPT-4's answers, from the data's files to evaluated and exported students."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from real_bench import Bench, Json, command, fresh, markdown, settings, write_rows
from real_lab import smollm2
from real_served import ENGINES, serve_by

INTENTS, TRAIN_EACH, TEST_EACH = 8, 20, 10
SYSTEM = "Name the intent of the customer's question."
LONGEST = 300  # characters of a prompt and of its answer: about 60 tokens together
ANSWERS = 90  # of 122 by GPT-4 within that length
STUDENTS = {
    "banking": {
        "lora": settings(student__adapter="lora", train__learning_rate=1e-3, train__epochs=4, train__batch_size=16),
        "full": settings(train__learning_rate=1e-4, train__epochs=2, train__batch_size=16),
    },
    "alpaca": {
        "gpt4": settings(student__adapter="lora", train__learning_rate=5e-4, train__epochs=2, train__batch_size=8)
    },
}
ANSWER_TOKENS = {"banking": 16, "alpaca": 100, "signals": 100}  # at most; the untuned base talks on and on
RISK = 0.2  # of calibrate: some 35 labels can't certify less
PROJECT = {
    "banking": settings(curate__validation=0.25, curate__near_duplicates="null", prompts__system=SYSTEM),
    "alpaca": settings(curate__validation=0.25, curate__test=20),
    "signals": settings(curate__validation=0.2, curate__test=5),
}
MEASURED = settings(evaluate__ceiling="false", evaluate__latency_prompts=4, evaluate__batch_size=16)


def banking(bench: Bench, engines: Sequence[str]) -> None:
    """Intents of bank customers' questions; the labels are the teacher."""
    _students(bench, "banking", banking_rows(bench.data), engines)


def alpaca(bench: Bench, engines: Sequence[str]) -> None:
    """Short answers of GPT-4."""
    _students(bench, "alpaca", alpaca_rows(bench.data), engines)


def banking_rows(data: Path) -> list[Json]:
    """Questions with their intents in words, some for training and some of the file of test questions."""
    by_intent: dict[tuple[str, str], list[str]] = defaultdict(list)
    for split in ("train", "test"):
        with (data / "banking77" / f"banking_{split}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                by_intent[split, row["category"]].append(row["text"].strip())
    draw = random.Random(0)
    rows: list[Json] = []
    for intent in sorted({intent for _, intent in by_intent})[:INTENTS]:
        label = intent.replace("_", " ").lower()
        for split, count in (("train", TRAIN_EACH), ("test", TEST_EACH)):
            for text in draw.sample(by_intent[split, intent], count):
                held_out = {"split": "test"} if split == "test" else {}
                rows.append({"prompt": text, "output": label, "reference": label} | held_out)
    draw.shuffle(rows)
    return rows


def alpaca_rows(data: Path, count: int = ANSWERS) -> list[Json]:
    """Prompts with GPT-4's answers, both short."""
    lines = (data / "alpaca_eval" / "gpt4.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    short = [row for row in rows if max(len(row["prompt"]), len(row["output"])) <= LONGEST]
    return [{"prompt": row["prompt"], "output": row["output"]} for row in short[:count]]


def make_project(bench: Bench, name: str, rows: Sequence[Json]) -> Path:
    """`init`, `collect`, `curate`, with the answers in `rows` as a recorded teacher."""
    project = bench.folder / name

    def make() -> Json:
        fresh(project)
        fields = ("prompt", "reference", "split")
        prompts = [{k: v for k, v in row.items() if k in fields} for row in rows]
        questions = write_rows(bench.folder / f"{name}-prompts.jsonl", prompts)
        answers = [{"prompt": row["prompt"], "output": row["output"]} for row in rows]
        teacher = write_rows(bench.folder / f"{name}-answers.jsonl", answers)
        tokens = ANSWER_TOKENS[name]
        said = [*PROJECT[name], *MEASURED, *settings(serve__risk=RISK, serve__default_max_tokens=tokens)]
        said += settings(teachers__0__sampling__max_tokens=tokens)
        student = str(smollm2(bench.lab))
        asked = ["--teacher", f"recorded/{teacher}", "--student", student, "--prompts", str(questions)]
        command("init", str(project), *asked, *said)
        command("collect", "--project", str(project))
        return command("curate", "--project", str(project))

    bench.step(f"{name}/data", make)
    return project


def _students(bench: Bench, name: str, rows: Sequence[Json], engines: Sequence[str]) -> None:
    project = make_project(bench, name, rows)
    here = ["--project", str(project)]
    for student, words in STUDENTS[name].items():
        key = f"{name}/{student}"
        bench.step(f"{key}/train", lambda s=student, w=words: command("train", "--as", s, *w, *here))
        bench.step(f"{key}/evaluate", lambda s=student: command("evaluate", s, *here))
        folder, gguf = project / f"{student}-folder", project / f"{student}-q8_0.gguf"
        bench.step(f"{key}/folder", lambda s=student, f=folder: command("export", s, "--out", str(fresh(f)), *here))
        whole = ["--to", "gguf", "--dtype", "q8_0"]
        bench.step(
            f"{key}/gguf", lambda s=student, g=gguf, w=whole: command("export", s, *w, "--out", str(fresh(g)), *here)
        )
        if student == next(iter(STUDENTS[name])):
            serve_by(bench, project, student, engines)


def student_table(bench: Bench) -> str:
    """One line per trained student."""
    rows = []
    for name, students in STUDENTS.items():
        for student in students:
            key = f"{name}/{student}"
            if not bench.has(f"{key}/train", f"{key}/evaluate"):
                continue
            trained, summary = bench.result(f"{key}/train"), bench.result(f"{key}/evaluate")
            metric = summary["primary"]
            models = summary["models"]
            seconds, load = (bench.results[f"{key}/train"][k] for k in ("seconds", "load"))
            verdict = summary["verdict"]
            rows.append(
                (
                    f"{name}, {student}", trained["examples"], trained["steps"], f"{trained['validation_loss']:.3f}",
                    summary["test_prompts"], metric, _interval(models["base"].get(metric)),
                    _interval(models[student].get(metric)), verdict["decision"], f"{seconds:.0f} s",
                    f"{load[0]:g} to {load[1]:g}",
                )
            )  # fmt: skip
    columns = "student|examples|steps|validation loss|test prompts|metric|base|student|verdict|training|load"
    return markdown(columns.split("|"), rows) if rows else ""


def engine_table(bench: Bench) -> str:
    """One line per student and engine."""
    rows = []
    for name, students in STUDENTS.items():
        student = next(iter(students))
        for engine in ENGINES:
            key = f"{name}/{student}/{engine}"
            if not bench.has(f"{key}/same", f"{key}/calibrate", f"{key}/gateway"):
                continue
            same, gate = bench.result(f"{key}/same"), bench.result(f"{key}/gateway")
            certified = bench.result(f"{key}/calibrate")
            exported = bench.result(f"{name}/{student}/{'gguf' if engine == 'llamacpp' else 'folder'}")
            threshold = certified["threshold"]
            rows.append(
                (
                    f"{name}, {student}, {engine}", f"{exported['parity']['kl']:.1e}",
                    f"{same['prompts_same']} of {same['prompts']}", f"{same['answers_same']} of {same['answers']}",
                    f"{same['logprob_apart']:.4f}", "none" if threshold is None else f"{threshold:.3f}",
                    f"{gate['student']} and {gate['teacher']}", f"{gate['right']} of {gate['asked']}",
                )
            )  # fmt: skip
    columns = (
        "student, engine|KL of the export|same prompt ids|same answers|log-probability apart|threshold|"
        "student and teacher answered|teacher's answer"
    )
    return markdown(columns.split("|"), rows) if rows else ""


def _interval(value: Json | None) -> str:
    if value is None:
        return "-"
    bounds = "" if value["low"] is None else f" ({value['low']:.3f} to {value['high']:.3f})"
    return f"{value['mean']:.3f}{bounds}"
