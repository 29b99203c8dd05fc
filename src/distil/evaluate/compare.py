"""`distil compare A B [C ...]`: students on the same test prompts, paired; of one project or of several.

Reads what `distil evaluate` wrote and calls no model. Not the verdict: which of them may ship is said there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from distil.errors import UserError, did_you_mean
from distil.evaluate import aggregate, stats
from distil.evaluate.examples import read_test_set
from distil.evaluate.metrics import DECIDING
from distil.evaluate.scoring import Table
from distil.evaluate.slices import is_apart
from distil.records import Example, Record, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.notes import EvaluateSettings
from distil.runs.schemas.summary import MetricInfo, Summary, read_summary

JUDGE = MetricInfo(label="as good as the teacher, says the judge", against="teacher", better="higher")


class Pair(Record):
    """A minus B on the shared prompts."""

    a: str
    """A student."""
    b: str
    """Another."""
    differences: list[Difference]
    """A minus B, the deciding metric first. Its p value is corrected (Holm) over all pairs; those of the other metrics over all
    other metrics of all pairs. `only_student` counts for A, `only_other` for B."""
    outcome: str
    """better | worse | open: what is shown of A on the deciding metric."""
    sentence: str
    """The same in words, with its numbers."""


class Comparison(Record):
    """Several students on the prompts that all of them answered."""

    students: list[str]
    """Best first, by the mean of the deciding metric (or as named)."""
    metric: str
    """The metric that decides."""
    shared_prompts: int
    """Prompts with scores of all."""
    means: dict[str, dict[str, Interval]]
    """Student -> metric -> interval over the shared prompts."""
    metrics: dict[str, MetricInfo]
    """Metric -> what it is."""
    pairs: list[Pair]
    """Each two of them, in the order of the students."""
    sentence: str
    """What can be said about the metric that decides."""
    notes: list[str]
    """For a person: what was left out, and where the students were not measured alike."""


class Entry(NamedTuple):
    """One student to compare."""

    project: Project
    name: str
    label: str
    """What it is called here: its name, with the project's where two have the same."""
    summary: Summary


def run(projects: Sequence[Project], names: Sequence[str], *, ranked: bool = True) -> Comparison:
    """Compares students, each taken from every project that has evaluated it.

    ranked: the best first; False keeps the order of the names. Raises UserError when one is not evaluated, fewer than two are
    left, or they share no test prompt or metric.
    """
    entries = _entries(projects, names)
    tests = {
        project.root: _examples(project)
        for project in {entry.project.root: entry.project for entry in entries}.values()
    }
    apart = {entry.label: _apart(entry, tests[entry.project.root]) for entry in entries}
    table: Table = {entry.label: _values(entry) for entry in entries}
    examples: dict[str, Example] = {}
    for rows in tests.values():
        examples = {**rows, **examples}
    shared = _shared(entries, table, apart, examples)
    for label, metrics in table.items():
        kept = {metric: {p: v for p, v in values.items() if p in shared} for metric, values in metrics.items()}
        table[label] = {metric: values for metric, values in kept.items() if values}
    metric = _metric(entries, table)
    infos = {name: info for entry in reversed(entries) for name, info in entry.summary.metrics.items()} | {
        "judge": JUDGE
    }
    groups = {prompt: examples[prompt].group for prompt in shared}
    confidence = entries[0].summary.confidence
    means = aggregate.intervals(table, groups, confidence)
    sign = -1 if infos[metric].better == "lower" else 1
    order = sorted(table, key=lambda label: -sign * means[label][metric].mean) if ranked else list(table)
    pairs = _pairs(table, order, metric, infos, groups, confidence)
    return Comparison(
        students=order,
        metric=metric,
        shared_prompts=len(shared),
        means=means,
        metrics={name: info for name, info in infos.items() if any(name in metrics for metrics in means.values())},
        pairs=pairs,
        sentence=_sentence(order, means, metric, infos[metric].label, pairs),
        notes=_notes(entries, table, tests, apart, shared),
    )


def pair(project: Project, a: str, b: str) -> Pair:
    """Two students of one project, A first. Raises UserError as `run` does."""
    return run([project], [a, b], ranked=False).pairs[0]


def evaluated(project: Project, name: str) -> Summary:
    """The summary of one student. Raises UserError that says how to get it."""
    path = project.summary(name)
    if not path.exists():
        have = project.evaluated()
        known = f" Evaluated: {', '.join(have)}.{did_you_mean(name, have)}" if have else ""
        raise UserError(f"{name!r} is not evaluated.{known} Run `distil evaluate {name}`.")
    return read_summary(path)


def _entries(projects: Sequence[Project], names: Sequence[str]) -> list[Entry]:
    places = list({project.root: project for project in projects}.values())
    found = []
    for name in dict.fromkeys(names):
        having = [project for project in places if project.summary(name).exists()]
        for project in having or places[:1]:
            label = name if len(having) < 2 else f"{project.root.name}/{name}"
            found.append(Entry(project, name, label, evaluated(project, name)))
    labels = [entry.label for entry in found]
    if len(set(labels)) < len(labels):
        found = [entry._replace(label=f"{entry.project.root}/{entry.name}") for entry in found]
    if len(found) < 2:
        have = ", ".join(dict.fromkeys(name for project in places for name in project.evaluated()))
        raise UserError(f"A comparison needs two students, found only {labels[0]!r}. Evaluated: {have}.")
    return found


def _examples(project: Project) -> dict[str, Example]:
    return {example.prompt_id: example for example in read_test_set(project, trained=False).examples}


def _apart(entry: Entry, examples: dict[str, Example]) -> set[str]:
    """Prompts that do not count for the student's verdict (evaluate.set_apart)."""
    settings = EvaluateSettings.of(read_manifest(entry.project, "evaluate", entry.name))
    return {prompt for prompt, example in examples.items() if is_apart(example, settings.set_apart)}


def _values(entry: Entry) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {}
    for score in read_records(entry.project.scores(entry.name), Score):
        if score.model == entry.name:
            values.setdefault(score.metric, {})[score.prompt_id] = score.value
    return values


def _shared(
    entries: Sequence[Entry], table: Table, apart: dict[str, set[str]], examples: dict[str, Example]
) -> set[str]:
    """Prompts that count for all students. Raises UserError that names two students without one in common."""
    own = {label: {p for values in metrics.values() for p in values} - apart[label] for label, metrics in table.items()}
    shared = set.intersection(*own.values()) & examples.keys()
    if shared:
        return shared
    labels = [entry.label for entry in entries]
    apart_two = next(((a, b) for a, b in combinations(labels, 2) if not own[a] & own[b] & examples.keys()), labels[:2])
    raise UserError(
        f"{apart_two[0]} and {apart_two[1]} were evaluated on different test prompts, so they can't be paired. "
        f"Run `distil evaluate` again for both, on the same test prompts."
    )


def _metric(entries: Sequence[Entry], table: Table) -> str:
    """The metric that decided for the first student, else the first that all have. Raises UserError when there is none."""
    common = set.intersection(*(set(metrics) for metrics in table.values()))
    wanted = [entry.summary.primary for entry in entries]
    metric = next((name for name in (*wanted, *DECIDING) if name in common), None)
    if metric is None:
        decided = ", ".join(f"{entry.label} by {entry.summary.primary}" for entry in entries)
        raise UserError(
            f"The students were measured by different metrics ({decided}) and none that can decide is common to all. "
            "Run `distil evaluate NAME --set evaluate.metrics=default` for each."
        )
    return metric


def _pairs(
    table: Table,
    order: Sequence[str],
    metric: str,
    infos: dict[str, MetricInfo],
    groups: aggregate.Groups,
    confidence: float,
) -> list[Pair]:
    """Every two students with p values corrected over the pairs (Holm 1979)."""
    rows = {(a, b): aggregate.differences(table, a, [b], groups, confidence) for a, b in combinations(order, 2)}
    named = {f"{a}\0{b}\0{d.metric}": d.p for (a, b), found in rows.items() for d in found if d.p is not None}
    deciding = {key: p for key, p in named.items() if key.endswith(f"\0{metric}")}
    corrected = stats.holm(deciding) | stats.holm({key: p for key, p in named.items() if key not in deciding})
    pairs = []
    for (a, b), found in rows.items():
        own = [d.model_copy(update={"p_holm": corrected.get(f"{a}\0{b}\0{d.metric}")}) for d in found]
        own.sort(key=lambda d: d.metric != metric)
        outcome = _outcome(own[0], infos[metric], confidence)
        sentence = _pair_sentence(a, b, own[0], infos[metric].label, outcome, len(rows))
        pairs.append(Pair(a=a, b=b, differences=own, outcome=outcome, sentence=sentence))
    return pairs


def _outcome(row: Difference, info: MetricInfo, confidence: float) -> str:
    """Shown only where the corrected p value and the interval say the same."""
    low, high = row.difference.low, row.difference.high
    if row.p_holm is None or low is None or high is None or row.p_holm >= 1 - confidence or low <= 0 <= high:
        return "open"
    return "better" if (low > 0) != (info.better == "lower") else "worse"


def _pair_sentence(a: str, b: str, row: Difference, label: str, outcome: str, pairs: int) -> str:
    interval = row.difference
    if interval.low is None or interval.high is None or row.p_holm is None:
        return f"{a} and {b} can't be told apart: there are too few independent prompts ({interval.n})."
    over = f" corrected over {pairs} pairs" if pairs > 1 else ""
    measured = (
        f"{interval.mean:+.3f} {label} ({interval.low:+.3f} to {interval.high:+.3f}, p {row.p_holm:.3g}{over}, "
        f"{interval.n} prompts)"
    )
    if outcome == "open":
        return f"No difference between {a} and {b} is shown: {measured}."
    return f"{a} is {outcome} than {b}: {measured}."


def _sentence(
    order: Sequence[str], means: dict[str, dict[str, Interval]], metric: str, label: str, pairs: Sequence[Pair]
) -> str:
    """Of two students: their pair. Of more: the best, over whom it is shown to be better, and what choosing it costs."""
    if len(order) == 2:
        return pairs[0].sentence
    best = order[0]
    outcomes = {p.b: p.outcome for p in pairs if p.a == best}
    shown = [other for other, outcome in outcomes.items() if outcome == "better"]
    rest = [other for other in outcomes if other not in shown]
    parts = [f"is shown to be better than {', '.join(shown)}"] if shown else []
    parts += [f"is not shown to be better than {', '.join(rest)}"] if rest else []
    return (
        f"Best of {len(order)} students: {best} ({label} {means[best][metric].mean:.3f}) {' and '.join(parts)} "
        f"(p values corrected over {len(pairs)} pairs). Its mean is that of the best of {len(order)} on the same test prompts, "
        "so expect a little less on new ones."
    )


def _notes(
    entries: Sequence[Entry],
    table: Table,
    tests: Mapping[Path, dict[str, Example]],
    apart: dict[str, set[str]],
    shared: set[str],
) -> list[str]:
    notes = []
    most = max(entry.summary.test_prompts for entry in entries)
    if len(shared) < most:
        notes.append(f"Compared on the {len(shared):,} prompts that all have; the largest test set has {most:,}.")
    if any(apart.values()):
        notes.append("Prompts that evaluate.set_apart names are left out.")
    targets: dict[str, set[str]] = {}
    for rows in tests.values():
        for prompt in shared & rows.keys():
            targets.setdefault(prompt, set()).add(rows[prompt].answer)
    differ = sum(len(answers) > 1 for answers in targets.values())
    if differ:
        notes.append(
            f"The projects have different teacher's answers to {differ:,} of the prompts: metrics against the teacher compare "
            "each student with its own."
        )
    return notes
