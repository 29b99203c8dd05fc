"""Tests and intervals for a share of errors that may be looked at after every observation: bets against a hypothesis.

A test martingale is the wealth of a player who starts with 1 and bets that the hypothesis is false, at odds that are fair if it
is true. By Ville's inequality it ever reaches 1/delta with a chance of at most delta while the hypothesis holds, however often
and for however long one looks. One bet on an error l (0 or 1) against "the share is at most r" multiplies the wealth by
1 + b * w * (l - r), with a bet b between 0 and 1/r and a weight w between 0 and 1. Where observations are sampled with
probabilities of their own, w = smallest probability / own probability makes the bet fair for the unsampled population.

Neighbors that fail together (a burst of equal requests) would make such bets unfair, so as many observations as a burst may have
are bet on together, by their mean: that is fair whatever they have in common.

Bets: mixtures of constant ones over a fixed grid of alternatives, so that nothing is tuned on the data that is tested.

Sources: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS B 86, arXiv 2010.09686;
Waudby-Smith, Stark and Ramdas (2021), "RiLACS", arXiv 2107.11323 (weights); Shin, Ramdas and Rinaldo (2023), "E-detectors",
arXiv 2203.03532 (changes). The start again with a summable prior is a mixture of martingales that begin later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
STEPS = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0])
"""Alternatives that are bet on: the odds of the risk times exp of these."""
BLOCK = 20
"""Observations between two beginnings of a bet: a change is noticed at most that much later."""
LARGEST = 1e300
_POINTS = 1500
"""Shares that an interval is searched on."""


def bets_above(risk: float) -> Array:
    """The bets that grow fastest if the share is one of the alternatives above `risk`, each in (0, 1/risk)."""
    return (_shifted(risk, STEPS) - risk) / (risk * (1 - risk))


def bets_below(risk: float) -> Array:
    """The same for alternatives below `risk`, each in (0, 1/(1 - risk))."""
    return (risk - _shifted(risk, -STEPS)) / (risk * (1 - risk))


def _shifted(share: float, steps: Array) -> Array:
    return 1 / (1 + np.exp(-(math.log(share / (1 - share)) + steps)))


def remaining(begun: int) -> float:
    """The stake that waits after so many earlier beginnings: it falls slowly, so that late bets are worth something, too."""
    return 1 / math.log2(3 + begun)


class ExcessTest:
    """Evidence that a share of errors is above `risk`, one observation after another.

    `evidence` guards against ever being wrong: while each observation's chance of an error is at most `risk` given the past, it
    reaches 1/delta with a chance of at most delta, over any length of time. Part of the wealth waits and begins to bet later
    (after every BLOCK observations), so a long good time costs a delay that grows with its logarithm only.
    `change` (Shiryaev and Roberts) begins a new bet at every observation with a fresh stake: it notices a change soonest, and
    while the share is at most `risk` it takes A observations or more, on average, to reach A; it will reach it in the end.
    """

    def __init__(self, risk: float) -> None:
        self.risk, self.count = risk, 0
        self._bets = bets_above(risk)
        self._wealth, self._change = np.zeros_like(self._bets), np.zeros_like(self._bets)
        self._waiting, self._begun, self._since = 1.0, 0, BLOCK
        self._surplus, self._open = 0.0, 0

    def add(self, bad: bool, weight: float = 1.0, unit: int = 1) -> None:
        """One observation, with its weight in (0, 1]. unit: neighbors that are bet on together."""
        if self._open == 0 and self._since >= BLOCK:
            before, self._waiting = self._waiting, remaining(self._begun)
            self._wealth += before - self._waiting
            self._begun, self._since = self._begun + 1, 0
        self.count, self._since, self._open = self.count + 1, self._since + 1, self._open + 1
        self._surplus += weight * (float(bad) - self.risk)
        if self._open < unit:
            return
        factors = 1 + self._bets * (self._surplus / self._open)
        self._surplus, self._open = 0.0, 0
        self._wealth = np.minimum(self._wealth * factors, LARGEST)
        self._change = np.minimum((self._change + 1) * factors, LARGEST)

    @property
    def evidence(self) -> float:
        """The wealth: 1 at the beginning."""
        return self._waiting + float(self._wealth.mean())

    @property
    def change(self) -> float:
        """The statistic of the change: 0 at the beginning."""
        return float(self._change.mean())


class LowTest:
    """Evidence that a share is below `risk`: while it is not, `evidence` ever reaches 1/delta with a chance of at most delta."""

    def __init__(self, risk: float) -> None:
        self.risk, self.count = risk, 0
        self._bets = bets_below(risk)
        self._wealth = np.ones_like(self._bets)
        self._surplus, self._open = 0.0, 0

    def add(self, value: float, weight: float = 1.0, unit: int = 1) -> None:
        """One observation in [0, 1], with its weight in (0, 1]. unit: neighbors that are bet on together."""
        self.count, self._open = self.count + 1, self._open + 1
        self._surplus += weight * (self.risk - value)
        if self._open >= unit:
            self._wealth = np.minimum(self._wealth * (1 + self._bets * (self._surplus / self._open)), LARGEST)
            self._surplus, self._open = 0.0, 0

    @property
    def evidence(self) -> float:
        """The wealth: 1 at the beginning."""
        return float(self._wealth.mean())


def share_interval(counts: Mapping[tuple[float, bool], int], delta: float) -> tuple[float, float]:
    """(low, high) of a share from counts of (weight, error): a confidence sequence, valid at all times together.

    All shares against which neither side's bets have earned 1/delta. Holds with a chance of at least 1 - delta for a share that
    does not change; (0, 1) without observations.
    """
    logits = np.linspace(-12, 12, _POINTS)
    shares = 1 / (1 + np.exp(-logits))
    steps = np.concatenate([STEPS / 3, STEPS[-1:]])
    wealth = []
    for sign in (1.0, -1.0):
        alternatives = 1 / (1 + np.exp(-(logits[:, None] + sign * steps)))
        bets = (alternatives - shares[:, None]) / (shares * (1 - shares))[:, None]
        log = np.zeros_like(bets)
        for (weight, bad), count in counts.items():
            log += count * np.log1p(bets * (weight * (float(bad) - shares))[:, None])
        wealth.append(log)
    both = np.logaddexp.reduce(np.concatenate(wealth, axis=1), axis=1) - math.log(2 * len(steps))
    kept = np.flatnonzero(both < -math.log(delta))
    if not len(kept):  # the share has changed so much that no constant one explains it
        return weighted_share(counts), weighted_share(counts)
    low = 0.0 if kept[0] == 0 else float(shares[kept[0]])
    return low, 1.0 if kept[-1] == _POINTS - 1 else float(shares[kept[-1]])


def weighted_share(counts: Mapping[tuple[float, bool], int]) -> float:
    """The share of errors in the population that was sampled from; NaN without observations."""
    total = sum(weight * count for (weight, _), count in counts.items())
    return math.nan if not total else sum(w * n for (w, bad), n in counts.items() if bad) / total
