"""Do ways to a better student add up? A noisy log relabeled by a committee, and a rate that is tried: each alone, and both.

    python benchmarks/together.py --dir FOLDER [--data PATH/TO/shared/data] [--seeds 3]

The task, the log and the simulated teachers of relabeling.py, with 30 intents of banking77, 20 questions each, six epochs in
batches of 16. All arms train for equally many steps. Resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import relabeling
from arms import compare, parser
from banking77 import DEFAULT_DATA

ARMS = {
    "the log, the rate that fits": ("the log", None),
    "the log, auto": ("the log", "auto"),
    "committee, the rate that fits": ("committee, 2 of 3", None),
    "committee, auto": ("committee, 2 of 3", "auto"),
}
"""name -> (arm of relabeling.py, train.learning_rate)."""


def main() -> None:
    """Trains what is missing and prints the table."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--data", type=Path, default=DEFAULT_DATA.parent)
    options = options_parser.parse_args()

    def measure(arm: str, seed: int) -> list[float]:
        labels, rate = ARMS[arm]
        of = argparse.Namespace(
            dir=options.dir / ("auto" if rate else "fits"), data=options.data, rate=rate, intents=30, train_each=20,
            test_each=10, student="bundled/student", adapter=None,
        )  # fmt: skip
        return relabeling.student(of, labels, seed)

    compare(list(ARMS), measure, seeds=options.seeds, base=next(iter(ARMS)))


if __name__ == "__main__":
    main()
