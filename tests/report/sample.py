"""A finished project made of real records in milliseconds: no model runs, the statistics are the product's own.

Not a fixture file: `make_project(folder)` writes every file that the stages would. Used by the report's and the doctor's tests.
"""

from __future__ import annotations

import atexit
import json
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from distil.config import parse_config
from distil.config_file import write_config
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.metrics import METRICS
from distil.evaluate.predictions import Predictions
from distil.evaluate.scoring import score_all
from distil.evaluate.summarize import Measured, summarize
from distil.ids import content_id
from distil.records import Answer, Example, Message, Prediction, Prompt, Sampling, Split, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json, write_lines, write_records
from distil.runs.manifest import stage_run
from distil.runs.schemas.calibration import Calibration, FrontierPoint, HeldOutCheck
from distil.runs.schemas.decision import Looks
from distil.runs.schemas.summary import Size, Speed, Summary

INTENTS = ("refund", "delivery", "billing", "cancel", "damaged")
PRODUCTS = ("phone", "laptop", "camera", "printer")
METRIC_NAMES = [name for name in METRICS if "similar" not in name]
RIGHT = {"teacher": 0.97, "ceiling": 0.96, "baseline": 0.88, "sft": 0.91, "logits": 0.95, "base": 0.2}


def make_project(
    folder: Path,
    *,
    train: int = 1200,
    test: int = 200,
    students: tuple[str, ...] = ("baseline", "sft", "logits"),
    right: dict[str, float] | None = None,
    evil: str = "",
) -> Project:
    """The whole project; `evil` is appended to a few answers (for the escaping test). Equal ones are copies of one."""
    shutil.copytree(_made(train, test, students, tuple((right or {}).items()), evil), folder, dirs_exist_ok=True)
    return Project(folder)


@cache
def _made(train: int, test: int, students: tuple[str, ...], right: tuple[tuple[str, float], ...], evil: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sample"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    project = Project(folder)
    project.config.write_text(write_config(_config()), encoding="utf-8")
    examples = write_data(project, train, test, evil)
    for name in students:
        write_training(project, name, target="reference" if name == "baseline" else "teacher")
    for name in students:
        write_evaluation(project, name, examples, RIGHT | dict(right), evil)
    return folder


def _config() -> Any:
    return parse_config(
        {
            "task": "support triage",
            "prompts": {"path": "prompts.jsonl"},
            "teachers": [{"model": "openai/gpt-4o-mini"}],
            "student": {"model": "Qwen/Qwen3-0.6B"},
        },
        "sample",
    )


def _reference(number: int) -> dict[str, Any]:
    return {
        "intent": INTENTS[number % 5],
        "product": PRODUCTS[number % 4],
        "urgency": "high" if number % 3 else "low",
        "order_id": f"A{number:05d}",
    }


def _said(number: int, right: float, model: str) -> str:
    luck = random.Random(f"{model} {number}")
    value = _reference(number)
    for name, wrong in (("intent", "account"), ("product", "watch"), ("urgency", "normal"), ("order_id", "B99999")):
        if luck.random() > right:
            value[name] = wrong
    return json.dumps(value)


def _prompt(number: int) -> Prompt:
    reference = _reference(number)
    words = f"My {reference['product']} from order {reference['order_id']} needs a {reference['intent']}, it is message {number}"
    return Prompt.make(
        [Message(role="user", content=words + " and I am waiting" * (number % 4))], reference=json.dumps(reference)
    )


def write_data(project: Project, train: int, test: int, evil: str = "") -> list[Example]:
    """Prompts, answers, splits and dropped answers with their manifests; returns the test examples."""
    total = train + train // 4 + test
    prompts = [_prompt(i) for i in range(total + 12)]
    answers = [_answer(prompt, i, evil if i % 40 == 0 else "") for i, prompt in enumerate(prompts)]
    with stage_run(project, "prompts", {}) as stage:
        stage.wrote(project.prompts, write_records(project.prompts, prompts))
    with stage_run(project, "collect", {}) as stage:
        stage.reads(project.prompts)
        stage.usd = 0.31
        stage.notes["terms"] = ["OpenAI: its services agreement forbids competing models."]
        stage.wrote(project.answers, write_records(project.answers, answers))
    splits: dict[Split, list[Example]] = {"train": [], "validation": [], "test": []}
    for i in range(total):
        side: Split = "train" if i < train else "validation" if i < train + train // 4 else "test"
        splits[side].append(Example.of(prompts[i], answers[i], side))
    with stage_run(project, "curate", {}) as stage:
        stage.reads(project.answers)
        for name, rows in splits.items():
            stage.wrote(project.split(name), write_records(project.split(name), rows))
        dropped = [
            Verdict(
                answer_id=a.id, prompt_id=a.prompt_id, filter="truncated", keep=False, reason="cut off at 80 tokens"
            )
            for a in answers[total:]
        ]
        stage.wrote(project.dropped, write_records(project.dropped, dropped))
        stage.notes["max_similarity"] = 0.71
        words = {"answer_id": answers[0].id, "reason": "refusal: “As an AI”", "text": f"As an AI, I can't say. {evil}"}
        stage.notes["reasons"] = [{"kind": "suspicious", "name": "refusal", "count": 1234, "examples": [words]}]
    return splits["test"]


def _answer(prompt: Prompt, number: int, evil: str) -> Answer:
    return Answer(
        id=content_id("answer", prompt.id),
        prompt_id=prompt.id,
        teacher="openai/gpt-4o-mini",
        sampling=Sampling(),
        text=_said(number, RIGHT["teacher"], "teacher") + evil,
        finish_reason="stop",
        call_id=f"call_{number}",
    )


def write_training(project: Project, name: str, target: str = "teacher", losses: tuple[float, ...] = ()) -> None:
    """A metrics.jsonl of four epochs and the manifest. `losses` = validation losses after each epoch."""
    held_out = losses or (0.9, 0.55, 0.44, 0.41)
    lines = []
    for step in range(10, 401, 10):
        lines.append({"step": step, "epoch": step / 100, "loss": 0.35 + 1.6 * 0.987**step})
        if step % 100 == 0:
            lines.append({"step": step, "epoch": step / 100, "eval_loss": held_out[step // 100 - 1]})
    with stage_run(project, "train", {"target": target, "method": "sft"}, name) as stage:
        stage.reads(project.split("train"))
        stage.seeds["train"] = 0
        stage.notes["student"] = _config().student.model_dump(mode="json")
        path = stage.folder / "metrics.jsonl"
        stage.wrote(path, write_lines(path, map(json.dumps, lines)))


def write_evaluation(
    project: Project, name: str, examples: list[Example], right: dict[str, float], evil: str = ""
) -> Summary:
    """Predictions with the given shares of right fields, scored and summarized by the product's own functions."""
    first = {e.prompt_id: int(e.prompt_messages[-1].text.split("message ")[1].split()[0]) for e in examples}
    predictions = {
        model: [_prediction(e, model, name, first[e.prompt_id], right, evil) for e in examples]
        for model in ("teacher", "ceiling", "base", name)
    }
    scored = score_all(examples, predictions, METRIC_NAMES)
    measured = Measured(
        name=name,
        base_model="bundled/student",
        examples=examples,
        predictions=Predictions(
            predictions,
            size={
                name: Size(parameters=1_050_000, bytes=4_200_000),
                "teacher": Size(parameters=7_400_000, bytes=29_600_000),
            },
            speed={name: _speed(2150.0, 0.031), "teacher": _speed(480.0, 0.142)},
            usd=0.02,
        ),
        scored=scored,
        judge=None,
        judged={},
        looks=Looks(students=1, runs=1, corrected_for=1),
    )
    summary = summarize(measured, EvaluateConfig())
    with stage_run(project, "evaluate", {}, name) as stage:
        stage.reads(project.split("test"))
        path = stage.folder / "predictions.jsonl"
        stage.wrote(path, write_records(path, [p for rows in predictions.values() for p in rows]))
        stage.wrote(stage.folder / "scores.jsonl", write_records(stage.folder / "scores.jsonl", scored.scores))
        write_json(stage.folder / "summary.json", summary.model_dump(mode="json"))
        stage.wrote(stage.folder / "summary.json")
    return summary


def _speed(tokens: float, latency: float) -> Speed:
    return Speed(tokens_per_second=tokens, latency_p50_s=latency, latency_p95_s=1.4 * latency, requests=12, where="cpu")


def _prediction(
    example: Example, model: str, student: str, number: int, right: dict[str, float], evil: str
) -> Prediction:
    text = example.answer if model == "teacher" else _said(number, right[student if model == student else model], model)
    return Prediction(
        id=content_id("prediction", [example.prompt_id, model, 0]),
        prompt_id=example.prompt_id,
        model=model,
        text=text + (evil if model == student else ""),
        finish_reason="stop",
        output_tokens=20,
        token_logprobs=[-_wrong(text, example) - random.Random(example.id).random()],
        token_entropies=[0.1, 0.2],
    )


def _wrong(text: str, example: Example) -> float:
    """So that the made-up confidence knows something: right answers are somewhat surer."""
    return 0.0 if text.startswith(example.reference or "") else 0.6


COST: dict[str, Any] = {
    "spent": {"collect": 0.31, "evaluate": 0.02}, "one_time_usd": 0.33, "teacher": "openai/gpt-4o-mini",
    "price_input": 0.15, "price_output": 0.6, "price_source": "genai-prices 0.2.3 2026-11-01",
    "traffic": {"queries_per_month": 1_000_000, "input_tokens": 62.4, "output_tokens": 31.2, "measured_calls": 1712},
    "teacher_month_usd": 28.08, "teacher_month_error_usd": 0.4,
    "per_million_requests": {"teacher": 28.08, "student": 5.84},
    "options": [
        {"name": "teacher only", "coverage": 0.0, "coverage_source": "all", "student_usd": 0.0, "teacher_usd": 28.08,
         "total_usd": 28.08, "saving_usd": 0.0, "payback_days": None, "payback": "-"},
        {"name": "logits", "coverage": 1.0, "coverage_source": "all", "student_usd": 5.84, "teacher_usd": 0.0,
         "total_usd": 5.84, "saving_usd": 22.24, "payback_days": 0.45, "payback": "under a day"},
        {"name": "logits + teacher", "coverage": 0.7, "coverage_source": "what-if", "student_usd": 5.84,
         "teacher_usd": 8.42, "total_usd": 14.26, "saving_usd": 13.82, "payback_days": 0.73, "payback": "under a day"},
    ],
    "break_even_coverage": 0.21, "warnings": [],
    "shares": [
        {"share": n / 10, "tried_first_usd": 5.84 + 28.08 * (1 - n / 10),
         "routed_before_usd": 5.84 * (n > 0) + 28.08 * (1 - n / 10)} for n in range(11)
    ],
    "tornado_usd": 13.82,
    "tornado": [
        {"factor": "requests a month, half to double", "low_usd": 3.99, "high_usd": 33.48},
        {"factor": "the teacher's price, -25% to +25%", "low_usd": 8.9, "high_usd": 18.73},
        {"factor": "load of the machines, 30% to 90%", "low_usd": -3.1, "high_usd": 15.77},
    ],
}  # fmt: skip


def write_cost(project: Project) -> None:
    """work/cost/summary.json, in the shape of distil.cost.stage.CostSummary (a test holds the two together)."""
    with stage_run(project, "cost", {}) as stage:
        write_json(stage.folder / "summary.json", COST)
        stage.wrote(stage.folder / "summary.json")


def calibration(student: str, coverage: float = 0.7) -> Calibration:
    """A calibration with an accepted threshold."""
    return Calibration(
        student=student, model="m", engine=None, score="mean", temperature=0.0, risk=0.05, confidence=0.95, goal=0.9,
        bad_by="fields", compared="fields", threshold=-0.2, labels=300, served=210, bad=3, p_value=0.01, coverage=coverage,
        attempt=1, spent=0.03, spending="First attempt.", labels_missing=None, refuted=False,
        test=HeldOutCheck(prompts=40, served=29, bad=1), created="2026-11-24T10:00:00+00:00",
        promise="With 95% confidence, at most 5% are bad.", frontier_prompts=40, frontier=[
            FrontierPoint(share=n / 10, threshold=1 - n / 12, bad=(n / 10) ** 3 / 5, low=(n / 10) ** 3 / 8,
                          high=(n / 10) ** 3 / 5 + 0.08, quality=0.9, usd_per_month=None, p50_s=None, p95_s=None)
            for n in range(1, 11)
        ],
    )  # fmt: skip
