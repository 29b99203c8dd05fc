"""Which rule of choosing saves answers? The rules alone, with a linear student on banking77, where many seeds cost seconds.

    python benchmarks/active_rule.py [--data PATH/TO/banking77] [--seeds 12]

The same uneven questions as benchmarks/active.py, which measures the whole command; a student is softmax regression on hashed
character 5-grams. All rules share the random first 100 questions and then ask 100 a round, of 500 that are scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from active import banking
from banking77 import DEFAULT_DATA

from distil.active.choose import EVEN_SHARE, Floats, by_rank, probabilities, systematic
from distil.curate.diverse import text_vectors, topics
from distil.curate.similar import shingle_sets

EACH, ROUNDS, SCORED = 100, 5, 500
STEPS, RATE, MOMENTUM, DECAY = 150, 20.0, 0.9, 1e-4
Rule = Callable[[Floats, Floats], Floats]
"""(uncertainties, margins between the two likeliest labels) -> chances of being asked."""


def _proportional(unsure: Floats, margins: Floats) -> Floats:
    return probabilities(unsure, EACH, 0.25)


def _as_built(unsure: Floats, margins: Floats) -> Floats:
    return probabilities(by_rank(unsure), EACH, EVEN_SHARE)


def _most_unsure(unsure: Floats, margins: Floats) -> Floats:
    return np.isin(np.arange(unsure.size), np.argsort(-unsure, kind="stable")[:EACH]).astype(np.float64)


def _least_margin(unsure: Floats, margins: Floats) -> Floats:
    return np.isin(np.arange(unsure.size), np.argsort(margins, kind="stable")[:EACH]).astype(np.float64)


RULES: dict[str, Rule] = {
    "random": lambda unsure, margins: probabilities(np.ones(unsure.size), EACH, 1.0),
    "proportional to the uncertainty": _proportional,
    "by rank (as built)": _as_built,
    "the most uncertain": _most_unsure,
    "the least margin": _least_margin,
}


class Task:
    """Questions as vectors, with their labels as numbers."""

    def __init__(self, data: Path) -> None:
        rows = banking(data)
        pool, tests = [*rows["validation"], *rows["train"]], rows["test"]
        labels = sorted({label for _, label in pool})
        vectors = text_vectors(shingle_sets([text for text, _ in [*pool, *tests]])).astype(np.float64)
        self.pool, self.tests = vectors[: len(pool)], vectors[len(pool) :]
        self.right = np.array([labels.index(label) for _, label in pool])
        self.right_tests = np.array([labels.index(label) for _, label in tests])
        self.topics = topics(vectors[: len(pool)].astype(np.float32), 0)
        self.labels = len(labels)

    def curve(self, rule: Rule, seed: int) -> list[float]:
        """Accuracy on the test questions after each round."""
        rng = np.random.default_rng(seed)
        asked = rng.permutation(len(self.pool))[:EACH]
        found = []
        for number in range(ROUNDS):
            weights = self._fit(asked)
            found.append(float((_shares(self.tests @ weights).argmax(1) == self.right_tests).mean()))
            if number < ROUNDS - 1:
                left = np.setdiff1d(np.arange(len(self.pool)), asked)
                some = rng.permutation(left)[:SCORED]
                ordered = np.sort(_shares(self.pool[some] @ weights), axis=1)
                chances = rule(1 - ordered[:, -1], ordered[:, -1] - ordered[:, -2])
                order = sorted(rng.permutation(some.size).tolist(), key=lambda at: int(self.topics[some[at]]))
                asked = np.concatenate([asked, some[systematic(chances, order, float(rng.random()))]])
        return found

    def _fit(self, asked: np.ndarray) -> Floats:
        weights, speed = np.zeros((2, self.pool.shape[1], self.labels))
        x, y = self.pool[asked], np.eye(self.labels)[self.right[asked]]
        for _ in range(STEPS):
            gradient = x.T @ (_shares(x @ weights) - y) / len(asked) + DECAY * weights
            speed = MOMENTUM * speed - RATE * gradient
            weights = weights + speed
        return np.asarray(weights)


def _shares(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--seeds", type=int, default=12)
    options = parser.parse_args()
    task = Task(options.data)
    curves = {name: np.array([task.curve(rule, s) for s in range(options.seeds)]) for name, rule in RULES.items()}
    print(f"| rule | {' | '.join(f'{EACH * (number + 1)}' for number in range(1, ROUNDS))} |")
    print("|---|" + "---:|" * (ROUNDS - 1))
    for name, values in curves.items():
        gains = 100 * (values - curves["random"])[:, 1:]
        half = 2 * gains.std(axis=0, ddof=1) / options.seeds**0.5
        cells = [f"{gain:+.1f} ± {error:.1f}" for gain, error in zip(gains.mean(axis=0), half, strict=True)]
        if name == "random":
            cells = [f"{100 * value:.1f}%" for value in values[:, 1:].mean(axis=0)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(
        f"\n{options.seeds} seeds, pool of {len(task.pool):,}, {len(task.tests)} test questions; ± two standard errors."
    )


if __name__ == "__main__":
    main()
