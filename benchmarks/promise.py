"""How often `distil calibrate` certifies falsely, and how often it can: simulated calibrations on prompts in groups.

    python benchmarks/promise.py [--runs 1000]

Every prompt of a group shares the label (the student fails on all or none of them), and the score as well or one of its own. The
true risk is just above the promised one, so every certificate is false; power is measured at a fifth of it. Also how often test
prompts void a certificate that holds exactly. CPU only, about a minute for each 1,000 runs of one size.
"""

from __future__ import annotations

import argparse

import numpy as np

from distil.serve.calibration.learn_then_test import certify, refuting_p_value

RISK, DELTA, LABELS, GRID_PROMPTS = 0.05, 0.05, 500, 200
SIZES = (1, 2, 5, 10)


def certifies(
    rng: np.random.Generator, size: int, true_risk: float, *, shared: bool, counted: bool, labels: int
) -> bool:
    """One calibration. shared: the prompts of a group share the score; counted: groups are told to the test."""
    group = np.repeat(np.arange(labels // size), size)
    bad = (rng.random(labels // size) < true_risk)[group]
    scores = rng.random(labels // size)[group] if shared else rng.random(len(group))
    names = [str(number) for number in group] if counted else [None] * len(group)
    grid_scores = rng.random(GRID_PROMPTS).tolist()
    outcome, _ = certify(scores.tolist(), bad.tolist(), grid_scores, risk=RISK, delta=DELTA, groups=names)
    return outcome.threshold is not None


def voided(rng: np.random.Generator, size: int, true_risk: float) -> bool:
    """Whether 200 served test prompts in groups refute a promise of RISK."""
    group = np.repeat(np.arange(200 // size), size)
    bad = (rng.random(200 // size) < true_risk)[group]
    return refuting_p_value(bad.tolist(), [str(number) for number in group], RISK) <= DELTA


def main() -> None:
    """Prints one row for each group size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    print(
        f"{runs} runs each; promised risk {RISK:.0%} at {1 - DELTA:.0%} confidence, {LABELS} labels; true risk {RISK + 1e-4:.4f}"
    )
    print("group  false: shared score, own scores, groups ignored   power: 500 labels, 2,000   voided: at 5%, at 15%")
    for size in SIZES:
        rng = np.random.default_rng(size)

        def share(true_risk: float, *, shared: bool = True, counted: bool = True, labels: int = LABELS) -> float:
            draws = (
                certifies(rng, size, true_risk, shared=shared, counted=counted, labels=labels)  # noqa: B023
                for _ in range(runs)
            )
            return sum(draws) / runs

        just_above = RISK + 1e-4
        figures = (
            share(just_above),
            share(just_above, shared=False),
            share(just_above, counted=False),
            share(RISK / 5),
            share(RISK / 5, labels=2_000),
            sum(voided(rng, size, RISK) for _ in range(runs)) / runs,
            sum(voided(rng, size, 3 * RISK) for _ in range(runs)) / runs,
        )
        print(f"{size:5d}  " + "  ".join(f"{figure:.1%}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
