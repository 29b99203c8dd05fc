"""How often `distil until` is wrong: a false SHIP over several looks, and a claim "out of reach" that was not true.

    python benchmarks/until_error.py [--replications 2000] [--only false|power|reach] [--prompts 100 200 500]

Students of simulated projects: every one exactly at the margin (false SHIP), or on a learning curve (power, reach). A look is
evaluate's own test, one p value, which every rule reads; outcomes on a test question are correlated between the looks.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from distil.stats.bounded import chance_above, units_of
from distil.stats.spending import PLANNED, shares
from distil.until import outlook

Array = NDArray[np.float64]
MARGIN, CONFIDENCE = 0.05, 0.95
TAIL = (1 - CONFIDENCE) / 2
MOST_LOOKS = 8
KINDS = ("losses only", "gains too", "half points", "groups of 4")


def p_value(loss: Array, index: NDArray[np.int64], known: dict[bytes, float]) -> float:
    """One-sided p of "at least the margin worse", as evaluate's interval has it; loss (n,): teacher minus student.

    1 where the mean is less than a standard error below the margin: far from any rule's share of 2.5%.
    """
    sums = np.bincount(index, weights=loss - loss.mean())
    if MARGIN - loss.mean() < np.sqrt(np.sum(sums**2)) / len(loss):
        return 1.0
    units = units_of(loss, np.ones(len(loss)), index)
    key = np.concatenate([units.top, units.counts]).tobytes()
    if key not in known:
        known[key] = chance_above(units, MARGIN, (1.0, 1.0))
    return known[key]


def losses(rng: np.random.Generator, n: int, mean: Sequence[float], kind: str, shared: float) -> Array:
    """(looks, n) teacher minus student, with the means (looks,); shared: correlation of a question's luck between looks."""
    luck = rng.standard_normal(n)
    if kind == "groups of 4":
        luck = np.sqrt(0.5) * luck + np.sqrt(0.5) * np.repeat(rng.standard_normal(n // 4), 4)
    own = rng.standard_normal((len(mean), n))
    place = ndtr(np.sqrt(shared) * luck + np.sqrt(1 - shared) * own)
    means = np.asarray(mean)[:, None]
    gains = np.maximum(0.0, -means) + (0.03 if kind == "gains too" else 0.0)
    if kind == "half points":
        return np.where(place < means / 2, 1.0, np.where(place < 1.5 * means, 0.5, 0.0))
    return np.where(place < means + gains, 1.0, np.where(place > 1 - gains, -1.0, 0.0))


def rules(looks: int) -> dict[str, list[float]]:
    """Name -> share of the error of each of the looks; answers double from look to look."""
    answers = [2.0**k for k in range(looks)]
    z = -ndtri(TAIL)
    spent = [2 * ndtr(-z / np.sqrt(a / answers[-1])) / (2 * ndtr(-z)) for a in answers]
    return {
        "one look, at the end": [0.0] * (looks - 1) + [1.0],
        "every look at the whole error": [1.0] * looks,
        "evaluate in a loop (1, 1/2, 1/3, ...)": [1 / (k + 1) for k in range(looks)],
        "equal shares": [1 / looks] * looks,
        "O'Brien-Fleming-like": [float(b - a) for a, b in itertools.pairwise([0.0, *spent])],
        "until (as answers are bought)": shares(answers, PLANNED),
    }


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table."""
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def false_ship(replications: int, prompts: Sequence[int]) -> None:
    """Every student at the margin: how often is one of them declared SHIP?"""
    worst: dict[tuple[str, int, int], float] = {}
    rng = np.random.default_rng(14)
    for n, kind, shared in itertools.product(prompts, KINDS, (0.0, 0.5, 0.9)):
        index = np.arange(n) // 4 if kind == "groups of 4" else np.arange(n)
        known: dict[bytes, float] = {}
        p = np.array([
            [p_value(loss, index, known) for loss in losses(rng, n, [MARGIN] * MOST_LOOKS, kind, shared)]
            for _ in range(replications)
        ])  # fmt: skip
        for looks in (3, 5, MOST_LOOKS):
            for name, each in rules(looks).items():
                wrong = float((p[:, :looks] < TAIL * np.array(each)).any(axis=1).mean())
                worst[name, n, looks] = max(worst.get((name, n, looks), 0.0), wrong)
    columns = ["rule", *(f"n = {n}, {k} looks" for n in prompts for k in (3, 5, MOST_LOOKS))]
    rows = [
        [name, *(f"{100 * worst[name, n, k]:.1f}" for n in prompts for k in (3, 5, MOST_LOOKS))] for name in rules(3)
    ]
    table(f"False SHIP in % (allowed: {100 * TAIL:.1f}), the worst of {len(KINDS)} kinds of outcomes and 3 correlations; "
          f"{replications:,} projects each", columns, rows)  # fmt: skip


CURVES: dict[str, Callable[[float], float]] = {
    "good early": lambda t: 0.005 + 0.003 * t**-0.5,
    "good at the end": lambda t: 0.002 + 0.012 * t**-0.7,
    "flat, 2 points below": lambda t: 0.02 + 0.002 * t**-0.5,
}
"""Shortfall with the share t of the planned answers."""


def power(replications: int, prompts: Sequence[int]) -> None:
    """Students that get better: how often is one proven, and with which share of the answers of the plan?"""
    rng, looks, rows = np.random.default_rng(15), 4, []
    answers = np.array([2.0 ** (k - looks + 1) for k in range(looks)])
    for (label, curve), n in itertools.product(CURVES.items(), prompts):
        known: dict[bytes, float] = {}
        p = np.array([
            [p_value(x, np.arange(n), known) for x in losses(rng, n, [curve(t) for t in answers], "losses only", 0.5)]
            for _ in range(replications)
        ])  # fmt: skip
        for name, each in rules(looks).items():
            if sum(each) > 1 + 1e-9:
                continue
            proven = p < TAIL * np.array(each)
            used = np.where(proven.any(axis=1), answers[proven.argmax(axis=1)], 1.0)
            rows.append([label, str(n), name, f"{100 * proven.any(axis=1).mean():.0f}", f"{100 * used.mean():.0f}"])
    table("Power, 4 looks", ["student", "test prompts", "rule", "SHIP %", "answers bought, % of the plan"], rows)


FLOOR = 0.6
"""Shortfall of the base in the simulated projects."""


def learning_curve(rng: np.random.Generator, kind: str) -> Callable[[float], float]:
    """A random curve: the shortfall by the share t of the planned answers."""
    end, size = rng.uniform(-0.01, 0.2), rng.uniform(0.0, 0.25)
    exponent = rng.uniform(0.1, 1.2)
    if kind == "power law":
        return lambda t: min(FLOOR, end + size * (t**-exponent - 1))
    middle, width = rng.uniform(-3.5, -0.5), rng.uniform(0.3, 1.0)
    return lambda t: end - 0.02 + (FLOOR - end + 0.02) / (1 + np.exp((np.log2(t) - middle) / width))


def reach(replications: int, prompts: Sequence[int]) -> None:
    """The claim "out of reach": how often is it made, and how often would one of the looks to come have been SHIP?"""
    rng, rows = np.random.default_rng(16), []
    for kind, n, looks in itertools.product(("power law", "late start"), prompts, (4, 6)):
        each = np.array(shares([2.0**k for k in range(looks)], PLANNED))
        bars = [outlook.bar(n, MARGIN, 1 / share, CONFIDENCE) for share in each]
        answers = [200 * 2.0**k for k in range(looks)]
        claims = wrong = ships = saved = unreachable = 0.0
        known: dict[bytes, float] = {}
        for _ in range(replications):
            curve, noise = learning_curve(rng, kind), rng.uniform(0.003, 0.02)
            true = np.clip([curve(a / answers[-1]) for a in answers] + noise * rng.standard_normal(looks), -0.05, FLOOR)
            found = losses(rng, n, list(true), "losses only", 0.7)
            proven = [p_value(x, np.arange(n), known) < TAIL * s for x, s in zip(found, each, strict=True)]
            ships += any(proven)
            unreachable += not any(proven)
            at = claimed_at(found.mean(axis=1), answers, bars, n, proven)
            if at is not None:
                claims += 1
                wrong += any(proven[at:])
                saved += 1 - answers[at - 1] / answers[-1]
        rows.append([kind, str(n), str(looks), f"{100 * ships / replications:.0f}", f"{100 * claims / replications:.0f}",
                     f"{100 * wrong / max(claims, 1):.1f}", f"{100 * wrong / max(ships, 1):.1f}",
                     f"{100 * (claims - wrong) / max(unreachable, 1):.0f}", f"{100 * saved / max(claims, 1):.0f}"])  # fmt: skip
    table(
        f"Out of reach; {replications:,} projects each",
        ["curve", "test prompts", "looks", "SHIP in the end %", "claims %", "of the claims wrong %",
         "of the SHIPs stopped %", "of the others stopped %", "answers saved by a claim %"], rows)  # fmt: skip


def claimed_at(
    shortfalls: Array, answers: Sequence[float], bars: Sequence[float | None], n: int, proven: Sequence[bool]
) -> int | None:
    """Looks taken when the claim is made; None: it never is."""
    for done in range(outlook.LEAST_ROUNDS, len(answers)):
        if any(proven[:done]):
            return None
        points = [
            outlook.Point(a, float(s))
            for a, s in zip(answers[:done], shortfalls[:done], strict=True)
            if s < FLOOR - 2 * np.sqrt(FLOOR * (1 - FLOOR) / n)
        ]
        if outlook.out_of_reach(points, goals_of(answers[done:], bars[done:]), n):
            return done
    return None


def goals_of(answers: Sequence[float], bars: Sequence[float | None]) -> list[outlook.Goal]:
    """The looks at which something can be proven."""
    return [outlook.Goal(a, b) for a, b in zip(answers, bars, strict=True) if b is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--only", choices=["false", "power", "reach"])
    parser.add_argument("--prompts", type=int, nargs="+", default=[100, 200, 500], help="Test prompts.")
    options = parser.parse_args()
    parts = {"false": false_ship, "power": power, "reach": reach}
    for name, part in parts.items():
        if options.only in (None, name):
            part(options.replications, options.prompts)


if __name__ == "__main__":
    main()
