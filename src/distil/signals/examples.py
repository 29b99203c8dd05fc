"""The examples that a build caches: the curated ones as token ids, as the student trains on them, less those that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import UserError
from distil.models.render import render_rows, row_id
from distil.progress import track
from distil.records import Example
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.signals.shards import recover, stored_examples
from distil.runs.signals.spec import SignalSpec, read_spec, token_hash, write_spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenizedExample:
    """One example as token ids; its rows are the answer tokens that have a token before them."""

    example_id: str
    token_ids: list[int]
    answer_mask: list[bool]

    @property
    def positions(self) -> list[int]:
        """Where the model's output predicts an answer token: t - 1 for each answer token t >= 1, ascending."""
        return [t - 1 for t in range(1, len(self.token_ids)) if self.answer_mask[t]]

    @property
    def token_hash(self) -> bytes:
        """The hash in the example's record."""
        return token_hash(self.token_ids, self.answer_mask)


class BuildCounts(NamedTuple):
    """What a build reports beside what is on disk."""

    reused: int
    """Examples that an earlier run had stored."""
    too_long: int
    """Examples that were left out."""
    notes: dict[str, int]
    """For a person."""


def curated(project: Project, splits: Sequence[str]) -> list[Example]:
    """The examples of these splits, in file order. Raises UserError when a file is missing or all are empty."""
    examples = [example for split in splits for example in read_examples(project.split(split))]
    if not examples:
        raise UserError(
            f"{' and '.join(str(project.split(split)) for split in splits)} hold no examples, so there is nothing to cache. "
            "Run `distil curate` first, or see work/curate/dropped.jsonl for why everything was dropped."
        )
    return examples


def tokenize(
    tokenizer: PreTrainedTokenizerBase, examples: Iterable[Example], limit: int | None, *, one_answer: bool = False
) -> tuple[list[TokenizedExample], int]:
    """(every example once, how many have more than `limit` tokens). Those are left out, never cut: a cut answer has no end.

    one_answer: each answer of a conversation has a row of its own.
    """
    tokenized: dict[str, TokenizedExample] = {}
    too_long = 0
    for example in track(list(examples), "rendering", unit="examples"):
        if example.id in tokenized:
            continue
        rows = render_rows(tokenizer, example.messages, tools=example.tools, one_answer=one_answer)
        for number, row in enumerate(reversed(rows)):
            if limit is not None and len(row.ids) > limit:
                too_long += 1
                continue
            id_ = row_id(example.id, number)
            tokenized[id_] = TokenizedExample(id_, *row.rendered)
    if not tokenized:
        raise UserError(
            f"All {too_long:,} examples have more than {limit:,} tokens, so there is nothing to cache. "
            "Raise signals.max_length, or use a teacher with a longer context."
        )
    return list(tokenized.values()), too_long


def not_stored(
    folder: Path, spec: SignalSpec, examples: Sequence[TokenizedExample]
) -> tuple[list[TokenizedExample], int]:
    """(examples that are still to be written, how many are stored). Recovers what a killed run had finished.

    Raises UserError for a cache with other settings or other token ids.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "spec.json").exists():
        _refuse_other_spec(folder, read_spec(folder), spec)
    else:
        write_spec(folder, spec)
    recover(folder)
    stored = stored_examples(folder)
    changed = [e.example_id for e in examples if stored.get(e.example_id, e.token_hash) != e.token_hash]
    if changed:
        raise UserError(
            f"{len(changed):,} examples are cached in {folder} with other token ids (the first: {changed[0]}). Their "
            f"conversations or the chat template changed. Remove {folder} and run `distil signals build` again."
        )
    missing = [example for example in examples if example.example_id not in stored]
    return missing, len(examples) - len(missing)


def _refuse_other_spec(folder: Path, found: SignalSpec, expected: SignalSpec) -> None:
    if found == expected:
        return
    then, now = found.model_dump(mode="json"), expected.model_dump(mode="json")
    changes = "; ".join(f"{key}: {then[key]!r} there, {now[key]!r} now" for key in now if then[key] != now[key])
    raise UserError(
        f"The cache in {folder} was made with other settings ({changes}). Restore those settings, or remove the folder and "
        "run `distil signals build` for a new cache."
    )
