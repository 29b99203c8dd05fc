"""`distil compare A B`: two students on the same test prompts, paired.

Reads what `distil evaluate` wrote for both and calls no model. Not the verdict.
"""

from __future__ import annotations

from distil.errors import UserError, did_you_mean
from distil.evaluate import aggregate
from distil.evaluate.scoring import Table
from distil.records import Record, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.summary import MetricInfo, Summary, read_summary


class Comparison(Record):
    """A minus B on the prompts that both answered."""

    a: str
    """A student."""
    b: str
    """Another."""
    shared_prompts: int
    """Prompts with scores of both."""
    means: dict[str, dict[str, Interval]]
    """a's and b's name -> metric -> interval over all their prompts."""
    metrics: dict[str, MetricInfo]
    """Metric -> what it is."""
    differences: list[Difference]
    """A minus B, Holm-corrected; `only_student` counts for A, `only_other` for B."""
    sentence: str
    """What can be said about the metric that decides."""

    def rows(self) -> list[dict[str, str | float | None]]:
        """One flat row per metric, for a table."""
        return [
            {
                "metric": self.metrics[d.metric].label if d.metric in self.metrics else d.metric,
                self.a: self.means[self.a][d.metric].mean,
                self.b: self.means[self.b][d.metric].mean,
                "difference": d.difference.mean,
                "low": d.difference.low,
                "high": d.difference.high,
                "p (Holm)": d.p_holm,
            }
            for d in self.differences
        ]


def run(project: Project, a: str, b: str) -> Comparison:
    """Compares two evaluated students. Raises UserError when one is not evaluated or they share no test prompt."""
    summaries = {name: evaluated(project, name) for name in (a, b)}
    table: Table = {name: _values(project, name) for name in (a, b)}
    groups = {example.prompt_id: example.group for example in read_examples(project.split("test"))}
    shared = {p for values in table[a].values() for p in values} & {p for values in table[b].values() for p in values}
    if not shared & groups.keys():
        raise UserError(
            f"{a} and {b} were evaluated on different test prompts, so they can't be paired. "
            "Run `distil evaluate` again for both."
        )
    for name in (a, b):
        table[name] = {
            metric: {p: v for p, v in values.items() if p in groups} for metric, values in table[name].items()
        }
    confidence = summaries[a].confidence
    differences = aggregate.differences(table, a, [b], groups, confidence)
    return Comparison(
        a=a,
        b=b,
        shared_prompts=len(shared),
        means=aggregate.intervals(table, groups, confidence),
        metrics=summaries[a].metrics,
        differences=differences,
        sentence=_sentence(summaries[a], differences, a, b),
    )


def evaluated(project: Project, name: str) -> Summary:
    """The summary of one student. Raises UserError that says how to get it."""
    path = project.summary(name)
    if not path.exists():
        have = project.evaluated()
        known = f" Evaluated: {', '.join(have)}.{did_you_mean(name, have)}" if have else ""
        raise UserError(f"{name!r} is not evaluated.{known} Run `distil evaluate {name}`.")
    return read_summary(path)


def _values(project: Project, name: str) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {}
    for score in read_records(project.scores(name), Score):
        if score.model == name and score.metric != "judge":
            values.setdefault(score.metric, {})[score.prompt_id] = score.value
    return values


def _sentence(summary: Summary, differences: list[Difference], a: str, b: str) -> str:
    row = next((d for d in differences if d.metric == summary.primary), None)
    if row is None or row.difference.low is None or row.difference.high is None:
        return f"{a} and {b} can't be told apart: there are too few shared prompts."
    label = summary.metrics[summary.primary].label
    low, high = row.difference.low, row.difference.high
    measured = f"{row.difference.mean:+.3f} {label} ({low:+.3f} to {high:+.3f}, {row.difference.n} prompts)"
    if low > 0:
        return f"{a} is better than {b}: {measured}."
    if high < 0:
        return f"{a} is worse than {b}: {measured}."
    return f"No difference between {a} and {b} is shown: {measured}."
