"""Every file of a project: its path, its record and the package that writes it; and the stages in their order.

`Project` computes the paths. docs/architecture.md draws its table from `ARTIFACTS`, and a test compares the two cell by cell and
finds the packages that use each file in the code itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from distil.records import Answer, Call, Example, Prediction, Prompt, Score, Verdict
from distil.runs.schemas.active import ActiveRound, Chosen
from distil.runs.schemas.asked import AskedInRounds
from distil.runs.schemas.attempts import Attempt
from distil.runs.schemas.audits import Audit
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.canary import Canary
from distil.runs.schemas.cost import CostSummary
from distil.runs.schemas.evidence import Evidence
from distil.runs.schemas.expanded import Expanded
from distil.runs.schemas.failures import Failure
from distil.runs.schemas.gateway_keys import GatewayKey
from distil.runs.schemas.gateway_prompts import GatewayPrompt, GatewayRead
from distil.runs.schemas.gateway_state import GatewayState
from distil.runs.schemas.judge import Preference
from distil.runs.schemas.key_spending import KeySpending
from distil.runs.schemas.looks import KnownTests, Look
from distil.runs.schemas.marks import Mark
from distil.runs.schemas.metrics import MetricsRow
from distil.runs.schemas.provider_job import ProviderJob
from distil.runs.schemas.sides import Side
from distil.runs.schemas.summary import Summary
from distil.runs.schemas.trained import Trained
from distil.runs.schemas.training_run import TrainingRun
from distil.runs.schemas.until import UntilPlan, UntilRound, UntilSummary

STAGES = ("prompts", "collect", "curate", "signals", "train", "evaluate", "cost", "report")
"""In the order in which they run."""
STUDENT_STAGES = ("train", "evaluate")
"""Those with a folder per student."""


def stage_command(stage: str, name: str | None = None) -> str:
    """What to type to run a stage; `name` is the student of train and evaluate."""
    if stage == "train":
        return "distil train" + (f" --as {name}" if name else "")
    verbs = {"prompts": "prompts load", "signals": "signals build"}
    return f"distil {verbs.get(stage, stage)}" + (f" {name}" if name else "")


class Artifact(NamedTuple):
    """One kind of file in a project."""

    path: str
    """Relative to the project. NAME = a student's name, SPLIT = train, validation or test."""
    record: type[BaseModel] | str
    """The class of a line or of the file; a description if it is not a record."""
    writer: str
    """The package that makes it."""
    attribute: str | None = None
    """Its name in `Project`; None = only its writer knows the path."""

    @property
    def content(self) -> str:
        """The record's name, or the words."""
        return self.record if isinstance(self.record, str) else self.record.__name__


ARTIFACTS: tuple[Artifact, ...] = (
    Artifact("distil.yaml", "Config", "cli", "config"),
    Artifact("ledger.sqlite", Call, "calls", "ledger"),
    Artifact("work/prompts/prompts.jsonl", Prompt, "prompts", "prompts"),
    Artifact("work/prompts/expanded.jsonl", Expanded, "prompts", "expanded"),
    Artifact("work/prompts/gateway.jsonl", GatewayPrompt, "prompts", "gateway_prompts"),
    Artifact("work/prompts/gateway_read.json", GatewayRead, "prompts", "gateway_read"),
    Artifact("work/collect/batches/", "rows and state of batch jobs", "collect", "batches"),
    Artifact("work/collect/answers.jsonl", Answer, "collect", "answers"),
    Artifact("work/collect/failures.jsonl", Failure, "collect", "failures"),
    Artifact("work/collect/rounds.json", AskedInRounds, "collect", "asked_in_rounds"),
    Artifact("work/curate/SPLIT.jsonl", Example, "curate", "split"),
    Artifact("work/curate/dropped.jsonl", Verdict, "curate", "dropped"),
    Artifact("work/curate/evidence.jsonl", Evidence, "curate", "evidence"),
    Artifact("work/curate/sides.jsonl", Side, "curate", "sides"),
    Artifact("work/curate/marks.jsonl", Mark, "view", "marks"),
    Artifact(
        "work/curate/learning_curve/", "students of parts of the training rows; curve.json", "cli", "learning_curve"
    ),
    Artifact("work/curate/export/FORMAT/", "train and validation for other trainers", "curate"),
    Artifact("work/active/rounds.jsonl", ActiveRound, "active", "active_rounds"),
    Artifact("work/active/chosen.jsonl", Chosen, "active", "active_chosen"),
    Artifact("work/active/student/", "the student of the round that is being chosen", "active", "active_student"),
    Artifact("work/signals/", "shards of the teacher's distributions", "signals", "signals"),
    Artifact("work/date.txt", "the date that chat templates show", "models", "template_date"),
    Artifact("work/train/NAME/metrics.jsonl", MetricsRow, "train", "metrics"),
    Artifact("work/train/NAME/run.json", TrainingRun, "train", "training_run"),
    Artifact("work/train/NAME/trained.jsonl", Trained, "train", "trained"),
    Artifact("work/train/NAME/checkpoints/", "checkpoints of transformers' Trainer", "train"),
    Artifact("work/train/NAME/model/", "Hugging Face folder", "train", "model"),
    Artifact("work/train/NAME/adapter/", "PEFT adapter, when LoRA", "train", "adapter"),
    Artifact("work/train/NAME/provider.json", ProviderJob, "train", "provider_job"),
    Artifact(
        "work/cache.sqlite", "local answers, embeddings and hashes that need not be made again", "evaluate", "cache"
    ),
    Artifact("work/evaluate/NAME/predictions.jsonl", Prediction, "evaluate", "predictions"),
    Artifact("work/evaluate/NAME/scores.jsonl", Score, "evaluate", "scores"),
    Artifact("work/evaluate/NAME/summary.json", Summary, "evaluate", "summary"),
    Artifact("work/evaluate/looks.jsonl", Look, "evaluate", "looks"),
    Artifact("work/evaluate/test_sets.jsonl", KnownTests, "evaluate", "known_tests"),
    Artifact("work/evaluate/people.jsonl", Preference, "cli", "people"),
    Artifact("work/until/plan.json", UntilPlan, "until", "until_plan"),
    Artifact("work/until/rounds.jsonl", UntilRound, "until", "until_rounds"),
    Artifact("work/until/summary.json", UntilSummary, "until", "until"),
    Artifact("work/cost/summary.json", CostSummary, "cost", "cost"),
    Artifact("work/serve/NAME/calibration.json", Calibration, "serve", "calibration"),
    Artifact("work/serve/NAME/canaries.jsonl", Canary, "serve", "canaries"),
    Artifact("work/serve/NAME/predictions.jsonl", Prediction, "serve", "calibration_predictions"),
    Artifact("work/serve/attempts.jsonl", Attempt, "serve", "attempts"),
    Artifact("work/serve/NAME/gateway.json", GatewayState, "serve", "gateway_state"),
    Artifact("work/serve/keys.jsonl", GatewayKey, "serve", "gateway_keys"),
    Artifact("work/serve/spending.jsonl", KeySpending, "serve", "key_spending"),
    Artifact("work/serve/captured.jsonl", "requests with both answers", "serve", "captured"),
    Artifact("work/serve/audits.jsonl", Audit, "serve", "audits"),
    Artifact("work/report/index.html", "one self-contained page", "report", "report"),
)


class Project:
    """A project folder: paths only, it reads and writes nothing."""

    def __init__(self, root: Path | str = ".") -> None:
        self.root = Path(root).resolve()

    def __repr__(self) -> str:
        return f"Project({str(self.root)!r})"

    def stage(self, stage: str, name: str | None = None) -> Path:
        """The folder of a stage; train, evaluate and serve have one per student."""
        folder = self.root / "work" / stage
        return folder / name if name else folder

    @property
    def config(self) -> Path:
        return self.root / "distil.yaml"

    @property
    def template_date(self) -> Path:
        """The date that chat templates show, pinned at the first use."""
        return self.root / "work" / "date.txt"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite"

    @property
    def prompts(self) -> Path:
        return self.stage("prompts") / "prompts.jsonl"

    @property
    def expanded(self) -> Path:
        """Prompts that a teacher wrote."""
        return self.stage("prompts") / "expanded.jsonl"

    @property
    def gateway_prompts(self) -> Path:
        """Requests that the gateway captured, as prompts."""
        return self.stage("prompts") / "gateway.jsonl"

    @property
    def gateway_read(self) -> Path:
        """How far the captured requests were read."""
        return self.stage("prompts") / "gateway_read.json"

    @property
    def answers(self) -> Path:
        return self.stage("collect") / "answers.jsonl"

    @property
    def failures(self) -> Path:
        return self.stage("collect") / "failures.jsonl"

    @property
    def asked_in_rounds(self) -> Path:
        """Which command chooses in rounds what is asked; not there where all is."""
        return self.stage("collect") / "rounds.json"

    @property
    def batches(self) -> Path:
        """State of the batch jobs at providers."""
        return self.stage("collect") / "batches"

    def split(self, name: str) -> Path:
        """train, validation or test -> the file of that split."""
        return self.stage("curate") / f"{name}.jsonl"

    @property
    def dropped(self) -> Path:
        return self.stage("curate") / "dropped.jsonl"

    @property
    def evidence(self) -> Path:
        """What is known about each answer."""
        return self.stage("curate") / "evidence.jsonl"

    @property
    def sides(self) -> Path:
        """Who was ever trained on, who watched and who tested: what the split remembers."""
        return self.stage("curate") / "sides.jsonl"

    @property
    def marks(self) -> Path:
        """What a person kept or dropped in `distil view`."""
        return self.stage("curate") / "marks.jsonl"

    @property
    def signals(self) -> Path:
        return self.stage("signals")

    @property
    def learning_curve(self) -> Path:
        """A project folder for each part of the training rows."""
        return self.stage("curate") / "learning_curve"

    @property
    def active_rounds(self) -> Path:
        """The rounds of `distil collect --active`."""
        return self.root / "work" / "active" / "rounds.jsonl"

    @property
    def active_chosen(self) -> Path:
        """The prompts that each of them chose."""
        return self.root / "work" / "active" / "chosen.jsonl"

    @property
    def active_student(self) -> Path:
        """A project folder for the student of a round; deleted when the round is chosen."""
        return self.root / "work" / "active" / "student"

    def metrics(self, name: str) -> Path:
        """The log of a training."""
        return self.stage("train", name) / "metrics.jsonl"

    def training_run(self, name: str) -> Path:
        """How the last run of a training began and ended."""
        return self.stage("train", name) / "run.json"

    def trained(self, name: str) -> Path:
        """What a student learned from."""
        return self.stage("train", name) / "trained.jsonl"

    def model(self, name: str) -> Path:
        """The trained student's Hugging Face folder."""
        return self.stage("train", name) / "model"

    def adapter(self, name: str) -> Path:
        """The LoRA adapter of a student that was trained with one."""
        return self.stage("train", name) / "adapter"

    @property
    def cache(self) -> Path:
        """May be deleted: it saves time, no money."""
        return self.root / "work" / "cache.sqlite"

    def provider_job(self, name: str) -> Path:
        """The fine-tuning job of a student that was tuned at a provider."""
        return self.stage("train", name) / "provider.json"

    def predictions(self, name: str) -> Path:
        return self.stage("evaluate", name) / "predictions.jsonl"

    def scores(self, name: str) -> Path:
        return self.stage("evaluate", name) / "scores.jsonl"

    def summary(self, name: str) -> Path:
        """The evaluation of a student."""
        return self.stage("evaluate", name) / "summary.json"

    @property
    def looks(self) -> Path:
        """Who was evaluated on which test set, and when."""
        return self.stage("evaluate") / "looks.jsonl"

    @property
    def known_tests(self) -> Path:
        """The prompts of each test set that was looked at."""
        return self.stage("evaluate") / "test_sets.jsonl"

    @property
    def until_plan(self) -> Path:
        """What `distil until` planned before its first look."""
        return self.stage("until") / "plan.json"

    @property
    def until_rounds(self) -> Path:
        return self.stage("until") / "rounds.jsonl"

    @property
    def until(self) -> Path:
        """How `distil until` ended."""
        return self.stage("until") / "summary.json"

    @property
    def cost(self) -> Path:
        return self.stage("cost") / "summary.json"

    def calibration(self, name: str) -> Path:
        """The fallback threshold of a student."""
        return self.stage("serve", name) / "calibration.json"

    def canaries(self, name: str) -> Path:
        """What the server behind `serve.engine` answers to the canary prompts."""
        return self.stage("serve", name) / "canaries.jsonl"

    def calibration_predictions(self, name: str) -> Path:
        """The answers that the threshold was calibrated on."""
        return self.stage("serve", name) / "predictions.jsonl"

    def gateway_state(self, name: str) -> Path:
        """What the last gateway of a student has done."""
        return self.stage("serve", name) / "gateway.json"

    @property
    def attempts(self) -> Path:
        """All calibrations that were ever made: they share the error of the promise."""
        return self.stage("serve") / "attempts.jsonl"

    @property
    def gateway_keys(self) -> Path:
        """Hashes of the API keys of the gateway."""
        return self.stage("serve") / "keys.jsonl"

    @property
    def key_spending(self) -> Path:
        """What the teacher's answers to each API key cost."""
        return self.stage("serve") / "spending.jsonl"

    @property
    def captured(self) -> Path:
        """Requests that the teacher answered for the gateway."""
        return self.stage("serve") / "captured.jsonl"

    @property
    def audits(self) -> Path:
        """Answers of the student that the teacher gave, too, and whether they were bad."""
        return self.stage("serve") / "audits.jsonl"

    @property
    def report(self) -> Path:
        return self.stage("report") / "index.html"

    @property
    def people(self) -> Path:
        """What people said about pairs of answers in `distil view`."""
        return self.stage("evaluate") / "people.jsonl"

    def students(self) -> list[str]:
        """Names of the students whose training is done, the last one trained at the end.

        By the times in their manifests: those of files change when a project is copied, unpacked or cloned.
        """
        manifests = self.stage("train").glob("*/manifest.json")
        return [name for _, name in sorted((_finished(path), path.parent.name) for path in manifests)]

    def evaluated(self) -> list[str]:
        """Names of the students that have a summary, sorted."""
        return sorted(path.parent.name for path in self.stage("evaluate").glob("*/summary.json"))

    def calibrated(self) -> list[str]:
        """Names of the students that have a fallback threshold, sorted."""
        return sorted(path.parent.name for path in self.stage("serve").glob("*/calibration.json"))

    def placed(self, ref: str) -> str:
        """A local model that is named relative to the project, as a whole path; other names as they are."""
        folder = self.root / ref.removeprefix("local/")
        return str(folder.resolve()) if folder.is_dir() else ref

    def writable(self) -> bool:
        """Whether files can be made in it; False in a read-only folder or on a read-only disk."""
        return os.access(self.root, os.W_OK)

    def relative(self, path: Path) -> str:
        """A path as the manifest names it: relative to the project where it lies inside, absolute otherwise."""
        resolved = path.resolve()
        return resolved.relative_to(self.root).as_posix() if resolved.is_relative_to(self.root) else str(resolved)


def _finished(manifest: Path) -> str:
    """When a stage ended, ISO time in UTC; "" where the file can't be read, which whoever needs more of it will say."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("finished", "")) if isinstance(content, dict) else ""
