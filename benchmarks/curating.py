"""What curating does with real answers: votes, references, wrong labels, an ensemble. Needs the folder of real data.

    python benchmarks/curating.py votes      gsm8k, four recorded models: share of right answers by curate.choose
    python benchmarks/curating.py labels     banking77 with 500 of 10,003 labels wrong: found with and without a reference
    python benchmarks/curating.py ensemble   alpaca_eval, gpt4, claude-2, text_davinci_003: who answers, and what is dropped

Each runs `distil curate` on answers as `distil collect` would have written them. --data FOLDER (default: $DISTIL_DATA).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from distil.curate import label_vectors
from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.final_answer import final_answer, same_final
from distil.ids import content_id
from distil.records import Answer, Example, Message, Prompt, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records

WHOLE = {"test": 0, "validation": 0, "near_duplicates": None}
"""All prompts train, so that the share of right answers is that of the choice alone."""
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
TEACHERS = ("gpt4", "claude-2", "text_davinci_003")


def cpu_s() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def prompt_of(text: str, reference: str | None = None) -> Prompt:
    """A prompt of one user turn."""
    return Prompt.make([Message(role="user", content=text)], reference=reference)


def answer_of(prompt: Prompt, text: str, teacher: str) -> Answer:
    """A recorded answer."""
    return Answer(
        id=content_id("answer", [prompt.id, teacher, 0]),
        prompt_id=prompt.id,
        teacher=teacher,
        sampling=Sampling(),
        text=text,
        finish_reason="stop",
        call_id="recorded",
    )


def project_of(folder: Path, prompts: Iterable[Prompt], answers: Iterable[Answer]) -> Project:
    """A project whose answers are collected."""
    project = Project(folder)
    write_records(project.prompts, {prompt.id: prompt for prompt in prompts}.values())
    write_records(project.answers, {answer.id: answer for answer in answers}.values())
    return project


def right(example: Example) -> bool:
    """Whether a worked answer comes to the number of its reference."""
    wanted = final_answer(example.reference or "", None, "number")
    return same_final(final_answer(example.answer, None, "number"), wanted)


def votes(data: Path, folder: Path) -> None:
    """gsm8k: rows kept and share right."""
    lines = [json.loads(line) for line in (data / "gsm8k/example_model_solutions.jsonl").read_text().splitlines()]
    prompts = [prompt_of(line["question"], line["ground_truth"]) for line in lines]
    pairs = list(zip(prompts, lines, strict=True))
    answers = [answer_of(p, line[model]["solution"], model) for p, line in pairs for model in MODELS]
    for model in MODELS:
        print(f"{model:20s} {sum(line[model]['is_correct'] for line in lines) / len(lines):.1%} right alone")
    for order in (MODELS, MODELS[::-1]):
        for method in ("first", "majority", "agreement", "reference", "best", "all"):
            started = cpu_s()
            project = project_of(folder / f"{order[0]}-{method}", prompts, answers)
            run(project, CurateConfig(choose=method, filters=[], **WHOLE), teachers=order)
            rows = list(read_examples(project.split("train")))
            share = sum(map(right, rows)) / len(rows)
            print(
                f"{order[0]} first, choose {method:10s} {len(rows):5,} rows, {share:.1%} right, {cpu_s() - started:.1f} CPU s"
            )


def labels(data: Path, folder: Path) -> None:
    """banking77: planted wrong labels found by a reference and by neighbors."""
    with (data / "banking77/banking_train.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names, generator = sorted({row["category"] for row in rows}), random.Random(0)
    wrong = set(generator.sample(range(len(rows)), 500))
    given = [
        generator.choice([name for name in names if name != row["category"]]) if index in wrong else row["category"]
        for index, row in enumerate(rows)
    ]
    for how, reference, vectors in (
        ("wrong_answer", True, label_vectors.vectors_of),
        ("wrong_label", False, label_vectors.vectors_of),
        ("wrong_label", False, label_vectors.hashed),  # as where distil[evaluate] is not installed
    ):
        label_vectors.vectors_of = vectors
        prompts = [prompt_of(row["text"], row["category"] if reference else None) for row in rows]
        answers = [answer_of(prompt, label, "recorded") for prompt, label in zip(prompts, given, strict=True)]
        planted = {answers[index].id for index in wrong}
        for filters in ([], [how]):
            started = cpu_s()
            project = project_of(folder / f"{how}-{vectors.__name__}-{len(filters)}", prompts, answers)
            config = CurateConfig(filters=filters, contradictions="keep", **WHOLE)
            run(project, config)
            found = {v.answer_id for v in read_records(project.dropped, Verdict) if v.filter == how}
            precision = f", {len(found & planted) / len(found):.1%} precision" if found else ""
            print(
                f"filters {filters}, {vectors.__name__}: {len(found & planted)} of 500 found{precision} ({len(found)} dropped), "
                f"{cpu_s() - started:.1f} CPU s"
            )


def ensemble(data: Path, folder: Path) -> None:
    """alpaca_eval: whose answers are trained on, and a sample to read."""
    prompts: dict[str, Prompt] = {}
    answers = []
    for teacher in TEACHERS:
        path = data / f"alpaca_eval/{teacher}.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            prompt = prompts.setdefault(row["prompt"], prompt_of(row["prompt"]))
            answers.append(answer_of(prompt, row["output"], teacher))
    for settings in ({}, {"if_refused": "other"}):
        project = project_of(folder / f"ensemble-{len(settings)}", prompts.values(), answers)
        config = CurateConfig(**WHOLE, **settings)
        result = run(project, config, teachers=TEACHERS)
        rows = list(read_examples(project.split("train")))
        print(settings or "if_refused: leave_out", Counter(row.teacher for row in rows), result.dropped)
        _show(project, rows, answers)


def _show(project: Project, rows: Sequence[Example], answers: Sequence[Answer]) -> None:
    """Every prompt whose first teacher's answer is not trained on."""
    verdicts = {verdict.answer_id: verdict for verdict in read_records(project.dropped, Verdict)}
    kept = {row.prompt_id: row for row in rows}
    of_prompt: dict[str, list[Answer]] = {}
    for answer in answers:
        of_prompt.setdefault(answer.prompt_id, []).append(answer)
    for id_, found in of_prompt.items():
        row = kept.get(id_)
        if row is not None and row.teacher == TEACHERS[0]:
            continue
        print(f"\n{id_}: trained on {row.teacher if row else 'none'}")
        for answer in found:
            verdict = verdicts.get(answer.id)
            state = f"{verdict.filter}: {verdict.reason[:90]}" if verdict else "KEPT"
            print(f"  {answer.teacher:17s} {len(answer.text):5d} {state}\n      {' '.join(answer.text.split())[:170]}")


PARTS = {"votes": votes, "labels": labels, "ensemble": ensemble}


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DISTIL_DATA", "data")))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        PARTS[chosen.part](chosen.data, Path(folder))


if __name__ == "__main__":
    main()
