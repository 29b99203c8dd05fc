"""work/prompts/expanded.jsonl: prompts that the teacher wrote, separate from the user's file.

Who they were written after decides what they may be used for: they are never tested on, and never trained on when their
parent is held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from distil.records import Prompt, Record
from distil.runs.jsonl import read_records


class Expanded(Record):
    """One prompt that the teacher wrote."""

    prompt: Prompt
    """In the group of its parent, so that a split keeps both together."""
    parent_id: str
    """The prompt that the teacher was shown."""
    teacher: str
    """The model that wrote it."""
    call_id: str
    """The ledger row with the whole reply."""


def read_expanded(path: Path) -> list[Expanded]:
    """All expanded prompts; empty when there is no file. Raises UserError on a broken line."""
    return list(read_records(path, Expanded)) if path.exists() else []


def ancestors(parents: Mapping[str, str]) -> dict[str, str]:
    """Written prompt -> the user's prompt that it descends from (a parent may have been written, too). parents: by prompt id."""
    roots = {}
    for prompt_id in parents:
        root, seen = prompt_id, {prompt_id}
        while root in parents and parents[root] not in seen:
            root = parents[root]
            seen.add(root)
        roots[prompt_id] = root
    return roots
