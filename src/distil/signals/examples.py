"""The curated examples as token ids, as the student will be trained on them. Rendering itself is distil.models.render's.

Called by stage.py (what must be cached) and inspecting.py (which tokens a cached row is about).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from distil.errors import UserError
from distil.progress import track
from distil.records import Example
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.signals.teacher import Item


class Rendered(NamedTuple):
    """What of the data can be cached."""

    items: list[Item]
    too_long: list[str]
    """Ids of examples that have more tokens than fit."""


def curated(project: Project, splits: Sequence[str]) -> list[Example]:
    """The examples of these splits, in file order. Raises UserError when a file is missing or nothing is in them."""
    examples = [example for split in splits for example in read_examples(project.split(split))]
    if not examples:
        raise UserError(
            f"{' and '.join(str(project.split(split)) for split in splits)} hold no examples, so there is nothing to cache. "
            "Run `distil curate` first, or look into work/curate/dropped.jsonl for why everything was dropped."
        )
    return examples


def render_all(tokenizer: Any, examples: Iterable[Example], limit: int | None) -> Rendered:
    """Every example once, by id. Longer ones than `limit` tokens are named, never cut (a cut answer has no end)."""
    from distil.models.render import render

    items: dict[str, Item] = {}
    too_long = []
    for example in track(list(examples), "rendering", unit="examples"):
        if example.id in items:
            continue
        rendered = render(tokenizer, example.messages, tools=example.tools)
        if limit is not None and len(rendered.input_ids) > limit:
            too_long.append(example.id)
            continue
        items[example.id] = Item(example.id, rendered.input_ids, rendered.answer_mask)
    if not items:
        raise UserError(
            f"All {len(too_long):,} examples have more than {limit:,} tokens, so there is nothing to cache. "
            "Raise signals.max_length, or use a teacher with a longer context."
        )
    return Rendered(list(items.values()), too_long)
