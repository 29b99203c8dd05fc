"""Does the filter `irrelevant` find the prompts that are not the task, and leave the others alone?

    python benchmarks/irrelevant.py --data PATH/TO/shared/data [--seeds 3]

Questions of banking77 are the task; prompts of alpaca_eval, or problems of gsm8k, are mixed in. Precision and recall at the
filter's default threshold, over seeds that draw other prompts. And a log of each alone, of which nothing should be dropped.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
from banking77 import DEFAULT_DATA, read

from distil.curate.evidence.filters import FILTERS
from distil.curate.relevance import QUARTILE, closeness
from distil.embeddings.embedder import embedder

MIXES = (
    ("banking77", 1000, "alpaca_eval", 10),
    ("banking77", 1000, "alpaca_eval", 50),
    ("banking77", 1000, "alpaca_eval", 100),
    ("banking77", 1000, "alpaca_eval", 300),
    ("banking77", 800, "alpaca_eval", 600),
    ("banking77", 200, "alpaca_eval", 20),
    ("banking77", 60, "alpaca_eval", 6),
    ("banking77", 1000, "gsm8k", 100),
    ("banking77", 1000, "", 0),
    ("gsm8k", 1000, "", 0),
    ("alpaca_eval", 600, "", 0),
)


def texts(data: Path) -> dict[str, list[str]]:
    """Name -> its prompts."""

    def column(path: Path, name: str) -> list[str]:
        return list(dict.fromkeys(json.loads(line)[name] for line in path.read_text(encoding="utf-8").splitlines()))

    return {
        "banking77": list(read(data / "banking77" / "banking_train.csv")),
        "alpaca_eval": column(next((data / "alpaca_eval").glob("*.jsonl")), "prompt"),
        "gsm8k": column(data / "gsm8k" / "test.jsonl", "question"),
    }


def dropped(prompts: list[str]) -> np.ndarray:
    """Of each prompt, whether the filter drops it."""
    close = closeness(embedder().vectors(prompts))
    return np.asarray(close / np.quantile(close, QUARTILE) < FILTERS["irrelevant"].threshold)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA.parent)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    known = texts(options.data)
    print("| the task | mixed in | precision | recall | of the task dropped |\n|---|---|---:|---:|---:|")
    for task, count, other, strange in MIXES:
        found = []
        for seed in range(options.seeds):
            draw = random.Random(seed)
            mixed = draw.sample(known[task], count) + (draw.sample(known[other], strange) if strange else [])
            gone = dropped(mixed)
            found.append((gone[count:].sum(), gone.sum(), gone[:count].sum()))
        right, all_, wrong = (sum(values) for values in zip(*found, strict=True))
        total = options.seeds * strange
        shown = f"{right / max(1, all_):.0%} | {right / total:.0%}" if strange else "- | -"
        name = f"{strange} of {other}" if strange else "nothing"
        print(f"| {count:,} of {task} | {name} | {shown} | {wrong / (options.seeds * count):.1%} |")


if __name__ == "__main__":
    main()
