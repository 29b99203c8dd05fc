"""Healthy projects that look like faults: the check stays silent."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable

import pytest

from distil.doctor import checks
from distil.doctor.course import Curves, read_course
from distil.doctor.evidence import Evidence
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json, write_lines
from distil.runs.manifest import stage_run
from distil.runs.processes import this_process
from tests.doctor.planted import answers, change_manifest, curve, keep, rows, run, said
from tests.doctor.test_planted import CPU, FALL, Plant, found
from tests.report.sample import write_training


def labels(project: Project, text: Callable[[int], str], *, student: Callable[[int], str] | None = None) -> None:
    """Answers that are labels: of the teacher in all splits and in the evaluation, and of a student that says much the same."""
    for split in ("train", "test"):
        answers(project, text, split)
    for model in ("teacher", "ceiling", "sft"):
        chosen = student if model == "sft" and student is not None else text
        said(project, model, lambda number, _, chosen=chosen: chosen(number))  # type: ignore[misc]


def mostly_one(number: int) -> str:
    return "genuine" if number % 8 else "fraud"


def nearly_always_one(number: int) -> str:
    return "fraud" if number % 16 == 0 else "genuine"


def a_rare_label(project: Project) -> None:
    def doubled(line: str) -> list[str]:
        return [line] * 3

    path = project.split("train")
    write_lines(path, [copy for line in path.read_text().splitlines() for copy in doubled(line)])
    labels(project, nearly_always_one, student=lambda number: nearly_always_one(number) if number % 48 else "genuine")


def translations(project: Project) -> None:
    german = "Die Lieferung des Geräts verzögert sich leider um zwei Wochen, und der Kunde wartet noch immer darauf"

    def change(number: int, line: dict[str, list[dict[str, str]]]) -> None:
        line["messages"][0]["content"] = (
            f"Translate into German: the delivery is late, and the customer waits, {number}."
        )
        line["messages"][-1]["content"] = f"{german}, Nummer {number}."

    rows(project, "train", change)


def prose(project: Project) -> None:
    """Open texts: the second answer is worded otherwise, and has words of its own."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(3000)]

    def text(number: int, _: str = "") -> str:
        return " ".join(random.Random(f"{number}").choices(words, k=40)) + "."

    for split in ("train", "test"):
        answers(project, text, split)
    for offset, model in ((0, "teacher"), (1000, "ceiling"), (2000, "sft")):
        said(project, model, lambda number, _, offset=offset: text(number + offset))  # type: ignore[misc]


def code(project: Project) -> None:
    answers(project, lambda n: f"def compute_{n}(value):\n    return value * {n} + total_{n % 7}\n")


def sums(project: Project) -> None:
    """A template whose questions differ by their numbers."""

    def change(number: int, line: dict[str, list[dict[str, str]]]) -> None:
        line["messages"][0]["content"] = (
            f"What is {number + 17} plus {number * 3 + 2}? Give me the number alone, please."
        )

    rows(project, "train", change)
    rows(project, "test", lambda number, line: change(number + 1000, line))


def several_answers(project: Project) -> None:
    keep(project, "curate.choose=votes")

    def change(number: int, line: dict[str, list[dict[str, str]]]) -> None:
        line["messages"][0]["content"] = f"Is this spam, message {number // 2}?"
        line["messages"][-1]["content"] = "spam" if number % 2 else "no spam"

    rows(project, "train", change)


def recorded_without_a_ceiling(project: Project) -> None:
    keep(project, "teachers.0.model=recorded/answers.jsonl")
    path = project.summary("sft")
    note = "The ceiling is missing, because the teacher could not be asked a second time: no second answer"
    write_json(path, read_json(path) | {"notes": [note]})


def similarity_that_does_not_decide(project: Project) -> None:
    path = project.summary("sft")
    note = "Answers to different prompts already reach a similarity of 0.904 here, so the article's goal of 0.85 proves nothing."
    write_json(path, read_json(path) | {"notes": [note]})


def log_of_a_dated_model(project: Project) -> None:
    lines = [json.loads(line) for line in project.answers.read_text().splitlines()]
    write_lines(project.answers, [json.dumps(line | {"teacher": "gpt-4o-mini-2024-07-18"}) for line in lines])


def stale_signals_that_nothing_reads(project: Project) -> None:
    with stage_run(project, "signals", {"kind": "sampled"}) as stage:
        stage.wrote(project.prompts)
    keep(project, "signals.kind=hidden")


def tuned_elsewhere(project: Project) -> None:
    other = project.stage("train", "tuned")
    other.mkdir()
    write_json(other / "provider.json", {"provider": "together"})


LOOKALIKES: list[tuple[str, Plant]] = [
    ("one answer for all", a_rare_label),
    ("always the same answer", a_rare_label),
    ("always the same answer", lambda p: labels(p, mostly_one)),
    ("too generic", lambda p: labels(p, mostly_one)),
    ("one answer for all", lambda p: labels(p, mostly_one)),
    ("blank or broken answers", lambda p: labels(p, mostly_one)),
    ("contradictions in the training data", lambda p: labels(p, mostly_one)),
    ("blank or broken answers", prose),
    ("the teacher contradicts itself", prose),
    ("invented words", prose),
    ("invented words", code),
    ("refusals in the training data", code),
    ("blank or broken answers", code),
    ("answers in another language", translations),
    ("leakage between the splits", sums),
    ("contradictions in the training data", several_answers),
    ("not measured", recorded_without_a_ceiling),
    ("not measured", similarity_that_does_not_decide),
    ("another teacher", log_of_a_dated_model),
    ("stale stages", stale_signals_that_nothing_reads),
    ("stale stages", lambda p: write_training(p, "baseline", target="reference")),
    ("stale stages", stale_signals_that_nothing_reads),
    ("unfinished trainings", tuned_elsewhere),
    ("unfinished trainings", lambda p: run(p, outcome="running", **this_process()._asdict())),
    ("the loss", lambda p: curve(p, FALL[:12])),
    ("trained too short", lambda p: curve(p, [*FALL[:2], 0.4])),
    ("overfitting", lambda p: change_manifest(p, config={"early_stopping": 1})),
]


@pytest.mark.parametrize(("check", "change"), LOOKALIKES, ids=[f"{n}: {row[0]}" for n, row in enumerate(LOOKALIKES)])
def test_a_healthy_lookalike_is_silent(copy: Project, check: str, change: Plant) -> None:
    change(copy)
    finding = found(copy, check)
    assert finding.level in ("ok", "unknown"), finding.seen


def healthy_curve(rng: random.Random, lines: int, noise: float) -> Curves:
    """A quick fall and a slow one by the walked learning rate (cosine), with noise that is a share of the loss."""
    start, end, quick = rng.uniform(1.4, 4), rng.uniform(0.3, 1.1), rng.uniform(10, 40)
    steps = 10 * lines
    rates = [min(1, (i + 1) / max(1, steps * 0.05)) * 0.5 * (1 + math.cos(math.pi * i / steps)) for i in range(steps)]
    whole, walked, losses = sum(rates), 0.0, []
    for rate in rates:
        part = walked / whole
        losses.append(end + (start - end) * (0.8 * math.exp(-part * quick) + 0.2 * (1 + 20 * part) ** -0.7))
        walked += rate
    means = [sum(losses[10 * k : 10 * k + 10]) / 10 * math.exp(rng.gauss(0, noise)) for k in range(lines)]
    logged = {10 * (k + 1): 1e-4 * rates[10 * k + 9] for k in range(lines)}
    return Curves([(step, loss) for step, loss in zip(logged, means, strict=True)], [], [], rates=dict(logged))


@pytest.mark.parametrize("lines", [12, 15, 30, 100])
def test_healthy_curves_are_fine_beyond_their_noise(lines: int) -> None:
    """Of 60 curves with up to 10% of noise in a line at most two are taken for bad ones."""
    bad = 0
    for seed in range(60):
        rng = random.Random(seed)
        curves = healthy_curve(rng, lines, noise=rng.choice([0.01, 0.05, 0.1]))
        bad += read_course(curves, rate=1e-4, fits=7e-5, vocabulary=150_000).state != "fine"
    assert bad <= 2


def test_slow_curves_are_found_at_any_length() -> None:
    for lines in (12, 30, 100):
        slow = [(10 * (k + 1), 5.9 * 0.999 ** (10 * (k + 1) * 30 / lines)) for k in range(lines)]
        rates = {step: 2e-5 for step, _ in slow}
        found_ = read_course(
            Curves([(float(s), v) for s, v in slow], [], [], rates=dict(rates)), rate=2e-5, fits=1.6e-3
        )
        assert found_.state == "too low"


def test_few_rows_of_a_first_try_have_no_false_problem(copy: Project) -> None:
    """Ten answers: too few to judge, and said so once."""
    for split, count in (("train", 10), ("test", 5)):
        path = copy.split(split)
        write_lines(path, path.read_text().splitlines()[:count])
    with stage_run(copy, "curate", {}) as stage:
        stage.wrote(copy.split("train"))
    evidence = Evidence(copy, CPU)
    loud = {
        name
        for name in ("one answer for all", "blank or broken answers", "contradictions in the training data", "duplicate prompts",
                     "leakage between the splits", "the teacher contradicts itself", "a tokenizer of another language")
        for result in [checks.CHECKS[name](evidence)]
        for finding in (result if isinstance(result, list) else [result])
        if finding.level in ("warn", "problem")
    }  # fmt: skip
    assert loud == set()
