"""How long a request takes when the student answers a share of them and the teacher the rest, after the student has tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cascade_quantiles(student: Sequence[float], teacher: Sequence[float], share: float) -> tuple[float, float]:
    """Median and 95th percentile in seconds, from measured seconds of single answers (at least one of each).

    Where the teacher answers, the student's time comes first; the two are taken as independent.
    """
    own, other = np.asarray(student, dtype=float), np.asarray(teacher, dtype=float)
    both = (own[:, None] + other[None, :]).ravel() if share < 1.0 else np.empty(0)
    times = np.concatenate([own, both])
    weights = np.concatenate(
        [np.full(len(own), share / len(own)), np.full(len(both), (1.0 - share) / max(1, len(both)))]
    )
    order = np.argsort(times)
    reached = np.cumsum(weights[order])
    p50, p95 = (float(times[order][min(len(times) - 1, int(np.searchsorted(reached, q - 1e-9)))]) for q in (0.5, 0.95))
    return p50, p95
