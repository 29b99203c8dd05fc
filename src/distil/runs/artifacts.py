"""The map of the whole program: every file of a project, its record type, who writes it and who reads it.

Not a registry: nothing is looked up here at run time except the paths, which come from `Project`. docs/architecture.md draws
its table from this list, and a test holds the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

STAGES = ("prompts", "collect", "curate", "signals", "train", "evaluate", "cost", "report")


class Artifact(NamedTuple):
    """One kind of file in a project."""

    path: str
    """Relative to the project; NAME stands for a student's name."""
    record: str
    """What a line or the file holds."""
    writer: str
    """The stage that makes it."""
    readers: tuple[str, ...]
    """The stages that use it."""


ARTIFACTS: tuple[Artifact, ...] = (
    Artifact("distil.yaml", "Config", "init", ("all",)),
    Artifact("ledger.sqlite", "Call + raw bodies", "calls", ("collect", "cost", "report", "ledger")),
    Artifact("work/prompts/prompts.jsonl", "Prompt", "prompts", ("collect", "curate", "plan")),
    Artifact("work/prompts/expanded.jsonl", "new prompts with their parents", "prompts expand", ("prompts",)),
    Artifact("work/collect/batches/", "rows and state of batch jobs", "collect", ("collect",)),
    Artifact("work/collect/answers.jsonl", "Answer", "collect", ("curate", "cost", "doctor")),
    Artifact("work/collect/failures.jsonl", "prompt id, teacher and why", "collect", ("collect", "doctor")),
    Artifact("work/curate/train.jsonl", "Example (chat line)", "curate", ("signals", "train", "doctor")),
    Artifact("work/curate/validation.jsonl", "Example (chat line)", "curate", ("train", "serve")),
    Artifact("work/curate/test.jsonl", "Example (chat line)", "curate", ("evaluate",)),
    Artifact("work/curate/dropped.jsonl", "Verdict", "curate", ("doctor", "report")),
    Artifact("work/curate/marks.jsonl", "Verdict by a person", "view", ("curate",)),
    Artifact("work/curate/export/FORMAT/", "train and validation in other formats", "export", ("other trainers",)),
    Artifact("work/signals/", "shards of the teacher's distributions", "signals", ("train",)),
    Artifact("work/train/NAME/metrics.jsonl", "step metrics", "train", ("report", "doctor")),
    Artifact("work/train/NAME/checkpoints/", "Trainer checkpoints", "train", ("train",)),
    Artifact("work/train/NAME/model/", "Hugging Face folder", "train", ("evaluate", "serve", "export")),
    Artifact("work/train/NAME/adapter/", "PEFT adapter, when LoRA", "train", ("export",)),
    Artifact("work/evaluate/NAME/predictions.jsonl", "Prediction", "evaluate", ("doctor", "serve", "view")),
    Artifact("work/evaluate/NAME/scores.jsonl", "Score", "evaluate", ("report", "compare")),
    Artifact("work/evaluate/NAME/summary.json", "verdict and intervals", "evaluate", ("report", "doctor", "cost")),
    Artifact("work/cost/summary.json", "spent, months, payback", "cost", ("report",)),
    Artifact("work/serve/NAME/calibration.json", "threshold and its promise", "calibrate", ("serve", "cost", "report")),
    Artifact("work/serve/NAME/predictions.jsonl", "Prediction", "calibrate", ("calibrate",)),
    Artifact("work/serve/captured.jsonl", "Prompt", "serve", ("prompts",)),
    Artifact("work/report/index.html", "one self-contained page", "report", ("people",)),
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
    def answers(self) -> Path:
        return self.stage("collect") / "answers.jsonl"

    @property
    def failures(self) -> Path:
        return self.stage("collect") / "failures.jsonl"

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
    def marks(self) -> Path:
        """What a person kept or dropped in `distil view`."""
        return self.stage("curate") / "marks.jsonl"

    @property
    def signals(self) -> Path:
        return self.stage("signals")

    def metrics(self, name: str) -> Path:
        """The log of a training."""
        return self.stage("train", name) / "metrics.jsonl"

    def model(self, name: str) -> Path:
        """The trained student's Hugging Face folder."""
        return self.stage("train", name) / "model"

    def adapter(self, name: str) -> Path:
        """The LoRA adapter of a student that was trained with one."""
        return self.stage("train", name) / "adapter"

    def predictions(self, name: str) -> Path:
        return self.stage("evaluate", name) / "predictions.jsonl"

    def scores(self, name: str) -> Path:
        return self.stage("evaluate", name) / "scores.jsonl"

    def summary(self, name: str) -> Path:
        """The evaluation of a student."""
        return self.stage("evaluate", name) / "summary.json"

    @property
    def cost(self) -> Path:
        return self.stage("cost") / "summary.json"

    def calibration(self, name: str) -> Path:
        """The fallback threshold of a student."""
        return self.stage("serve", name) / "calibration.json"

    def calibration_predictions(self, name: str) -> Path:
        """The answers that the threshold was calibrated on."""
        return self.stage("serve", name) / "predictions.jsonl"

    @property
    def captured(self) -> Path:
        """Requests that the gateway sent to the teacher."""
        return self.stage("serve") / "captured.jsonl"

    @property
    def report(self) -> Path:
        return self.stage("report") / "index.html"

    def students(self) -> list[str]:
        """Names of the students whose training is done, oldest manifest first."""
        manifests = self.stage("train").glob("*/manifest.json")
        return [m.parent.name for m in sorted(manifests, key=lambda m: m.stat().st_mtime)]

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

    def relative(self, path: Path) -> str:
        """A path as the manifest names it: relative to the project where it lies inside, absolute otherwise."""
        resolved = path.resolve()
        return resolved.relative_to(self.root).as_posix() if resolved.is_relative_to(self.root) else str(resolved)
