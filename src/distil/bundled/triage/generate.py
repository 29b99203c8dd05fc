"""Draw examples of the bundled task, and write them as a prompts file.

Seeded: equal arguments give equal examples, and the first n of a longer draw are the shorter draw.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distil.bundled.triage.compose import Composer, draw_meaning
from distil.bundled.triage.grammar import Split
from distil.bundled.triage.labels import answer_text
from distil.errors import UserError


@dataclass(frozen=True)
class TriageExample:
    """A message, what it means (keys of `FIELDS`), and the content frame it was built from (for leak-free splits)."""

    message: str
    reference: dict[str, str | None]
    group: str


def stream(*, seed: int = 0, split: Split = "train") -> Iterator[TriageExample]:
    """Endless examples, no message twice."""
    rng = random.Random(f"triage/{split}/{seed}")
    composer = Composer(rng, split)
    seen: set[str] = set()
    while True:
        meaning = draw_meaning(rng)
        message, group = composer.message(meaning)
        if message in seen:
            continue
        seen.add(message)
        yield TriageExample(message, meaning.reference(), group)


def generate(n: int, *, seed: int = 0, split: Split = "train") -> list[TriageExample]:
    """`n` distinct examples. Test examples use frames and words that no training example uses.

    Raises UserError when n is negative or the split is neither "train" nor "test".
    """
    if n < 0 or split not in ("train", "test"):
        raise UserError(f"generate: found n = {n} and split {split!r}, expected n >= 0 and split 'train' or 'test'.")
    examples = stream(seed=seed, split=split)
    return [next(examples) for _ in range(n)]


def write_prompts(path: Path | str, n_train: int = 1500, n_test: int = 200, seed: int = 0) -> None:
    """Write `n_train` + `n_test` prompts as JSON Lines: {"prompt", "reference": the answer's text, "group", "split"}."""
    lines = []
    counts: dict[Split, int] = {"train": n_train, "test": n_test}
    for split, n in counts.items():
        for example in generate(n, seed=seed, split=split):
            record = {
                "prompt": example.message,
                "reference": answer_text(example.reference),
                "group": example.group,
                "split": split,
            }
            lines.append(json.dumps(record, ensure_ascii=False))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
