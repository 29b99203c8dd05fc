"""The seconds of single answers that `distil evaluate` measured."""

from __future__ import annotations

from collections.abc import Iterable

from distil.records import Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records


def measured_seconds(project: Project, student: str, models: Iterable[str]) -> dict[str, list[float]]:
    """Model -> seconds of its answers in the student's evaluation; an empty list where none was measured."""
    found: dict[str, list[float]] = {model: [] for model in models}
    path = project.predictions(student)
    for prediction in read_records(path, Prediction) if path.exists() else ():
        if prediction.latency_s and prediction.model in found:
            found[prediction.model].append(prediction.latency_s)
    return found
