"""Would more training data help? Parts of the training rows to train on, and what their students' scores say. Pure functions.

Students of four quarters, two halves and the whole give two gains of doubling. By the power law that learning curves follow
(Hestness et al. 2017, arXiv:1712.00409), score(n) = c - a n^-b, each doubling gains r = 2^-b times as much as the one before. The
forecast integrates over r, which is not known well from two gains: that is most of its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.ids import drawn
from distil.records import Example
from distil.runs.schemas.learning_curve import Forecast

PARTS = (4, 2, 1)
"""Into how many parts the rows are dealt: each part of a quarter, a half and all of them has a student."""
SLOWEST, FASTEST = 0.05, 1.5
"""The exponents b that are considered: published curves lie between 0.07 and 0.5, and short ones look steeper."""
CONFIDENCE = 0.9
_MASS = 0.83
"""Of the posterior inside the interval. It is wider than it says: in simulated curves (60 to 1,000 prompts, students that differ
by 0.3 to 3 points) this mass holds the true gain in 90% of the cases where that is hardest, and 0.9 does in 98% to 99.8%."""
_DEGREES = 4  # students that share a size with another: (4 - 1) + (2 - 1)
_GRID = 400

Scores = Mapping[str, float]
"""Prompt id -> value of one student; higher is better."""


class Gains(NamedTuple):
    """What the two doublings gained, with standard errors."""

    first: float
    first_error: float
    second: float
    second_error: float


def parts_of(examples: Sequence[Example], seed: int) -> dict[str, list[Example]]:
    """Name -> rows: `quarter-1` to `quarter-4`, `half-1`, `half-2`, `all`. Rows of a group stay together."""

    def part(example: Example, count: int) -> int:
        return drawn(f"{seed}:{example.group or example.prompt_id}") % count

    named = {4: "quarter", 2: "half"}
    parts = {f"{name}-{i + 1}": [e for e in examples if part(e, n) == i] for n, name in named.items() for i in range(n)}
    return {name: rows for name, rows in parts.items() if rows} | {"all": list(examples)}


def gains(quarters: Sequence[Scores], halves: Sequence[Scores], whole: Scores) -> Gains:
    """The gains from quarters to halves to the whole, on the prompts that all have.

    Students of one size differ (which rows, which order), and the prompts are a sample. The differences between students, of
    which there are few, and those between prompts each estimate the error; the larger one counts.
    """
    prompts = sorted(set(whole).intersection(*quarters, *halves))
    if len(prompts) < 2 or len(quarters) < 2 or len(halves) < 2:
        raise ValueError("a learning curve needs at least two prompts, two quarters and two halves")
    small, middle = _table(quarters, prompts), _table(halves, prompts)
    large = _table([whole], prompts)
    spread = sum(((t.mean(axis=1) - t.mean()) ** 2).sum() for t in (small, middle)) / (len(small) + len(middle) - 2)
    first, second = middle.mean(axis=0) - small.mean(axis=0), large[0] - middle.mean(axis=0)  # (prompts,)
    errors = [
        float(np.sqrt(max(spread * by_student, difference.var(ddof=1) / len(prompts))))
        for difference, by_student in ((first, 1 / len(small) + 1 / len(middle)), (second, 1 / len(middle) + 1))
    ]
    return Gains(float(first.mean()), errors[0], float(second.mean()), errors[1])


def _table(students: Sequence[Scores], prompts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[scores[prompt] for prompt in prompts] for scores in students])  # (students, prompts)


def forecast(found: Gains, doublings: int) -> Forecast:
    """The gain of doubling all rows so many times: median of its posterior distribution, and an interval of CONFIDENCE.

    Flat priors on the last gain and on the exponent b; errors by Student's t, because their size is itself an estimate.
    """
    floor = 1e-6 + 1e-3 * abs(found.second)  # students that do not differ at all leave no error to divide by
    errors = max(found.first_error, floor), max(found.second_error, floor)
    exponents = np.linspace(SLOWEST, FASTEST, _GRID)
    reach = 12 * errors[1]
    last = np.linspace(found.second - reach, found.second + reach, 2 * _GRID)
    ratio = 2.0 ** -exponents[:, None]  # (exponents, 1)
    log_chance = _student((last / ratio - found.first) / errors[0]) + _student((last[None] - found.second) / errors[1])
    chance = np.exp(log_chance - log_chance.max()).ravel()
    gain = (last * sum(ratio**step for step in range(1, doublings + 1))).ravel()
    order = np.argsort(gain)
    cumulated = np.cumsum(chance[order]) / chance.sum()
    tail = (1 - _MASS) / 2
    low, middle, high = (float(gain[order][np.searchsorted(cumulated, level)]) for level in (tail, 0.5, 1 - tail))
    return Forecast(times=2.0**doublings, gain=middle, low=low, high=high)


def _student(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(_DEGREES + 1) / 2 * np.log1p(deviations**2 / _DEGREES))


def verdict(doubled: Forecast, metric: str, rows: int, margin: float) -> str:
    """Whether more data would help, in one sentence. margin: the gain that is worth it (0.01 = a point of a share)."""
    span = f"{doubled.low:+.3f} to {doubled.high:+.3f}"
    expected = f"{2 * rows:,} rows in place of {rows:,} would change {metric} by about {doubled.gain:+.3f} ({span})"
    if doubled.low >= margin:
        return f"More data of this kind would help: {expected}."
    if doubled.high < margin:
        return f"More data of this kind would hardly help: {expected}."
    return f"Not decided: {expected}. More validation prompts make the interval smaller."
