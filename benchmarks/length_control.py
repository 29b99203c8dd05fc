"""The length-controlled win rate against AlpacaEval's published one, on AlpacaEval's own annotations.

    git clone --filter=blob:limit=6m https://github.com/tatsu-lab/alpaca_eval
    python benchmarks/length_control.py --results alpaca_eval [--markdown]

Reads results/MODEL/weighted_alpaca_eval_gpt4_turbo/annotations.json (AlpacaEval 2, against gpt4_1106_preview) and
results/MODEL/alpaca_eval_gpt4/annotations.json (AlpacaEval 1, against text_davinci_003) with the leaderboards beside them. The
annotations are not part of Distil (CC BY-NC 4.0). Models whose file is missing are skipped.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distil.evaluate.length import MIN_SIDE, length_controlled

BOARDS = {
    "2": ("weighted_alpaca_eval_gpt4_turbo", "data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"),
    "1": ("alpaca_eval_gpt4", "data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv"),
}


class Row(NamedTuple):
    """One model of one leaderboard; win rates in percent."""

    board: str
    model: str
    pairs: int
    side: float
    """Share of the pairs on the rarer side: its answer as long as the baseline's, or as short."""
    raw: float
    published: float
    ours: float | None
    low: float
    high: float
    why: str


def read(root: Path) -> Iterator[Row]:
    """Every model with annotations and a published length-controlled win rate."""
    for board, (annotator, leaderboard) in BOARDS.items():
        path = root / "src/alpaca_eval/leaderboards" / leaderboard
        with path.open(encoding="utf-8", newline="") as file:
            published = {row[""]: row["length_controlled_winrate"] for row in csv.DictReader(file)}
        for file_path in sorted((root / "results").glob(f"*/{annotator}/annotations.json")):
            model = file_path.parts[-3]
            if published.get(model):
                yield measure(board, model, json.loads(file_path.read_text()), float(published[model]))


def measure(board: str, model: str, annotations: list[dict[str, object]], published: float) -> Row:
    """preference is 1 (the baseline's answer) to 2 (the model's), or 0 for a tie; graded in AlpacaEval 2."""
    rated = [row for row in annotations if row["preference"] is not None]
    marks = np.array([row["preference"] for row in rated], dtype=np.float64)
    values = np.where(marks == 0, 0.5, marks - 1)
    lengths = np.array([[len(str(row["output_2"])), len(str(row["output_1"]))] for row in rated], dtype=np.float64)
    difference = lengths[:, 0] - lengths[:, 1]
    found = length_controlled(values, difference)
    estimate = found.estimate
    return Row(
        board=board,
        model=model,
        pairs=len(rated),
        side=float(min((difference >= 0).mean(), (difference <= 0).mean())),
        raw=100 * float(values.mean()),
        published=published,
        ours=None if estimate is None else 100 * estimate.mean,
        low=float("nan") if estimate is None else 100 * estimate.low,
        high=float("nan") if estimate is None else 100 * estimate.high,
        why=found.why or "",
    )


def main() -> None:
    """Prints one row per model, and how far off the figures are where one is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="a checkout of tatsu-lab/alpaca_eval")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    arguments = parser.parse_args()
    rows = sorted(read(arguments.results), key=lambda row: -row.side)
    bar, edge = (" | ", "| ") if arguments.markdown else ("  ", "")
    header = ["AlpacaEval", f"{'model':<32}", "pairs", "rarer side", " raw", "published", f"{'ours':<18}", "difference"]
    print(edge + bar.join(header))
    if arguments.markdown:
        print("|" + "---|" * len(header))
    for row in rows:
        unknown = "can't be told" if row.why.startswith("can't") else "equal lengths"
        given = unknown if row.ours is None else f"{row.ours:.1f} ({row.low:.1f}-{row.high:.1f})"
        off = "" if row.ours is None else f"{row.ours - row.published:+.1f}"
        cells = [
            f"{row.board:>10}",
            f"{row.model[:32]:<32}",
            f"{row.pairs:>5}",
            f"{row.side:>10.0%}",
            f"{row.raw:>4.1f}",
        ]
        print(edge + bar.join([*cells, f"{row.published:>9.1f}", f"{given:<18}", f"{off:>10}"]))
    differences = np.array([row.ours - row.published for row in rows if row.ours is not None])
    print(
        f"\n{len(rows)} models; {len(differences)} with a figure (the rarer side has at least {MIN_SIDE:.0%} of the pairs): mean "
        f"difference {np.abs(differences).mean():.2f} points, largest {np.abs(differences).max():.2f}."
    )


if __name__ == "__main__":
    main()
