"""Is injected drift caught, and how often is the alarm false? `distil serve`'s audits and alarm, simulated on made traffic.

    python benchmarks/live.py [--runs 400] [--seed 0]

Confidences above the threshold are uniform; errors fall with the confidence (a quarter of the mean at the top), as they do where
a score tells something. The alarm is `distil.stats.betting.ExcessTest`, with the bets of that module, for all runs of a cell at
once. Beside it a naive test: the exact binomial test of the audits so far, repeated after each audit at the same 5%. Groups: a
request comes in a burst of equals that are all right or all wrong together.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from distil.serve.live.auditor import FAR, NEAR
from distil.serve.live.state import unit_of
from distil.stats.betting import BLOCK, LARGEST, bets_above, remaining

RISK, DELTA, CHANGE = 0.05, 0.05, 5_000
Array = npt.NDArray[np.float64]


class Audits(NamedTuple):
    """The audits of several runs, the same number in each: (runs, audits)."""

    bad: npt.NDArray[np.bool_]
    weight: Array
    request: npt.NDArray[np.int64]
    """Which of the student's answers it was, from 1."""


class Found(NamedTuple):
    """When each run's tests went off, in audits from 1; 0 = never."""

    alarm: npt.NDArray[np.int64]
    change: npt.NDArray[np.int64]
    naive: npt.NDArray[np.int64]


def draw(rng: np.random.Generator, runs: int, count: int, share: float, error: float, group: int = 1) -> Audits:
    """So many audits of a stream whose error is `error`, with twice the probability below the median confidence."""
    high, low = min(1.0, share * NEAR), share * FAR
    if share > 1 / NEAR:
        high = low = share
    length = int(count / share * 1.3) + 400 * group
    bad = np.zeros((runs, count), dtype=bool)
    weight, request = np.ones((runs, count)), np.zeros((runs, count), dtype=np.int64)
    for run in range(runs):
        confidence = np.repeat(rng.random(length // group + 1), group)[:length]
        wrong = np.repeat(rng.random(length // group + 1), group)[:length] < error * (1.75 - 1.5 * confidence)
        near = confidence < 0.5
        rows = np.flatnonzero(rng.random(length) < np.where(near, high, low))[:count]
        bad[run], weight[run], request[run] = wrong[rows], np.where(near[rows], low / high, 1.0), rows + 1
    return Audits(bad, weight, request)


def joined(first: Audits, then: Audits) -> Audits:
    """One stream after another."""
    shift = first.request[:, -1:] if first.request.shape[1] else np.zeros((len(then.request), 1), dtype=np.int64)
    return Audits(
        np.concatenate([first.bad, then.bad], axis=1),
        np.concatenate([first.weight, then.weight], axis=1),
        np.concatenate([first.request, then.request + shift], axis=1),
    )


def watch(audits: Audits, share: float, *, naive: bool = True) -> Found:
    """All tests over all runs."""
    runs, count = audits.bad.shape
    bets, unit = bets_above(RISK), unit_of(share)
    wealth, change = np.zeros((runs, len(bets))), np.zeros((runs, len(bets)))
    waiting, begun, since = 1.0, 0, BLOCK
    found = Found(*(np.zeros(runs, dtype=np.int64) for _ in range(3)))
    surplus = audits.weight * (audits.bad - RISK)
    for step in range(unit, count + 1, unit):
        if since >= BLOCK:
            before, waiting = waiting, remaining(begun)
            wealth += before - waiting
            begun, since = begun + 1, 0
        since += unit
        factors = 1 + bets * surplus[:, step - unit : step].mean(axis=1)[:, None]
        wealth = np.minimum(wealth * factors, LARGEST)
        change = np.minimum((change + 1) * factors, LARGEST)
        _first(found.alarm, waiting + wealth.mean(axis=1) >= 1 / DELTA, step)
        _first(found.change, change.mean(axis=1) >= CHANGE, step)
    if naive:
        bad = audits.bad.cumsum(axis=1)
        numbers = np.arange(1, count + 1)
        fails = (binom.sf(bad - 1, numbers, RISK) <= DELTA) & (numbers >= 50)
        found.naive[:] = np.where(fails.any(axis=1), fails.argmax(axis=1) + 1, 0)
    return found


def _first(found: npt.NDArray[np.int64], now: npt.NDArray[np.bool_], step: int) -> None:
    found[(found == 0) & now] = step


def false_alarms(rng: np.random.Generator, runs: int) -> None:
    """At the boundary: an error of exactly the risk for the whole time."""
    print(
        f"\nFalse alarms at a true error of exactly {RISK:.0%} (promise: at most {DELTA:.0%} of the runs, at any time)"
    )
    print("| share audited | group | requests to the student | audits | alarm | change reported | naive test |")
    print("|---|---|---|---|---|---|---|")
    cells = (
        (0.02, 1, 100_000),
        (0.1, 1, 100_000),
        (1.0, 1, 10_000),
        (0.02, 5, 100_000),
        (0.1, 5, 50_000),
        (1.0, 5, 10_000),
    )
    for share, group, requests in cells:
        count = int(requests * share)
        found = watch(draw(rng, runs, count, share, RISK, group), share)
        rates = [f"{(column > 0).mean():.1%}" for column in (found.alarm, found.change, found.naive)]
        print(f"| {share:.0%} | {group} | {requests:,} | {count:,} | " + " | ".join(rates) + " |", flush=True)


def delays(rng: np.random.Generator, runs: int) -> None:
    """After a good time at 3%: how many audits and requests until the alarm."""
    print(
        "\nDelay after the error rises from 3% (median, and 90% of the runs; audits, and requests to the student at that share)"
    )
    print("| share | good before | error then | audits | of 90% | requests | change told | caught | false |")
    print("|---|---|---|---|---|---|---|---|---|")
    for share, before in ((0.02, 0), (0.02, 500), (0.02, 2_000), (0.1, 2_000)):
        for error in (0.08, 0.10, 0.15, 0.30):
            limit = 4_000 if error < 0.1 else 2_000 if error < 0.15 else 800
            first = draw(rng, runs, before, share, 0.03) if before else None
            then = draw(rng, runs, limit, share, error)
            audits = joined(first, then) if first is not None else then
            found = watch(audits, share, naive=False)
            early = ((found.alarm > 0) & (found.alarm <= before)).mean()
            late = found.alarm > before
            wait = np.where(late, found.alarm - before, limit)
            begin = audits.request[:, before - 1] if before else np.zeros(runs, dtype=np.int64)
            requests = audits.request[np.arange(runs), before + wait - 1] - begin
            noticed = np.where(found.change > before, found.change - before, limit)[
                (found.change == 0) | (found.change > before)
            ]
            print(
                f"| {share:.0%} | {before:,} | {error:.0%} | {np.median(wait):,.0f} | {np.quantile(wait, 0.9):,.0f} | "
                f"{np.median(requests):,.0f} | {np.median(noticed):,.0f} | {late.mean():.0%} | {early:.1%} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    started = time.monotonic()
    false_alarms(rng, options.runs)
    delays(rng, options.runs)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"\n{used.ru_utime + used.ru_stime:.0f} s of CPU, {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
