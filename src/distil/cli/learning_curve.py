"""`distil curate --learning-curve`: students of parts of the training rows, through the stages train and evaluate.

Each student has a project folder of its own in work/curate/learning_curve/, in which the validation split is the test split: the
test prompts are not looked at. What is done is not done again, so that an interrupted curve resumes. Not the statistics
(curate/learning_curve.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from distil.cli.options import Context, echo, say, table
from distil.curate.learning_curve import CONFIDENCE, Scores, forecast, gains, parts_of, verdict
from distil.errors import Interrupted, UserError
from distil.progress import clock
from distil.records import Example, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_json
from distil.runs.schemas.learning_curve import CurvePoint, LearningCurve

if TYPE_CHECKING:
    from distil.config import Config

LEAST_ROWS = 40
LEAST_PROMPTS = 30
MOST_PROMPTS = 500
WORTH = 0.01
"""A gain of the metric that is worth twice the data: a point."""
STUDENT = "curve"
SIZES = ("quarter", "half", "all")


def show_curve(context: Context) -> None:
    """Trains what is missing, forecasts, writes curve.json and prints it. Raises UserError where there is too little data."""
    config = context.config()
    curve = measure(context.project, config)
    context.emit(curve, lambda: _print(curve))


def measure(project: Project, config: Config) -> LearningCurve:
    """The curve; several minutes with a small student, three trainings' time with any."""
    from distil.parts import config_of_parts

    train, prompts = _data(project)
    parts = parts_of(train, config.curate.seed)
    _require(parts, prompts)
    config = config_of_parts(project, config)
    total, done, start = sum(map(len, parts.values())), 0, time.monotonic()
    scores: dict[str, Scores] = {}
    metric, better = "", "higher"
    for number, (name, rows) in enumerate(parts.items(), start=1):
        left = f", about {clock((time.monotonic() - start) * (total - done) / done)} left" if done else ""
        say(f"learning curve {number}/{len(parts)}: {name}, {len(rows):,} rows, {done / total:.0%} done{left}")
        try:
            metric, better, scores[name] = _student(project, config, name, rows, prompts)
        except Interrupted:
            raise Interrupted(
                f"Stopped in student {number} of {len(parts)}, with a checkpoint. Run `distil curate --learning-curve` again "
                "to go on from there."
            ) from None
        done += len(rows)
    seconds = time.monotonic() - start
    curve = _curve(parts, scores, metric, -1.0 if better == "lower" else 1.0, seconds)
    write_json(project.learning_curve / "curve.json", curve.model_dump(mode="json"))
    return curve


def _data(project: Project) -> tuple[list[Example], list[Example]]:
    """Training rows, and the validation rows as test rows, at most MOST_PROMPTS in an order of their own."""
    from distil.parts import as_tests

    for name in ("train", "validation"):
        if not project.split(name).exists():
            raise UserError(f"{project.relative(project.split(name))} is not there. Run `distil curate` first.")
    prompts = as_tests(list(read_examples(project.split("validation"))), MOST_PROMPTS)
    return list(read_examples(project.split("train"))), prompts


def _require(parts: Mapping[str, Sequence[Example]], prompts: Sequence[Example]) -> None:
    rows = len(parts["all"])
    if rows < LEAST_ROWS or len(parts) < len(("all", *("half",) * 2, *("quarter",) * 4)):
        raise UserError(
            f"A learning curve needs at least {LEAST_ROWS} training rows in several groups, and there are {rows}. "
            "Collect more answers, or use fewer groups."
        )
    if len(prompts) < LEAST_PROMPTS:
        raise UserError(
            f"A learning curve is measured on the validation prompts: found {len(prompts)}, expected at least {LEAST_PROMPTS}. "
            "Set curate.validation higher and run `distil curate`."
        )


def _student(
    project: Project, config: Config, name: str, rows: Sequence[Example], prompts: Sequence[Example]
) -> tuple[str, str, Scores]:
    """Trains and evaluates the student of a part, unless that is done. Returns the metric, which way is better, its values."""
    from distil.parts import measured_by, student_of_part

    part = Project(project.learning_curve / name)
    summary = student_of_part(part, config, STUDENT, rows, prompts)
    metric = measured_by(summary)
    scores = read_records(part.scores(STUDENT), Score)
    values = {s.prompt_id: s.value for s in scores if s.metric == metric and s.model == STUDENT}
    return metric, summary.metrics[metric].better, values


def _curve(
    parts: Mapping[str, Sequence[Example]], scores: Mapping[str, Scores], metric: str, sign: float, seconds: float
) -> LearningCurve:
    of_size = {size: [name for name in parts if name.split("-")[0] == size] for size in SIZES}
    signed = {name: {prompt: sign * value for prompt, value in found.items()} for name, found in scores.items()}
    quarters, halves = ([signed[name] for name in of_size[size]] for size in SIZES[:2])
    found = gains(quarters, halves, signed["all"])
    forecasts = [forecast(found, doublings) for doublings in (1, 2)]
    points = [
        CurvePoint(
            share=share,
            rows=sum(len(parts[name]) for name in of_size[size]) / len(of_size[size]),
            values=[sum(scores[name].values()) / len(scores[name]) for name in of_size[size]],
        )
        for size, share in zip(SIZES, (0.25, 0.5, 1.0), strict=True)
    ]
    return LearningCurve(
        metric=metric,
        prompts=len(scores["all"]),
        points=points,
        forecasts=forecasts,
        confidence=CONFIDENCE,
        verdict=verdict(forecasts[0], metric, len(parts["all"]), WORTH),
        seconds=seconds,
    )


def _print(curve: LearningCurve) -> None:
    rows = [
        (
            f"{point.share:.0%}",
            f"{point.rows:,.0f}",
            f"{sum(point.values) / len(point.values):.3f}",
            _range(point.values),
        )
        for point in curve.points
    ]
    for ahead in curve.forecasts:
        rows.append(
            (f"{ahead.times:.0%}", f"{ahead.times * curve.points[-1].rows:,.0f}", f"{ahead.gain:+.3f}",
             f"{ahead.low:+.3f} to {ahead.high:+.3f}")
        )  # fmt: skip
    title = f"{curve.metric} on {curve.prompts:,} validation prompts; forecasts are gains, with {curve.confidence:.0%} intervals"
    table(title, ["training rows", "number", "mean", "students, or interval"], [list(row) for row in rows])
    echo(curve.verdict)


def _range(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
