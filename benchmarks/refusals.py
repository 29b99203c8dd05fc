"""Refusals, empty openings and vendor names found in real answers, against labels made by hand.

python benchmarks/refusals.py --data DIR              alpaca_eval in DIR/alpaca_eval
python benchmarks/refusals.py --xstest DIR            model_completions/ of github.com/paul-rottger/xstest (CC BY 4.0)
"""

from __future__ import annotations

import argparse
import csv
import resource
from collections import Counter
from pathlib import Path

from distil.refusals.identity import vendor_identity
from distil.refusals.openings import opening_of
from distil.refusals.score import REFUSED, find_refusal, weigh_refusal
from distil.runs.jsonl import read_lines
from tests.refusals.phrases import HARMLESS, OTHER_LANGUAGES, PLAIN

LABELS = {"1_full_compliance": "answers", "2_full_refusal": "refuses", "3_partial_refusal": "refuses in part"}


def phrases() -> None:
    """Our own strings."""
    texts = [text for texts in OTHER_LANGUAGES.values() for text in texts]
    print(f"plain refusals in English: {sum(find_refusal(text) is not None for text in PLAIN)} of {len(PLAIN)}")
    found = sum(find_refusal(text) is not None for text in texts)
    print(f"in {len(OTHER_LANGUAGES)} other languages: {found} of {len(texts)}")
    wrong = sum(find_refusal(answer, asked) is not None for asked, answer in HARMLESS)
    print(f"lyrics, quotes, letters, shops taken for one: {wrong} of {len(HARMLESS)}")


def alpaca(folder: Path) -> None:
    """What is found in the answers of each model."""
    before = _cpu()
    count = 0
    for path in sorted(folder.glob("*.jsonl")):
        rows = [row for _, row in read_lines(path)]
        found = [weigh_refusal(row["output"], row["prompt"]) for row in rows]
        named = [vendor_identity(row["output"], row["prompt"]) for row in rows]
        count += len(rows)
        print(
            f"{path.stem}: {len(rows)} answers, {sum(f is not None and f.score >= REFUSED for f in found)} refuse, "
            f"{sum(opening_of(row['output'], row['prompt']) is not None for row in rows)} open with nothing, "
            f"{sum(n is not None and n.score >= 0.5 for n in named)} name their vendor"
        )
    print(f"{1e6 * (_cpu() - before) / max(1, count):.0f} µs of CPU for an answer")


def xstest(folder: Path) -> None:
    """Answers whose refusal two people labeled."""
    total: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                total[row["final_label"]] += 1
                hit[row["final_label"]] += find_refusal(row["completion"], row["prompt"]) is not None
    for label, name in LABELS.items():
        print(f"{name}: {hit[label]} of {total[label]} found to refuse")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--xstest", type=Path)
    given = parser.parse_args()
    phrases()
    if given.data:
        alpaca(given.data / "alpaca_eval")
    if given.xstest:
        xstest(given.xstest)
