"""Error, power and coverage of the verdict's statistics, by simulation: the table of docs/results_verdict.md.

    python benchmarks/verdict_error.py [--runs 4000] [--only PART] [--json out.json]

Every row draws `--runs` test sets. "False pass": how often non_inferiority() passes when the student is exactly the margin worse
(2.5% is promised). "Old rule": the same for a t interval by group, C - 1 degrees of freedom. "Power": how often it passes when
the student loses a fifth of the margin. "Coverage": of the 95% interval of the difference, at the margin. No model, no network.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distil.evaluate.stats.means import t_quantile
from distil.stats.bounded import chance_above, units_of

Array = npt.NDArray[np.float64]
Sizes = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator, int, float], tuple[Array, Array]]
"""(generator, how many independent draws, true loss) -> (student (m,), teacher (m,))."""


def always_right(rng: np.random.Generator, m: int, loss: float) -> tuple[Array, Array]:
    """The teacher is always right, the student wrong with chance `loss`."""
    return (rng.random(m) >= loss).astype(float), np.ones(m)


def agreeing(level: float, together: float) -> Draw:
    """0/1: the teacher is right with chance `level`; `together` is the share of the student's answers copied from it."""

    def draw(rng: np.random.Generator, m: int, loss: float) -> tuple[Array, Array]:
        teacher = rng.random(m) < level
        own = rng.random(m) < level
        student = np.where(rng.random(m) < together, teacher, own)
        # P(student right) is `level` so far; turn right answers wrong until the loss is met
        student &= rng.random(m) >= loss / level
        return student.astype(float), teacher.astype(float)

    return draw


def fields(count: int) -> Draw:
    """Share of `count` JSON fields right: mostly 1, a rare answer has one wrong field or, a quarter of them, all wrong."""

    def draw(rng: np.random.Generator, m: int, loss: float) -> tuple[Array, Array]:
        chance = loss / (0.75 / count + 0.25)
        bad = rng.random(m) < chance
        missing = np.where(rng.random(m) < 0.25, 1.0, 1.0 / count)
        return 1 - bad * missing, np.ones(m)

    return draw


def shifted(rng: np.random.Generator, m: int, loss: float) -> tuple[Array, Array]:
    """The student is worse by the same amount everywhere."""
    teacher = rng.uniform(0.5, 1.0, m)
    return teacher - loss, teacher


def similarity(rng: np.random.Generator, m: int, loss: float) -> tuple[Array, Array]:
    """Values like similarities: beta with mean 0.8, student and teacher independent."""
    return rng.beta(16 * (0.8 - loss), 16 * (0.2 + loss), m), rng.beta(12.8, 3.2, m)


def skewed(rng: np.random.Generator, m: int, loss: float) -> tuple[Array, Array]:
    """Rare big losses: nearly equal everywhere, but one answer in some loses 0.8."""
    teacher = rng.beta(18, 2, m)
    lost = (rng.random(m) < loss / 0.72) * 0.8 * teacher
    return teacher - lost, teacher


DRAWS: dict[str, Draw] = {
    "teacher always right": always_right,
    "teacher 80%, little agreement": agreeing(0.8, 0.2),
    "teacher 80%, much agreement": agreeing(0.8, 0.95),
    "teacher 95%": agreeing(0.95, 0.5),
    "share of 3 fields": fields(3),
    "share of 7 fields": fields(7),
    "the same loss everywhere": shifted,
    "similarity": similarity,
    "rare big losses": skewed,
}


def correlated(draw: Draw, rng: np.random.Generator, index: Sizes, loss: float, icc: float) -> tuple[Array, Array]:
    """Values whose correlation inside a group is `icc`: each prompt takes its group's draw with chance sqrt(icc)."""
    own, shared = draw(rng, len(index), loss), draw(rng, int(index.max()) + 1, loss)
    takes = rng.random(len(index)) < math.sqrt(icc)
    return np.where(takes, shared[0][index], own[0]), np.where(takes, shared[1][index], own[1])


class Setting(NamedTuple):
    """One row."""

    values: str
    groups: str
    sizes: tuple[int, ...]
    icc: float = 0.0
    margin: float = 0.05
    confidence: float = 0.95


def settings(only: str | None) -> Iterator[tuple[str, Setting]]:
    """(part, setting) for every row."""
    parts: dict[str, list[Setting]] = {
        "independent": [Setting(v, "none", (1,) * n) for v in DRAWS for n in (30, 50, 72, 100, 200, 300, 400, 800)],
        "equal groups": [
            Setting(v, f"{n // m} of {m}", (m,) * (n // m), icc)
            for v in ("teacher always right", "teacher 80%, much agreement", "share of 3 fields", "rare big losses")
            for n in (200, 800, 2000)
            for m in (2, 5, 10, 20, 50)
            for icc in (0.0, 0.2, 0.5, 1.0)
            if n // m >= 4
        ],
        "unequal groups": [
            Setting(v, name, sizes, icc)
            for v in ("teacher always right", "teacher 80%, much agreement", "share of 3 fields")
            for name, sizes in UNEQUAL.items()
            for icc in (0.0, 0.2, 0.5, 1.0)
        ],
        "other margins": [
            Setting(v, "none", (1,) * n, margin=margin, confidence=confidence)
            for v in ("teacher always right", "teacher 80%, much agreement", "share of 3 fields", "similarity")
            for margin, n in ((0.01, 800), (0.02, 400), (0.1, 50), (0.1, 200))
            for confidence in (0.9, 0.99)
        ],
    }
    for part, rows in parts.items():
        if only is None or part.startswith(only):
            yield from ((part, row) for row in rows)


UNEQUAL: dict[str, tuple[int, ...]] = {
    "4 unequal": (5, 20, 60, 115),
    "8 unequal": (2, 3, 5, 10, 20, 40, 50, 70),
    "20 unequal": tuple(int(4 * 1.25**k) for k in range(20)),
    "100 unequal": tuple(int(2 + k * k / 250) for k in range(100)),
    "one of 100 and 100 single": (100, *(1,) * 100),
    "one of 100 and 700 single": (100, *(1,) * 700),
    "one pair and 198 single": (2, *(1,) * 198),
    "50 of 50 and 300 single": (*(50,) * 50, *(1,) * 300),
}


class Row(NamedTuple):
    """What was measured, each a share of the runs."""

    false_pass: float
    old_false_pass: float
    power: float
    old_power: float
    coverage: float
    seconds: float


def old_rule(loss: Array, index: Sizes, margin: float, confidence: float) -> bool:
    """Upper end of a t interval by group with C - 1 degrees of freedom below the margin: Distil 0.1.0."""
    count = int(index.max()) + 1
    sums = np.bincount(index, weights=loss - loss.mean())
    se = math.sqrt(count / (count - 1) * float(np.sum(sums**2))) / len(loss)
    return bool(loss.mean() + t_quantile(confidence, count - 1) * se < margin)


def measure(setting: Setting, runs: int, rng: np.random.Generator) -> Row:
    """Simulate one row. Pass and coverage are read from the tail at the margin, which is what the interval's end inverts."""
    started = time.perf_counter()
    index = np.repeat(np.arange(len(setting.sizes)), setting.sizes)
    tail = (1 - setting.confidence) / 2
    seen: dict[bytes, bool] = {}
    ones = np.ones(len(index))

    def rejects(loss: Array, at: float) -> bool:
        """Is the mean loss of a test set surely below `at`? Test sets with the same units are looked up."""
        units = units_of(loss, ones, index)
        key = b"".join(part.tobytes() for part in (units.top, units.bottom, units.counts, np.array([at])))
        if key not in seen:
            seen[key] = chance_above(units, at, (1.0, 1.0)) < tail
        return seen[key]

    counts = dict.fromkeys(("false", "old_false", "power", "old_power", "above"), 0)
    draw = DRAWS[setting.values]
    for kind, loss in (("false", setting.margin), ("power", setting.margin / 5)):
        for _ in range(runs if kind == "false" else runs // 2):
            student, teacher = correlated(draw, rng, index, loss, setting.icc)
            difference = teacher - student
            counts[kind] += rejects(difference, setting.margin)
            counts[f"old_{kind}"] += old_rule(difference, index, setting.margin, setting.confidence)
            counts["above"] += kind == "false" and rejects(-difference, -setting.margin)
    half = runs // 2
    return Row(
        counts["false"] / runs,
        counts["old_false"] / runs,
        counts["power"] / half,
        counts["old_power"] / half,
        1 - (counts["false"] + counts["above"]) / runs,
        time.perf_counter() - started,
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit 1 when a row passes too often or covers too little."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000, help="test sets per row")
    parser.add_argument("--only", help="independent | equal groups | unequal groups | other margins")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    chosen = parser.parse_args(arguments)
    rows, bad = [], 0
    for part, setting in settings(chosen.only):
        row = measure(setting, chosen.runs, np.random.default_rng(20261128))
        tail = (1 - setting.confidence) / 2
        limit = tail + 2 * math.sqrt(tail * (1 - tail) / chosen.runs)
        failed = row.false_pass > limit or row.coverage < setting.confidence - 0.02
        bad += failed
        rows.append({"part": part, **setting._asdict(), **row._asdict(), "n": sum(setting.sizes), "failed": failed})
        print(
            f"{part:15} {setting.values:30} n {sum(setting.sizes):5} {setting.groups:26} icc {setting.icc:.1f} "
            f"margin {setting.margin:.2f} {setting.confidence:.2f} | false {row.false_pass:6.2%} old {row.old_false_pass:6.2%} "
            f"| power {row.power:6.1%} old {row.old_power:6.1%} | covers {row.coverage:6.1%} {'FAILED' if failed else ''}",
            flush=True,
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1, default=list) + "\n", encoding="utf-8")
    print(f"{len(rows)} rows, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
