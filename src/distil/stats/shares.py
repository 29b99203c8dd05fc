"""The interval of a share of independent trials. Not of groups and not of means: distil/evaluate/stats."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_bounds(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927), two-sided, inside [0, 1] and honest at 0 and at all. Raises ValueError without trials."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes in {trials} trials")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    center = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return min(share, max(0.0, center - half)), max(share, min(1.0, center + half))
