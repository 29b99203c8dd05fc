"""`curate.keep` against random subsets of banking77: how well the nearest kept question tells the intent of a test question.

python benchmarks/subsets.py ../shared/data/banking77
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from distil.curate.diverse import pick, text_vectors
from distil.curate.similar import shingle_sets


def main(folder: Path) -> None:
    """Prints a line per size: accuracy of the picked subset, mean and deviation of ten random ones."""
    rows = [list(csv.DictReader((folder / f"banking_{side}.csv").open(encoding="utf-8"))) for side in ("train", "test")]
    train, test = (np.array([row["category"] for row in side]) for side in rows)
    vectors = text_vectors(shingle_sets([row["text"] for side in rows for row in side]))
    known, asked = vectors[: len(train)], vectors[len(train) :]
    similarity = asked @ known.T
    rng = np.random.default_rng(0)
    for size in (100, 300, 770, 2_000, 5_000):
        subsets = [pick(known, size, 0), *(rng.permutation(len(train))[:size] for _ in range(10))]
        right = [float((train[kept][similarity[:, kept].argmax(axis=1)] == test).mean()) for kept in subsets]
        print(f"{size:,}: {right[0]:.1%}, random {np.mean(right[1:]):.1%} (deviation {np.std(right[1:]):.1%})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
