"""How much a month varies with which requests were measured: the bootstrap over requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

DRAWS = 1000
WHOLE = 2000
"""Up to so many requests are drawn again; with more, means are normal, and are drawn as such."""


def draws_of_means(columns: Sequence[Sequence[float]], *, seed: int = 0) -> list[tuple[float, ...]]:
    """Means of several figures of the same requests, for requests drawn again: DRAWS rows, one figure of each column.

    One request, or the same figures throughout, have no spread: no rows.
    """
    values = np.array(columns, dtype=float)
    count = values.shape[1]
    if count < 2 or not (values.std(axis=1) > 1e-9 * np.abs(values.mean(axis=1))).any():
        return []
    generator = np.random.default_rng(seed)
    if count > WHOLE:
        means = generator.multivariate_normal(
            values.mean(axis=1), np.atleast_2d(np.cov(values)) / count, DRAWS, check_valid="ignore"
        )
    else:
        means = values[:, generator.integers(0, count, (DRAWS, count))].mean(axis=2).T
    return [tuple(row) for row in means.tolist()]


def interval(
    draws: Sequence[tuple[float, ...]], figure: Callable[..., float | None], *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Percentiles of a figure over the draws; None without draws, or where the figure is unknown."""
    found = [value for value in (figure(*draw) for draw in draws) if value is not None]
    if not found:
        return None
    tail = 50 * (1 - confidence)
    low, high = np.percentile(found, [tail, 100 - tail])
    return float(low), float(high)
