"""From predictions to a forecast: how good, and how many requests at the quality that is asked for. With intervals over groups.

Requests that belong together (repeats, paraphrases, one conversation, one document) are drawn again together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distil.curate.learning_curve import forecast, gains
from distil.forecast.answers import Target
from distil.forecast.copying import Pieces
from distil.forecast.features import Matrix
from distil.forecast.proxy import Rows, predict
from distil.runs.schemas.learning_curve import Forecast

DRAWS = 200
SURE = 1.28
"""Standard errors by which the answers above a threshold must reach the quality that is asked for: 90%, one-sided."""
LEAST_ROWS = 100
"""Requests from which a learning curve is measured."""
PARTS = 4

Floats = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """Right or wrong, with how sure, for the requests of a slice."""

    right: Floats
    """0 to 1."""
    confidence: Floats
    group: Rows
    """(n,) the component that a request belongs to."""


class Draws(NamedTuple):
    """Shares as measured (first) and in requests drawn again: (1 + DRAWS,) each."""

    quality: Floats
    """Of all answers, those that are right."""
    share: Floats
    """Of all requests, those that are answered at the quality that is asked for."""
    usd: Floats
    """Dollars of these requests, per request of the slice."""


def weights_of(group: Rows, seed: int) -> Floats:
    """(1 + DRAWS, n) how often each request is in a draw; the first row is the sample itself."""
    generator = np.random.default_rng(seed)
    names, place = np.unique(group, return_inverse=True)
    drawn = generator.multinomial(names.size, np.full(names.size, 1 / names.size), size=DRAWS)
    return np.concatenate([np.ones((1, group.size)), drawn[:, place].astype(float)])


def draw(measured: Measured, usd: Floats, target: float, weights: Floats) -> Draws:
    """The threshold is chosen again in each draw, so that the interval holds what choosing it costs."""
    order = np.argsort(-measured.confidence, kind="stable")
    right, dollars = measured.right[order], usd[order]
    last = np.append(np.diff(measured.confidence[order]) < 0, True)  # a threshold can't part equal confidences
    weight = weights[:, order]
    total = weight.sum(axis=1, keepdims=True)
    count, good = weight.cumsum(axis=1), (weight * right).cumsum(axis=1)
    share_right = good / np.maximum(count, 1e-9)
    allowed = _lower(share_right, count) >= target
    allowed &= last
    any_allowed = allowed.any(axis=1)
    cut = allowed.shape[1] - 1 - np.argmax(allowed[:, ::-1], axis=1)
    at = np.arange(len(weight))
    covered = np.where(any_allowed, count[at, cut], 0.0)
    spent = (weight * dollars).cumsum(axis=1)
    quality = good[:, -1] / np.maximum(total[:, 0], 1e-9)
    return Draws(
        quality,
        covered / np.maximum(total[:, 0], 1e-9),
        np.where(any_allowed, spent[at, cut], 0.0) / np.maximum(total[:, 0], 1e-9),
    )


def _lower(share: Floats, count: Floats) -> Floats:
    """Wilson's lower bound."""
    count = np.maximum(count, 1e-9)
    z2 = SURE * SURE
    half = SURE * np.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return np.asarray((share + z2 / (2 * count) - half) / (1 + z2 / count))


def within(values: Floats) -> tuple[float, float]:
    """95% interval of a figure over its draws; the first is the measured one."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return float(min(low, values[0])), float(max(high, values[0]))


def learning_curve(
    kernel: Matrix, pieces: Sequence[Pieces], targets: Sequence[Target], components: Sequence[Sequence[int]]
) -> list[Forecast]:
    """The gain of two, four and eight times the examples, by predictors of a quarter, half and all of the sample.

    Empty where there are too few groups for a curve.
    """
    count = len(kernel)
    order = np.random.default_rng(1).permutation(len(components))
    test: list[int] = []
    rest: list[list[int]] = [[] for _ in range(PARTS)]
    for index in order:
        rows = list(components[index])
        if len(test) < count * 0.3 and len(rows) < count * 0.3:
            test += rows
        else:
            min(rest, key=len).extend(rows)
    if count < LEAST_ROWS or len(test) < count * 0.1 or min(map(len, rest)) < LEAST_ROWS // 8:
        return []
    held = np.array(sorted(test))

    def student(parts: Sequence[int]) -> dict[str, float]:
        train = np.array(sorted(row for part in parts for row in rest[part]))
        found = predict(kernel, pieces, targets, train, held)
        return {str(row): float(value) for row, value in zip(held, found.right, strict=True)}

    quarters = [student([part]) for part in range(PARTS)]
    found = gains(quarters, [student([0, 1]), student([2, 3])], student(range(PARTS)))
    return [forecast(found, doublings) for doublings in (1, 2, 3)]
