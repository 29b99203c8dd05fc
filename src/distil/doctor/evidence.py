"""What the checks look at: read from the project's files once, when a check first needs it.

Not a check. No model is loaded or called; a missing file is an empty list or None.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from distil.config import Config, calibration_judge, load_config
from distil.errors import UserError
from distil.evaluate.compare import Pair, pair
from distil.models.sizing import Machine, this_machine
from distil.records import Answer, Example, Manifest, Prediction, Record, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.evidence import Evidence as Measured
from distil.runs.schemas.failures import Failure
from distil.runs.schemas.metrics import MetricsRow
from distil.runs.schemas.notes import TrainSettings
from distil.runs.schemas.summary import Summary, read_summary
from distil.serve.config import ServeConfig
from distil.serve.live.report import Serving, serving

R = TypeVar("R", bound=Record)


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
        """Where training would run."""
        return self._machine or this_machine()

    @cached_property
    def config(self) -> Config | None:
        """distil.yaml; None when it is missing or wrong."""
        try:
            return load_config(self.project)
        except UserError:
            return None

    @cached_property
    def answers(self) -> list[Answer]:
        """All collected answers."""
        return _records(self.project.answers, Answer)

    @cached_property
    def failures(self) -> list[Failure]:
        """Questions without an answer."""
        return _records(self.project.failures, Failure)

    @cached_property
    def dropped(self) -> list[Verdict]:
        """Answers that curate dropped."""
        return [verdict for verdict in _records(self.project.dropped, Verdict) if not verdict.keep]

    @cached_property
    def signals(self) -> list[Measured]:
        """What curate measured on each answer."""
        return _records(self.project.evidence, Measured)

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
        manifests = {name: read_manifest(self.project, "train", name) for name in self.project.students()}
        return {name: manifest for name, manifest in manifests.items() if manifest is not None}

    @cached_property
    def baselines(self) -> list[str]:
        """Students that learned from the references alone."""
        return [name for name, manifest in self.trainings.items() if TrainSettings.of(manifest).target == "reference"]

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Student -> evaluation, in the order of training; students that were not trained here come last."""
        evaluated = self.project.evaluated()
        order = [name for name in self.trainings if name in evaluated]
        order += [name for name in evaluated if name not in self.trainings]
        return {name: read_summary(self.project.summary(name)) for name in order}

    @property
    def distilled(self) -> dict[str, Summary]:
        """The evaluations of students that learned from a teacher."""
        return {name: summary for name, summary in self.summaries.items() if name not in self.baselines}

    def predictions(self, name: str) -> dict[str, list[Prediction]]:
        """Model -> its answers in the evaluation of one student."""
        by_model: dict[str, list[Prediction]] = {}
        for prediction in _records(self.project.predictions(name), Prediction):
            by_model.setdefault(prediction.model, []).append(prediction)
        return by_model

    def compared(self, a: str, b: str) -> Pair | None:
        """Two students paired; None when they were evaluated on different prompts."""
        try:
            return pair(self.project, a, b)
        except UserError:
            return None

    def curves(self, name: str) -> Curves | None:
        """The losses of a training; None when nothing was logged."""
        if not self.project.metrics(name).exists():
            return None
        curves = Curves([], [], [])
        for row in read_records(self.project.metrics(name), MetricsRow):
            if row.loss is not None:
                curves.train.append((row.step, row.loss))
            if row.eval_loss is not None:
                curves.validation.append((row.step, row.eval_loss))
                curves.epochs.append((row.step, row.epoch))
        return curves

    @cached_property
    def serving(self) -> list[Serving]:
        """Every calibrated student, with what its gateway has done."""
        if self.config is None:
            return serving(self.project, ServeConfig())
        config, judge = self.config, calibration_judge(self.config)
        return serving(self.project, config.serve, config.teachers, config.prompts.system, judge)

    @cached_property
    def trained_folders(self) -> list[str]:
        """Every folder of work/train, finished or not."""
        folder = self.project.stage("train")
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []


def _records(path: Path, record: type[R]) -> list[R]:
    return list(read_records(path, record)) if path.exists() else []
