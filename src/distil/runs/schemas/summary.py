"""The evaluation of one student: the content of work/evaluate/NAME/summary.json.

Models are called `teacher` (its answers in test.jsonl), `ceiling` (the teacher asked a second time), `base` (the student before
distillation) and by the student's name. Not the statistics or the decision: those are in distil/evaluate/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from distil.errors import UserError
from distil.records import Record
from distil.runs.jsonl import read_document, read_json
from distil.runs.schemas.decision import Deciding, Guard, Looks, ShipDecision
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.judge import JudgeSummary
from distil.runs.schemas.labels import LabelReport

SUMMARY_VERSION = 2


class MetricInfo(Record):
    """What a metric is, so that a reader of the file needs nothing else."""

    label: str
    """For tables."""
    against: Literal["teacher", "reference", "nothing"]
    """What answers are compared with."""
    better: Literal["higher", "lower", "one"]
    """Which way is good."""


class Slice(Record):
    """The deciding metric on a part of the prompts."""

    field: str
    """length | group | label | topic, or a column of the user's rows."""
    name: str
    """Which part, such as `8 to 21 words` or the column's value."""
    prompts: int
    """How many prompts."""
    set_apart: bool
    """These prompts do not count for the verdict (evaluate.set_apart)."""
    student: Interval
    """The student's mean."""
    other: Interval | None
    """That of the teacher, or of its second answer where the metric compares with the teacher; None where it was not measured."""
    difference: Interval | None
    """Student minus that, on the same prompts; positive = the student is better."""
    p: float | None
    """Two-sided, of the test that belongs to the interval."""
    p_corrected: float | None
    """The same after Holm's correction over all slices."""


class CoveragePoint(Record):
    """What if the student answered only the share of prompts that it is most sure of (by mean token log-probability)?"""

    coverage: float
    """Share of the prompts that the student answers itself."""
    served: float
    """Mean of the deciding metric over those."""
    together: float | None
    """Mean over all prompts when the teacher answers the rest; None where the metric does not measure the teacher."""


class Size(Record):
    """How big a model is."""

    parameters: int
    """Weights, tied ones counted once."""
    bytes: int
    """In memory, at the precision it ran in."""


class Speed(Record):
    """How fast a model answers. Measured on the machine that evaluated, or, for a remote teacher, from its replies."""

    tokens_per_second: float | None
    """Answer tokens per second in batches; None for a remote model."""
    latency_p50_s: float | None
    """Median seconds of one request alone."""
    latency_p95_s: float | None
    """95th percentile."""
    requests: int
    """Requests behind the latencies."""
    where: str
    """cpu | cuda | mps | remote."""


class Summary(Record):
    """The content of summary.json."""

    summary_version: int = SUMMARY_VERSION
    """Of this file."""
    name: str
    """The student."""
    base_model: str
    """What it was before."""
    teachers: list[str]
    """Who gave the answers in test.jsonl."""
    test_prompts: int
    """Test prompts that count for the verdict."""
    set_apart: int
    """Further ones that are shown as a slice only."""
    clusters: int
    """Independent groups among them; intervals are clustered by these."""
    confidence: float
    """Of all intervals."""
    primary: str
    """The metric that decides: the first in evaluate/verdict.py's order that the task allows, or `judge`."""
    metrics: dict[str, MetricInfo]
    """Metric -> what it is."""
    models: dict[str, dict[str, Interval]]
    """Model -> metric -> interval."""
    fields: dict[str, dict[str, Interval]]
    """Model -> field of the JSON answer -> share right."""
    fields_against: Literal["reference", "teacher"] | None
    """What the fields are compared with."""
    floor: Interval | None
    """Similarity of the teacher's answers to different prompts: worth nothing."""
    labels: list[LabelReport] = Field(default_factory=list)
    """Of every model, where answers or fields of answers are labels; the most frequent confusions are there."""
    normalised_similarity: float | None
    """(similarity - floor) / (ceiling - floor): 0 = unrelated, 1 = like the teacher itself."""
    long_texts: float | None
    """Share of answers longer than the embedding model reads at once (embedded in pieces)."""
    differences: list[Difference]
    """Student minus teacher, ceiling and base."""
    retention: dict[str, Interval]
    """Metric -> student's mean over the teacher's (metrics against the teacher: over the ceiling's). Similarity is counted from
    the floor: unrelated answers retain 0."""
    verdict: ShipDecision
    """The decision."""
    deciding: Deciding | None
    """The test of the deciding metric; None where there is nothing to compare with."""
    guards: list[Guard]
    """The other ways to be wrong, broken ones first."""
    looks: Looks
    """How often these test prompts were used."""
    goals: dict[str, float]
    """goal_similarity, margin, least_retention as they were set."""
    slices: list[Slice]
    """The deciding metric by parts of the prompts, worst first; those set apart come first."""
    confidence_curve: list[CoveragePoint]
    """From few prompts to all; empty where the student gives no log-probabilities. No promise: `distil calibrate` makes one."""
    judge: JudgeSummary | None
    """None when no judge was asked."""
    size: dict[str, Size]
    """Model -> size."""
    speed: dict[str, Speed]
    """Model -> speed."""
    usd_per_1000: dict[str, float]
    """Model -> dollars per 1,000 requests like these, where it is known."""
    usd: float
    """What this evaluation cost now (second answers and judge)."""
    notes: list[str]
    """What a reader should know: what was not measured, and why."""
    missing: list[str] = Field(default_factory=list)
    """What a model was asked for and did not give, which `notes` say, too; empty = the evaluation is complete."""

    def difference(self, metric: str, versus: str) -> Difference | None:
        """Student minus `versus` (teacher | ceiling | base) on a metric; None where it was not measured."""
        return next((d for d in self.differences if d.metric == metric and d.versus == versus), None)

    def rows(self) -> list[dict[str, str]]:
        """One row per metric with `mean ± half width` for each model, for a table."""
        order = [model for model in ("teacher", "ceiling", self.name, "base") if model in self.models]
        return [
            {"metric": info.label, **{model: _short(self.models[model].get(name)) for model in order}}
            for name, info in self.metrics.items()
        ]

    def __str__(self) -> str:
        """A plain table of the metrics, the verdict and the remarks: what `distil evaluate` prints."""
        rows = self.rows()
        columns = list(rows[0]) if rows else []
        widths = {c: max(len(c), *(len(row[c]) for row in rows)) for c in columns}
        table = [
            "  ".join(cell.ljust(widths[c]) for c, cell in row.items()) for row in [{c: c for c in columns}, *rows]
        ]
        return "\n".join([*table, "", f"{self.verdict.decision}: {self.verdict.sentence}", *self.remarks()])

    def remarks(self) -> list[str]:
        """What belongs below the verdict: the steps that come next, what the judge said, and the notes."""
        steps = [f"Next: {step}" for step in self.verdict.next_steps]
        return [*steps, *(self.judge.lines() if self.judge else []), *self.notes]


def _short(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ± {(interval.high - interval.low) / 2:.3f}"


def read_summary(path: Path) -> Summary:
    """Reads a summary.json. Raises UserError when it is missing, broken or of another version."""
    value = read_json(path)
    if isinstance(value, dict) and value.get("summary_version") != SUMMARY_VERSION:
        raise UserError(
            f"{path} has version {value.get('summary_version')}, this tool reads {SUMMARY_VERSION}. Run `distil evaluate` again."
        )
    return read_document(path, Summary, command="distil evaluate")
