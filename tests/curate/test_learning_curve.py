"""Would more data help? The forecast holds where learning curves are known, and parts of the data are dealt fairly."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from distil.cli import learning_curve
from distil.config import Config, parse_config
from distil.curate.learning_curve import Forecast, Gains, Scores, forecast, gains, parts_of, verdict
from distil.errors import Interrupted, UserError
from distil.records import Example, Message
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.schemas.learning_curve import LearningCurve

ROWS = 1000


def curve_of(rng: np.random.Generator) -> Callable[[float], float]:
    """A random power law between 30% and all right."""
    slope, best = rng.uniform(0.1, 1.0), rng.uniform(0.7, 1.0)
    start = (best - rng.uniform(0.3, best - 0.02)) * (ROWS / 4) ** slope
    return lambda rows: float(best - start * rows**-slope)


def student(rng: np.random.Generator, right: float, hard: np.ndarray) -> Scores:
    """Right or wrong on each prompt: hard prompts are hard for all students, which differ by a point."""
    threshold = NormalDist().inv_cdf(float(np.clip(right + rng.normal(0, 0.01), 0.001, 0.999)))
    solved = 0.8 * hard + 0.6 * rng.normal(size=hard.size) < threshold
    return {str(i): float(value) for i, value in enumerate(solved)}


def test_the_interval_covers_the_gain_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(40):
        curve, hard = curve_of(rng), rng.normal(size=200)
        quarters, halves = [[student(rng, curve(ROWS / n), hard) for _ in range(n)] for n in (4, 2)]
        ahead = forecast(gains(quarters, halves, student(rng, curve(ROWS), hard)), 1)
        covered.append(ahead.low <= curve(2 * ROWS) - curve(ROWS) <= ahead.high)
    assert sum(covered) >= 36  # 90%


def test_a_steep_curve_promises_a_gain_and_a_flat_one_none() -> None:
    steep, flat = forecast(Gains(0.10, 0.004, 0.07, 0.004), 1), forecast(Gains(0.001, 0.002, 0.0, 0.002), 1)
    assert 0.03 < steep.low < 0.05 < steep.high < 0.08
    assert abs(flat.gain) < 0.002 and flat.high < 0.01
    twice = forecast(Gains(0.10, 0.004, 0.07, 0.004), 2)
    assert steep.gain < twice.gain < 2 * steep.gain and twice.times == 4
    assert "would help: 2,000 rows" in verdict(steep, "accuracy", ROWS, 0.01)
    assert "would hardly help" in verdict(flat, "accuracy", ROWS, 0.01)
    assert "Not decided" in verdict(Forecast(times=2, gain=0.02, low=-0.01, high=0.05), "accuracy", ROWS, 0.01)


def test_students_that_do_not_differ_give_an_interval_of_nothing() -> None:
    same: Scores = {"a": 1.0, "b": 0.0}
    found = gains([same] * 4, [same] * 2, same)
    assert found == (0, 0, 0, 0)
    assert abs(forecast(found, 1).gain) < 1e-4


def examples(count: int, side: str = "train", groups: int | None = None) -> list[Example]:
    return [
        Example(
            id=f"e{i}", prompt_id=f"{side}{i}", answer_id=None, split=side, reference="yes",
            messages=[Message(role="user", content=f"{i}?"), Message(role="assistant", content="yes")],
            group=f"g{i % groups}" if groups else None,
        )
        for i in range(count)
    ]  # fmt: skip


def test_parts_are_dealt_by_group_and_in_any_order() -> None:
    rows = examples(400, groups=100)
    parts = parts_of(rows, 0)
    assert sum(len(parts[f"quarter-{i}"]) for i in range(1, 5)) == 400 and len(parts["all"]) == 400
    for name in ("quarter-", "half-"):
        sides = [{row.group for row in found} for part, found in parts.items() if part.startswith(name)]
        assert sum(map(len, sides)) == len(set().union(*sides)) == 100
    shuffled = rows.copy()
    random.Random(0).shuffle(shuffled)
    again = parts_of(shuffled, 0)
    assert all({e.id for e in again[name]} == {e.id for e in found} for name, found in parts.items())
    assert {e.id for e in parts_of(rows, 1)["half-1"]} != {e.id for e in parts["half-1"]}


def config() -> Config:
    return parse_config({"task": "t", "prompts": {"path": "p.jsonl"}, "teachers": [{"model": "recorded/t"}]}, "a test")


class Stages:
    """Stand-ins for train and evaluate: a student is right on a share of the prompts that grows with its rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[str] = []
        self.known: dict[str, int] = {}
        monkeypatch.setattr(learning_curve, "_student", self.student)

    def student(
        self, project: Project, settings: Config, name: str, rows: list[Example], prompts: list[Example]
    ) -> object:
        assert {prompt.split for prompt in prompts} == {"test"} and settings.evaluate.ceiling is False
        self.trained.append(name)
        right = 1 - 4 / len(rows) ** 0.5
        return "accuracy", "higher", {p.prompt_id: float(i < right * len(prompts)) for i, p in enumerate(prompts)}


def test_the_curve_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    write_records(project.split("train"), examples(400))
    write_records(project.split("validation"), examples(100, "validation"))
    stages = Stages(monkeypatch)
    curve = learning_curve.measure(project, config())
    assert stages.trained == [*(f"quarter-{i}" for i in range(1, 5)), "half-1", "half-2", "all"]
    assert [len(point.values) for point in curve.points] == [4, 2, 1] and curve.prompts == 100
    assert curve.points[0].values < curve.points[1].values < curve.points[2].values
    assert 0 < curve.forecasts[0].gain < curve.forecasts[1].gain
    kept = (project.learning_curve / "curve.json").read_text(encoding="utf-8")
    assert LearningCurve.model_validate_json(kept) == curve


def test_a_stopped_curve_names_its_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    write_records(project.split("train"), examples(400))
    write_records(project.split("validation"), examples(100, "validation"))

    def stop(*_: object) -> None:
        raise Interrupted("To resume, run `distil train --as curve` again.")

    monkeypatch.setattr(learning_curve, "_student", stop)
    with pytest.raises(Interrupted, match=r"student 1 of 7.*distil curate --learning-curve"):
        learning_curve.measure(project, config())


@pytest.mark.parametrize(
    ("train", "validation", "words"),
    [(20, 100, "at least 40 training rows"), (400, 10, "found 10, expected at least 30"), (None, 10, "distil curate")],
)
def test_too_little_data_for_a_curve_is_said(tmp_path: Path, train: int | None, validation: int, words: str) -> None:
    project = Project(tmp_path)
    if train is not None:
        write_records(project.split("train"), examples(train))
    write_records(project.split("validation"), examples(validation, "validation"))
    with pytest.raises(UserError, match=words):
        learning_curve.measure(project, config())


def test_a_finished_student_of_a_part_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    trained: list[str] = []
    states = {"train": "missing"}

    def train(part: Project, *_: object, **__: object) -> None:
        trained.append(part.root.name)
        states["train"] = "done"

    summary = SimpleNamespace(primary="accuracy", metrics={"accuracy": SimpleNamespace(better="higher")})
    monkeypatch.setattr("distil.train.stage.run", train)
    monkeypatch.setattr("distil.evaluate.stage.unchanged", lambda *_, **__: summary)
    monkeypatch.setattr("distil.parts.step_state", lambda *_: SimpleNamespace(state=states["train"]))
    monkeypatch.setattr(learning_curve, "read_records", lambda *_: [])
    for _ in range(2):
        found = learning_curve._student(project, cast("Config", config()), "all", examples(5), examples(3, "test"))
        assert found == ("accuracy", "higher", {})
    assert trained == ["all"]
