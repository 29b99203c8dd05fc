"""How many prompts would prove a margin, if further prompts were like those already seen. Approximate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from distil.evaluate.stats.estimates import Bounds, Floats, bounds_of, clusters
from distil.evaluate.stats.means import standard_error
from distil.evaluate.stats.pairs import corrected
from distil.stats.bounded import Units, chance_above, units_of

MOST = 10_000_000
"""More prompts than that are said as None: no number will do in practice."""
MOST_KINDS = 120
"""Kinds of units that a plan keeps apart."""
DOUBT = 0.5
"""Unseen units that fail, added to the observed ones: a pilot without an error doesn't show that there is none."""


def needed_prompts(
    candidate: Floats,
    reference: Floats,
    margin: float,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    power: float = 0.8,
    comparisons: float = 1,
    bounds: Bounds | None = None,
) -> int | None:
    """Prompts IN TOTAL with which non_inferiority() passes with the chance `power`, if the rest is like the observed ones.

    New prompts are taken to come in groups like the observed ones. None when the observed shortfall reaches the margin (more of
    the same proves nothing: improve the student), for a single group, and beyond MOST.
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin {margin} must lie between 0 and 1")
    a, b = np.asarray(candidate, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    index = clusters(groups, len(a))
    loss = b - a
    if not len(a) or index.max() < 1 or loss.mean() >= margin:
        return None
    tail = (1 - corrected(confidence, comparisons)) / 2
    inside = bounds or bounds_of(a, b)
    if inside is None:
        return _by_normal(float(loss.mean()), standard_error(loss, groups)[0] * math.sqrt(len(a)), margin, tail, power)
    plan = _Plan(units_of(loss, np.ones(len(a)), index), margin, tail, power, inside[1] - inside[0])
    return plan.smallest()


def _condensed(units: Units) -> Units:
    """At most MOST_KINDS kinds of units: neighbors by their mean are averaged. A plan needs no more."""
    if len(units.top) <= MOST_KINDS:
        return units
    order = np.argsort(units.top / units.bottom, kind="stable")
    parts = np.array_split(order, MOST_KINDS)
    counts = np.array([units.counts[part].sum() for part in parts])
    top, bottom = (
        np.array([values[part] @ units.counts[part] for part in parts]) / counts for values in (units.top, units.bottom)
    )
    return Units(top, bottom, counts, units.unseen)


class _Plan:
    """The observed units, made a little worse, as the truth from which `n` prompts are drawn."""

    def __init__(self, units: Units, margin: float, tail: float, power: float, worst: float) -> None:
        from scipy.special import ndtri

        units = _condensed(units)
        self.margin, self.tail, self.worst, self.z = margin, tail, worst, float(ndtri(power))
        prompts = float(units.counts @ units.bottom)
        mean = float(units.counts @ units.top) / prompts
        # never doubt so much that the margin is out of reach: at most half of the way there
        halfway = (mean + margin) / 2
        doubt = min(DOUBT, (halfway - mean) * prompts / (units.unseen * (worst - halfway)))
        self.top = np.append(units.top, units.unseen * worst)
        self.bottom = np.append(units.bottom, units.unseen)
        self.counts = np.append(units.counts, doubt)
        self.unseen = units.unseen
        self.prompts = float(self.counts @ self.bottom)
        self.mean = float(self.counts @ self.top) / self.prompts

    def passes(self, n: float) -> bool:
        """Does the test pass on `n` prompts that came out as badly as one in 1 / (1 - power) times?"""
        away = self.top - self.mean * self.bottom
        spread = float(self.counts @ away**2)
        shift = self.z * math.sqrt(spread / self.prompts / n)
        tilt = np.maximum(0.0, 1 + shift * self.prompts / spread * away) if spread else np.ones(len(away))
        counts = self.counts * tilt
        units = Units(self.top, self.bottom, counts * n / float(counts @ self.bottom), self.unseen)
        return chance_above(units, self.margin, (self.worst, 1.0)) < self.tail

    def smallest(self) -> int | None:
        high = 1
        while not self.passes(high):
            high *= 2
            if high > MOST:
                return None
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.passes(middle) else (middle, high)
        return high


def _by_normal(mean: float, deviation: float, margin: float, tail: float, power: float) -> int | None:
    """((z_tail + z_power) * sd / (margin - mean))^2, where `deviation` is the standard error times sqrt(n)."""
    from scipy.special import ndtri

    z = float(-ndtri(tail) + ndtri(power))
    needed = (z * deviation / (margin - max(mean, 0.0))) ** 2
    return max(2, math.ceil(needed)) if math.isfinite(needed) and needed <= MOST else None
