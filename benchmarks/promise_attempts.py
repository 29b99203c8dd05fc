"""How often attempts to certify that share the error certify falsely, and what sharing costs: simulated users who try again.

    python benchmarks/promise_attempts.py [--runs 400]

A user calibrates at 300, 600, ..., 3,000 labels until something is certified; or tries four scores, or five students, on 500
labels. False: the true risk is just above the promised one, so every certificate is. Power: the share of users who have a
certificate by then, and the share of requests that it lets through. Beside the shares of the error that Distil spends, the same
without counting, and a test that may be looked at any time (a mixture of bets over the rates below the promised one, on one grid
of thresholds that is fixed at the first attempt). CPU only, about three minutes for 400 runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaln
from scipy.stats import binom

from distil.runs.schemas.attempts import share_of
from distil.serve.calibration.learn_then_test import make_grid, start_points

Array = npt.NDArray[np.float64]
Rate = Callable[[Array], Array]
RISK, ERROR = 0.05, 0.05
SIZES = range(300, 3_001, 300)
GRID = np.arange(1, 1_000) / 1_000
RATES: dict[str, Rate] = {
    "just above 5%": lambda s: np.full_like(s, RISK + 1e-4),
    "1%": lambda s: np.full_like(s, 0.01),
    "2%": lambda s: np.full_like(s, 0.02),
    "3%": lambda s: np.full_like(s, 0.03),
    "0.5% to 25% by score": lambda s: 0.005 + 0.245 * (1 - s) ** 2,
}


def walks(labels: int, error: float) -> list[tuple[Array, float]]:
    """(thresholds from strict to loose, its part of the error), as in `certify`."""
    return [(np.asarray(make_grid(GRID.tolist(), start)), part) for start, part in start_points(labels, RISK, error)]


def counts(scores: Array, bad: npt.NDArray[np.bool_], thresholds: Array) -> tuple[Array, Array]:
    """Answers served at each threshold, and the bad ones of them."""
    order = np.argsort(-scores)
    served = np.searchsorted(-scores[order], -thresholds, side="right")
    return served, np.concatenate([[0], np.cumsum(bad[order])])[served]


def certified(scores: Array, bad: npt.NDArray[np.bool_], error: float) -> float:
    """Share of the answers that the loosest accepted threshold lets through; 0 = nothing is certified."""
    best = 0.0
    for thresholds, part in walks(len(scores), error):
        served, failed = counts(scores, bad, thresholds)
        refused = binom.cdf(failed, served, RISK) > part
        accepted = int(np.argmax(refused)) if refused.any() else len(served)
        if accepted:
            best = max(best, float(served[accepted - 1]) / len(scores))
    return best


def anytime(scores: Array, bad: npt.NDArray[np.bool_]) -> list[float]:
    """As `certified` at each of SIZES, by bets that hold at any time and are looked at every 50 labels."""
    found = [0.0] * len(SIZES)
    for thresholds, part in walks(SIZES[0], ERROR):
        wealth = np.full(len(thresholds), -np.inf)
        for labels in range(50, SIZES[-1] + 1, 50):
            served, failed = counts(scores[:labels], bad[:labels], thresholds)
            a, b = failed + 1.0, served - failed + 1.0
            bets = betaln(a, b) + np.log(betainc(a, b, RISK)) - np.log(RISK) - failed * np.log(RISK)
            wealth = np.maximum(wealth, bets - (served - failed) * np.log1p(-RISK))
            if labels in SIZES:
                refused = wealth < -np.log(part)
                accepted = int(np.argmax(refused)) if refused.any() else len(served)
                if accepted:
                    at = SIZES.index(labels)
                    found[at] = max(found[at], float(served[accepted - 1]) / labels)
    return found


def growing(rng: np.random.Generator, rate: Rate, way: str) -> list[float]:
    """What one user has at each of SIZES; the search goes on until something is certified."""
    scores = rng.random(SIZES[-1])
    bad = rng.random(SIZES[-1]) < rate(scores)
    if way == "any time":
        return anytime(scores, bad)
    shares = [share_of(k) if way == "shared" else 1.0 for k in range(1, len(SIZES) + 1)]
    return [certified(scores[:n], bad[:n], ERROR * share) for n, share in zip(SIZES, shares, strict=True)]


def several(rng: np.random.Generator, tries: int, *, same_labels: bool, shared: bool) -> bool:
    """Whether one of several scores (same labels, alike by half) or students (new answers) is certified at a true risk above."""
    common = rng.random(500)
    bad = rng.random(500) < RISK + 1e-4
    for number in range(1, tries + 1):
        scores = (common + rng.random(500)) / 2 if same_labels else rng.random(500)
        ranks = np.argsort(np.argsort(scores)) / 500.0  # uniform, as the grid expects
        labels = bad if same_labels else rng.random(500) < RISK + 1e-4
        if certified(ranks, labels, ERROR * (share_of(number) if shared else 1.0)):
            return True
    return False


def main() -> None:
    """Prints one row for each rate of bad answers, and one for scores and students."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    print(
        f"{runs} users each; certified by 300, 600, 900, 1,500, 3,000 labels; requests let through at those, on average"
    )
    shown = [0, 1, 2, 4, 9]
    for name, rate in RATES.items():
        for way in ("not counted", "shared", "any time"):
            rng = np.random.default_rng(1)
            found = np.asarray([growing(rng, rate, way) for _ in range(runs)])
            ever = (np.maximum.accumulate(found, axis=1) > 0).mean(axis=0)[shown]
            through = found.mean(axis=0)[shown]
            row = [" ".join(f"{value:6.1%}" for value in values) for values in (ever, through)]
            print(f"{name:22s} {way:12s} {row[0]}  |  {row[1]}", flush=True)
    for what, tries, same in (("four scores", 4, True), ("five students", 5, False)):
        for shared in (False, True):
            rng = np.random.default_rng(2)
            share = np.mean([several(rng, tries, same_labels=same, shared=shared) for _ in range(5 * runs)])
            print(f"{what}, {'shared' if shared else 'not counted'}: {share:.1%} false")


if __name__ == "__main__":
    main()
