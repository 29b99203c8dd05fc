"""Draw examples of the bundled task, and write them as a prompts file.

Seeded: equal arguments give equal examples, and the first n of a longer draw are the shorter draw.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distil.bundled.triage.compose import Composer, draw_meaning
from distil.bundled.triage.grammar import Split
from distil.bundled.triage.labels import answer_text
from distil.errors import UserError

_DIGIT = re.compile(r"\d")
PromptRow = dict[str, str]


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


def prompt_rows(*, train: int, test: int, unseen: int = 0, seed: int = 0) -> Iterator[PromptRow]:
    """The rows of a prompts file: {"prompt", "reference": the answer's text, "split", "wording", for some "group"}.

    `train` training messages, `test` held-out ones of the same grammar, as tomorrow's requests are like yesterday's, and `unseen`
    held-out ones in wordings that no training message has. `wording` says which: known or unseen. No held-out message occurs in
    training, not even with other numbers. Unseen wordings have a group, the request's frame: they are a sample of frames, while
    the known ones are independent draws from all of them. The same seed gives the same held-out messages for any `train`.
    """
    held_out = generate(test, seed=_held_out_seed(seed))
    apart = generate(unseen, seed=seed, split="test")
    taken = {_skeleton(example.message) for example in [*held_out, *apart]}
    fresh = (example for example in stream(seed=seed) if _skeleton(example.message) not in taken)
    for example in itertools.islice(fresh, train):
        yield _row(example, "train", "known")
    for example in held_out:
        yield _row(example, "test", "known")
    for example in apart:
        yield _row(example, "test", "unseen") | {"group": example.group}


def write_prompts(path: Path | str, *, train: int = 1500, test: int = 200, unseen: int = 0, seed: int = 0) -> None:
    """Write `prompt_rows` as JSON Lines."""
    rows = prompt_rows(train=train, test=test, unseen=unseen, seed=seed)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(path).write_text(text, encoding="utf-8")


def _held_out_seed(seed: int) -> int:
    """The seed of the held-out messages: never that of a training stream, whose seeds are not negative."""
    return -1 - seed


def _skeleton(message: str) -> str:
    """The message without what changes nothing: case, and every digit the same."""
    return _DIGIT.sub("0", message.casefold())


def _row(example: TriageExample, split: Split, wording: Literal["known", "unseen"]) -> PromptRow:
    return {
        "prompt": example.message,
        "reference": answer_text(example.reference),
        "split": split,
        "wording": wording,
    }
