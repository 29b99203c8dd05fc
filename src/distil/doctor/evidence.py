"""What the checks look at: read from the project's files once, when a check first needs it.

Not a check. No model is loaded or called; a missing file is an empty list or None.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

from pydantic import JsonValue, ValidationError

from distil.config import Config, calibration_judge, load_config
from distil.curate.evidence.corpus import Pair as Row
from distil.doctor.course import Course, Curves, read_course
from distil.errors import UserError
from distil.evaluate.compare import Pair, pair
from distil.final_answer import form_of, shared_form
from distil.models.config import StudentConfig
from distil.models.shape import model_shape
from distil.models.sizing import Machine, this_machine
from distil.records import Answer, Example, Manifest, Prediction, Prompt, Record, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.evidence import Evidence as Measured
from distil.runs.schemas.failures import Failure
from distil.runs.schemas.metrics import MetricsRow
from distil.runs.schemas.notes import TrainNotes, TrainSettings
from distil.runs.schemas.summary import Summary, read_summary
from distil.runs.schemas.training_run import TrainingRun, read_training_run
from distil.serve.config import ServeConfig
from distil.serve.live.report import Serving, serving
from distil.train.rate import fitting_rate

R = TypeVar("R", bound=Record)
TRACES = ("metrics.jsonl", "manifest.json", "run.json", "checkpoints", "trained.jsonl", "provider.json")
"""Files of a training: a folder with none of them is not one."""


class Evidence:
    """A project as the doctor sees it. machine: None = this one; config: None = distil.yaml as it is."""

    def __init__(self, project: Project, machine: Machine | None = None, config: Config | None = None) -> None:
        self.project = project
        self._machine = machine
        self._config = config
        self._courses: dict[str, Course] = {}
        self._curves: dict[str, Curves | None] = {}
        self._predictions: dict[str, dict[str, list[Prediction]]] = {}
        self._pairs: dict[str, list[Row]] = {}

    @cached_property
    def machine(self) -> Machine:
        """Where training would run."""
        return self._machine or this_machine()

    @cached_property
    def config(self) -> Config | None:
        """distil.yaml; None when it is missing or wrong."""
        try:
            return self._config or load_config(self.project)
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

    def pairs(self, name: str) -> list[Row]:
        """The rows of a split as prompts with their answers, as curate measures them."""
        if name not in self._pairs:
            self._pairs[name] = [_as_pair(example) for example in self.split(name)]
        return self._pairs[name]

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
        if name not in self._predictions:
            by_model: dict[str, list[Prediction]] = {}
            for prediction in _records(self.project.predictions(name), Prediction):
                by_model.setdefault(prediction.model, []).append(prediction)
            self._predictions[name] = by_model
        return self._predictions[name]

    def compared(self, a: str, b: str) -> Pair | None:
        """Two students paired; None when they were evaluated on different prompts."""
        try:
            return pair(self.project, a, b)
        except UserError:
            return None

    def curves(self, name: str) -> Curves | None:
        """The losses of a training; None when nothing was logged. A loss of null in the file is not a number."""
        if name not in self._curves:
            self._curves[name] = self._read_curves(name)
        return self._curves[name]

    def _read_curves(self, name: str) -> Curves | None:
        if not self.project.metrics(name).exists():
            return None
        curves, trained = Curves([], [], []), self.trained_with(name)
        rows = list(read_records(self.project.metrics(name), MetricsRow))
        answers_alone = float(str(trained.get("sft_epochs") or 0)) if trained.get("method") != "sft" else 0.0
        begun = any("loss" in row.model_fields_set and row.epoch > answers_alone for row in rows)
        for row in rows:
            said = row.model_fields_set
            if "loss" in said:
                if row.epoch > answers_alone or not begun:  # before, it is another loss
                    curves.train.append((row.step, _number(row.loss)))
                for values, value in (
                    (curves.rates, row.learning_rate),
                    (curves.gradients, row.grad_norm),
                    (curves.labels, row.label),
                ):
                    if value is not None:
                        values[row.step] = value
            if "eval_loss" in said:
                curves.validation.append((row.step, _number(row.eval_loss)))
                curves.epochs.append((row.step, row.epoch))
        return curves

    def course(self, name: str) -> Course:
        """What the curve of a training says."""
        if name not in self._courses:
            self._courses[name] = read_course(
                self.curves(name),
                rate=self.rate(name),
                fits=self.fitting_rate(name),
                vocabulary=self._vocabulary(name),
                before=TrainNotes.of(self.trainings.get(name)).first_loss,
            )
        return self._courses[name]

    def run(self, name: str) -> TrainingRun | None:
        """How the last run of a training began and ended."""
        return read_training_run(self.project.training_run(name))

    def trained_with(self, name: str) -> dict[str, JsonValue]:
        """The train section that a student was trained with, as far as it was noted."""
        manifest, run = self.trainings.get(name), self.run(name)
        if manifest is not None:
            return cast("dict[str, JsonValue]", manifest.config)
        return run.train if run is not None else {}

    def student_of(self, name: str) -> StudentConfig | None:
        """The student section that a student was trained with; that of distil.yaml where it was not noted."""
        manifest, run = self.trainings.get(name), self.run(name)
        noted = TrainNotes.of(manifest).student if manifest is not None else run.student if run is not None else None
        try:
            return StudentConfig.model_validate(noted) if noted else self.config.student if self.config else None
        except ValidationError:
            return None

    def epochs(self, name: str) -> float:
        """Passes over the data that a student was trained for."""
        default = self.config.train.epochs if self.config else 3.0
        return float(str(self.trained_with(name).get("epochs") or default))

    def rate(self, name: str) -> float | None:
        """The peak learning rate that a student was trained with."""
        manifest = self.trainings.get(name)
        noted = TrainNotes.of(manifest).learning_rate or self.trained_with(name).get("learning_rate")
        if isinstance(noted, (int, float)):
            return float(noted)
        curves = self.curves(name)
        return max(curves.rates.values()) if curves is not None and curves.rates else None

    def fitting_rate(self, name: str) -> float | None:
        """The peak learning rate that fits the size of a student, what of it is trained and by which method; None where the size
        is unknown."""
        student = self.student_of(name)
        shape = model_shape(self.project.placed(student.model)) if student is not None else None
        if student is None or shape is None or not shape.parameters:
            return None
        method = self.trained_with(name).get("method") or (self.config.train.method if self.config else None)
        return fitting_rate(shape.parameters, lora=student.adapter == "lora", dpo=method == "dpo")

    def _vocabulary(self, name: str) -> int | None:
        """Tokens that a trained student, or its base, tells apart."""
        student = self.student_of(name)
        for ref in (str(self.project.model(name)), *([self.project.placed(student.model)] if student else [])):
            shape = model_shape(ref)
            if shape is not None and not shape.guessed:
                return shape.vocabulary or None
        return None

    @cached_property
    def has_results(self) -> bool:
        """Whether most training answers come to a result (a label, a number, JSON), and are not open text."""
        answers = [example.answer for example in self.split("train")[:1000]]
        return bool(answers) and shared_form(form_of(text) for text in answers) != "text"

    @cached_property
    def serving(self) -> list[Serving]:
        """Every calibrated student, with what its gateway has done."""
        if self.config is None:
            return serving(self.project, ServeConfig())
        config, judge = self.config, calibration_judge(self.config)
        return serving(self.project, config.serve, config.teachers, config.prompts.system, judge)

    @cached_property
    def trained_folders(self) -> list[str]:
        """Every folder of work/train that a training has written to, finished or not."""
        folder = self.project.stage("train")
        paths = folder.iterdir() if folder.exists() else []
        return sorted(
            p.name for p in paths if not p.name.startswith(".") and any((p / file).exists() for file in TRACES)
        )


def _number(loss: float | None) -> float:
    """JSON has no NaN: some write null."""
    return float("nan") if loss is None else loss


def _as_pair(example: Example) -> Row:
    turn = example.messages[-1]
    prompt = Prompt(
        id=example.prompt_id,
        messages=example.prompt_messages,
        reference=example.reference,
        group=example.group,
        tools=example.tools,
        response_format=example.response_format,
    )
    answer = Answer(
        id=example.answer_id or example.id,
        prompt_id=example.prompt_id,
        teacher=example.teacher or "",
        sampling=Sampling(),
        text=example.answer,
        tool_calls=turn.tool_calls,
        finish_reason="stop",
        call_id="",
    )
    return Row(prompt, answer)


def _records(path: Path, record: type[R]) -> list[R]:
    return list(read_records(path, record)) if path.exists() else []
