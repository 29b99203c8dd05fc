"""Reads what the page shows from the project's files. Nothing is computed, no model is called and torch is not loaded.

What does not exist yet is None or empty; the page then names the command that makes it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from distil.doctor.course import Curves
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding
from distil.records import Manifest, Verdict
from distil.report import rounds
from distil.report.cases import Cases, read_cases, test_set_exists
from distil.report.rounds import Bought
from distil.runs.artifacts import STAGES, STUDENT_STAGES, Project
from distil.runs.jsonl import read_document, read_lines, read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.cost import CostSummary, read_cost
from distil.runs.schemas.decision import DECISIONS
from distil.runs.schemas.evidence import Reason
from distil.runs.schemas.notes import CostNotes, CurateNotes
from distil.runs.schemas.summary import Summary


class Funnel(NamedTuple):
    """How prompts became examples."""

    steps: list[tuple[str, int]]
    """(what, how many), in order; the first is the widest."""
    splits: list[tuple[str, int]]
    """train, validation, test."""
    dropped: list[tuple[str, int, str]]
    """(filter, how many, an example's reason), most frequent first."""
    reasons: list[Reason]
    """The same with what was corrected, suspicious or not chosen; empty for data of an older version."""


class Facts(NamedTuple):
    """What the page shows."""

    task: str
    manifests: dict[str, Manifest]
    """`collect`, `train sft`, ... -> manifest, in the order of the work."""
    summaries: dict[str, Summary]
    """Student -> evaluation, in the order of their training."""
    baselines: tuple[str, ...]
    """Students that were trained on the references, without a teacher."""
    headline: Summary | None
    """The student that the first screen is about."""
    curves: dict[str, Curves]
    """Student -> losses of its training."""
    bought: Bought | None
    """The rounds of `distil until`."""
    cost: CostSummary | None
    """The bill before and after."""
    cost_student: str | None
    """Whose bill it is; None where it is not noted."""
    calibrations: dict[str, Calibration]
    """Student -> its fallback threshold."""
    funnel: Funnel | None
    cases: Cases | None
    """Every test prompt with the answers to it."""
    findings: list[Finding]
    """The doctor's."""
    read: list[Path]
    """Every file that was read, for the manifest."""


def gather(evidence: Evidence, findings: list[Finding]) -> Facts:
    """Reads the project. Raises UserError for a broken file."""
    project, read = evidence.project, [*_evidence_files(evidence)]
    manifests = _manifests(project, read)
    summaries, baselines = evidence.summaries, tuple(evidence.baselines)
    headline = pick_headline(summaries, baselines)
    return Facts(
        task=evidence.config.task if evidence.config else project.root.name,
        manifests=manifests,
        summaries=summaries,
        baselines=baselines,
        headline=headline,
        curves={name: curves for name in evidence.trainings if (curves := evidence.curves(name))},
        bought=_bought(project, read),
        cost=_cost(project, read),
        cost_student=CostNotes.of(manifests.get("cost")).student,
        calibrations=_calibrations(project, read),
        funnel=_funnel(project, read),
        cases=_cases(project, summaries, headline, baselines, read),
        findings=findings,
        read=read,
    )


def _evidence_files(evidence: Evidence) -> list[Path]:
    project = evidence.project
    files = [project.summary(name) for name in evidence.summaries]
    metrics = [project.metrics(name) for name in evidence.trainings]
    return files + [path for path in metrics if path.exists()]


def pick_headline(summaries: dict[str, Summary], baselines: tuple[str, ...]) -> Summary | None:
    """The distilled student with the best verdict, then the best deciding metric; a baseline only when there is nothing else."""
    distilled = [s for name, s in summaries.items() if name not in baselines] or list(summaries.values())

    def rank(summary: Summary) -> tuple[int, float]:
        quality = summary.deciding.student.mean if summary.deciding else -1.0
        return DECISIONS.index(summary.verdict.decision), quality

    return max(distilled, key=rank, default=None)


def _cases(
    project: Project,
    summaries: dict[str, Summary],
    headline: Summary | None,
    baselines: tuple[str, ...],
    read: list[Path],
) -> Cases | None:
    if headline is None or not test_set_exists(project) or not project.predictions(headline.name).exists():
        return None
    files = [path for name in summaries for path in (project.predictions(name), project.scores(name))]
    read += [path for path in (project.split("test"), project.marks, project.people, *files) if path.exists()]
    return read_cases(project, summaries, headline, baselines)


def _note(path: Path, read: list[Path]) -> Path:
    read.append(path)
    return path


def _manifests(project: Project, read: list[Path]) -> dict[str, Manifest]:
    """In the order of the stages, students by the time they finished; the report's own is left out."""
    manifests: dict[str, Manifest] = {}
    for stage in STAGES[:-1]:
        names = [path.parent.name for path in project.stage(stage).glob("*/manifest.json")]
        rows = [read_manifest(project, stage, name) for name in (names if stage in STUDENT_STAGES else [None])]
        for manifest in sorted((row for row in rows if row), key=lambda row: (row.finished, row.name or "")):
            manifests[f"{stage} {manifest.name}" if manifest.name else stage] = manifest
            read.append(project.stage(stage, manifest.name) / "manifest.json")
    return manifests


def _bought(project: Project, read: list[Path]) -> Bought | None:
    read += [path for path in (project.until_plan, project.until_rounds, project.until) if path.exists()]
    return rounds.read(project)


def _cost(project: Project, read: list[Path]) -> CostSummary | None:
    return read_cost(_note(project.cost, read)) if project.cost.exists() else None


def _calibrations(project: Project, read: list[Path]) -> dict[str, Calibration]:
    files = {name: project.calibration(name) for name in project.calibrated()}
    return {
        name: read_document(_note(path, read), Calibration, command=f"distil calibrate {name}")
        for name, path in files.items()
    }


def _funnel(project: Project, read: list[Path]) -> Funnel | None:
    def count(path: Path) -> int | None:
        return sum(1 for _ in read_lines(_note(path, read))) if path.exists() else None

    prompts, answers = count(project.prompts), count(project.answers)
    splits = [(name, n) for name in ("train", "validation", "test") if (n := count(project.split(name))) is not None]
    if prompts is None and answers is None:
        return None
    steps = [
        ("prompts", prompts),
        ("answers", answers),
        ("examples kept", sum(n for _, n in splits) if splits else None),
    ]
    return Funnel([(name, n) for name, n in steps if n is not None], splits, _dropped(project, read), _reasons(project))


def _reasons(project: Project) -> list[Reason]:
    return CurateNotes.of(read_manifest(project, "curate")).reasons


def _dropped(project: Project, read: list[Path]) -> list[tuple[str, int, str]]:
    if not project.dropped.exists():
        return []
    verdicts = [v for v in read_records(_note(project.dropped, read), Verdict) if not v.keep]
    reasons: dict[str, str] = {}
    for verdict in verdicts:
        reasons.setdefault(verdict.filter, verdict.reason)
    return [(name, n, reasons[name]) for name, n in Counter(v.filter for v in verdicts).most_common()]
