"""Everything the checks look at, read from the project's files once and only when a check asks for it.

Not a check. It reads no model and asks nobody; a file that is not there is an empty list or None. Called by checks.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from distil.config import Config, load_config
from distil.errors import UserError
from distil.evaluate.compare import Comparison
from distil.evaluate.compare import run as compare
from distil.evaluate.summary import Summary, read_summary
from distil.models.sizing import Machine, this_machine
from distil.records import Answer, Example, Manifest, Prediction, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_lines, read_records
from distil.runs.manifest import read_manifest


class Curves(NamedTuple):
    """One training: (step, value) pairs."""

    train: list[tuple[float, float]]
    validation: list[tuple[float, float]]
    epochs: list[tuple[float, float]]
    """(step, epoch) of each validation."""


class Evidence:
    """A project as the doctor sees it. `machine` None = this one."""

    def __init__(self, project: Project, machine: Machine | None = None) -> None:
        self.project = project
        self._machine = machine

    @cached_property
    def machine(self) -> Machine:
        """What training has to fit into."""
        return self._machine or this_machine()

    @cached_property
    def config(self) -> Config | None:
        """distil.yaml; None when it is not there or wrong (the command line says what is wrong with it)."""
        try:
            return load_config(self.project)
        except UserError:
            return None

    @cached_property
    def answers(self) -> list[Answer]:
        """All collected answers."""
        return list(read_records(self.project.answers, Answer)) if self.project.answers.exists() else []

    @cached_property
    def failures(self) -> list[dict[str, object]]:
        """Lines of failures.jsonl."""
        return [line for _, line in read_lines(self.project.failures)] if self.project.failures.exists() else []

    @cached_property
    def dropped(self) -> list[Verdict]:
        """Answers that curate dropped."""
        path = self.project.dropped
        return [v for v in read_records(path, Verdict) if not v.keep] if path.exists() else []

    def split(self, name: str) -> list[Example]:
        """train, validation or test; empty when curate has not run."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, list[Example]]:
        paths = {name: self.project.split(name) for name in ("train", "validation", "test")}
        return {name: list(read_examples(path)) if path.exists() else [] for name, path in paths.items()}

    @cached_property
    def curated(self) -> bool:
        """Whether there is a training split."""
        return self.project.split("train").exists()

    @cached_property
    def trainings(self) -> dict[str, Manifest]:
        """Student -> manifest of its training, oldest first."""
        found = {name: read_manifest(self.project, "train", name) for name in self.project.students()}
        return {name: manifest for name, manifest in found.items() if manifest is not None}

    @cached_property
    def baselines(self) -> list[str]:
        """Students that learned from the references alone."""
        return [name for name, manifest in self.trainings.items() if manifest.config.get("target") == "reference"]

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Student -> evaluation; students whose training is known first, in its order."""
        files = {path.parent.name: path for path in sorted(self.project.stage("evaluate").glob("*/summary.json"))}
        order = [name for name in self.trainings if name in files] + [
            name for name in files if name not in self.trainings
        ]
        return {name: read_summary(files[name]) for name in order}

    @property
    def distilled(self) -> dict[str, Summary]:
        """The evaluations of students that learned from a teacher."""
        return {name: summary for name, summary in self.summaries.items() if name not in self.baselines}

    def predictions(self, name: str) -> dict[str, list[Prediction]]:
        """Model -> its answers in the evaluation of one student."""
        path = self.project.stage("evaluate", name) / "predictions.jsonl"
        found: dict[str, list[Prediction]] = {}
        if path.exists():
            for prediction in read_records(path, Prediction):
                found.setdefault(prediction.model, []).append(prediction)
        return found

    def compared(self, a: str, b: str) -> Comparison | None:
        """Two students paired; None when they were evaluated on different prompts."""
        try:
            return compare(self.project, a, b)
        except UserError:
            return None

    def curves(self, name: str) -> Curves | None:
        """The losses of a training; None when nothing was logged."""
        path = self.project.stage("train", name) / "metrics.jsonl"
        if not path.exists():
            return None
        curves = Curves([], [], [])
        for number, line in read_lines(path):
            step = float(line.get("step", number))
            if isinstance(line.get("loss"), (int, float)):
                curves.train.append((step, float(line["loss"])))
            if isinstance(line.get("eval_loss"), (int, float)):
                curves.validation.append((step, float(line["eval_loss"])))
                curves.epochs.append((step, float(line.get("epoch") or 0.0)))
        return curves

    @cached_property
    def trained_folders(self) -> list[str]:
        """Every folder of work/train, finished or not."""
        folder = self.project.stage("train")
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []
