"""Reads one finished evaluation whole, and says how to do it again. The formats are in the other files of this folder."""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple

from distil.evaluate.compare import evaluated
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.examples import read_test_set
from distil.records import Example, Manifest, Prediction, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.notes import EvaluateNotes
from distil.runs.schemas.summary import Summary


class Finished(NamedTuple):
    """What one evaluation left behind."""

    project: Project
    summary: Summary
    manifest: Manifest | None
    rows: list[tuple[Example, Prediction]]
    """The student's answers beside their test prompts, in the order of the test prompts."""
    scores: dict[str, dict[str, Score]]
    """Prompt id -> metric -> the student's score."""

    @property
    def task(self) -> str:
        """A name for the task: the project's folder."""
        return self.project.root.name


def read_finished(project: Project, name: str) -> Finished:
    """Raises UserError when the student is not evaluated."""
    summary = evaluated(project, name)
    examples = {example.prompt_id: example for example in read_test_set(project, trained=False).examples}
    predictions = {p.prompt_id: p for p in read_records(project.predictions(name), Prediction) if p.model == name}
    scores: dict[str, dict[str, Score]] = {}
    for score in read_records(project.scores(name), Score):
        if score.model == name:
            scores.setdefault(score.prompt_id, {})[score.metric] = score
    rows = [(example, predictions[i]) for i, example in examples.items() if i in predictions]
    return Finished(project, summary, read_manifest(project, "evaluate", name), rows, scores)


def command(finished: Finished) -> str:
    """The command that evaluates the student again, with every setting that is not the default."""
    name, manifest = finished.summary.name, finished.manifest
    answers = EvaluateNotes.of(manifest).answers
    words = ["distil", "evaluate", *(["--answers", answers, "--as", name] if answers else [name])]
    default = EvaluateConfig().model_dump(mode="json")
    for key, value in (manifest.config if manifest else {}).items():
        if key in default and value != default[key]:
            words += ["--set", f"evaluate.{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)
