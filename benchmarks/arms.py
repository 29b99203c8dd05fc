"""Several ways to make a student ("arms"), each with several seeds, on the same test questions: which is better, by how much?

A benchmark says how a student is made (`measure`); here are the loop, the interval and the table. Both seeds and questions
are samples: other seeds and other questions would give other figures, and the interval has room for both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from distil.config import Config
from distil.pipeline import run_missing
from distil.records import Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records

Table = npt.NDArray[np.float64]
"""Scores of one arm: (seeds, test questions)."""


class Difference(NamedTuple):
    """How much better one arm is than another, with its 95% interval."""

    mean: float
    low: float
    high: float

    def points(self) -> str:
        """In percentage points."""
        return f"{100 * self.mean:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f}) points"


def difference(arm: Table, base: Table, confidence: float = 0.95) -> Difference:
    """Mean of arm - base over seeds and questions, both random and crossed; arm, base: (seeds, questions) of one shape.

    The variance of the mean is (MS_seeds + MS_questions - MS_rest) / n of the two-way table of differences, with Satterthwaite's
    degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2:110; for crossed random effects Clark 1973, J. Verbal Learning
    12:335). Never less than that of the questions or the seeds alone. With one seed only the questions count.
    """
    d = arm - base
    seeds, questions = d.shape
    mean = float(d.mean())
    by_question = d.mean(axis=0)
    ms_questions = float(seeds * by_question.var(ddof=1))
    if seeds == 1:
        variance, df = ms_questions / d.size, float(questions - 1)
    else:
        by_seed = d.mean(axis=1)
        ms_seeds = float(questions * by_seed.var(ddof=1))
        rest = d - by_question[None, :] - by_seed[:, None] + mean
        ms_rest = float((rest**2).sum() / ((seeds - 1) * (questions - 1)))
        ms = max(ms_seeds + ms_questions - ms_rest, ms_seeds, ms_questions)
        spread = (
            ms_seeds**2 / (seeds - 1) + ms_questions**2 / (questions - 1) + ms_rest**2 / ((seeds - 1) * (questions - 1))
        )
        variance, df = ms / d.size, ms**2 / spread if spread else 1.0
    half = float(student_t.ppf(0.5 + confidence / 2, max(df, 1.0))) * variance**0.5
    return Difference(mean, mean - half, mean + half)


def evaluated(project: Project, config: Config, name: str = "student", metric: str = "exact_match") -> list[float]:
    """Makes what is missing and returns the student's score of each test question, in order of the questions' ids."""
    run_missing(project, config, name=name)
    return scores(project, name, metric)


def scores(project: Project, name: str, metric: str) -> list[float]:
    """A student's score of each test question, in order of the questions' ids."""
    rows = {
        row.prompt_id: row.value
        for row in read_records(project.scores(name), Score)
        if row.model == name and row.metric == metric
    }
    if not rows:
        raise SystemExit(f"{project.scores(name)} has no scores of {metric} for {name}.")
    return [rows[key] for key in sorted(rows)]


def compare(
    arms: Sequence[str],
    measure: Callable[[str, int], list[float]],
    *,
    seeds: range,
    base: str,
    figures: Mapping[str, Callable[[str], str]] | None = None,
) -> dict[str, Table]:
    """Measures each arm with each seed, prints each result as it comes and the table at the end.

    measure: (arm, seed) -> score of each test question, in the same order; base: what the other arms are compared with;
    figures: heading of a further column -> its text for an arm, such as tokens of a request.
    """
    found: dict[str, list[list[float]]] = {arm: [] for arm in arms}
    for seed in seeds:
        for arm in arms:
            found[arm].append(measure(arm, seed))
            print(f"seed {seed}, {arm}: {np.mean(found[arm][-1]):.1%}", flush=True)
    tables = {arm: np.array(rows) for arm, rows in found.items()}
    extra = figures or {}
    print(f"\n| | {''.join(f'{heading} | ' for heading in extra)}score | against `{base}` |")
    print(f"|---|{'---:|' * (len(extra) + 2)}")
    for arm, table in tables.items():
        change = "-" if arm == base else difference(table, tables[base]).points()
        print(f"| {arm} | {''.join(f'{of(arm)} | ' for of in extra.values())}{table.mean():.1%} | {change} |")
    questions = next(iter(tables.values())).shape[1]
    print(f"\n{len(seeds)} seeds, {questions:,} test questions; 95% intervals over seeds and questions.")
    return tables


def _seeds(text: str) -> range:
    """3 -> 0, 1, 2; 2:3 -> 2."""
    return range(*map(int, text.split(":")))


def parser(description: str | None, *, seeds: int = 3) -> argparse.ArgumentParser:
    """The options that every comparison of arms has: --dir (kept, so that it resumes) and --seeds (3, or 2:3 for the third
    alone, so that several processes can share the seeds of one folder)."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--dir", type=Path, required=True, help="Where the projects are; what exists is not made again.")
    found.add_argument("--seeds", type=_seeds, default=range(seeds), metavar="N|FROM:TO")
    return found
