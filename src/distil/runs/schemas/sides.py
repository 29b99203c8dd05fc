"""What the split remembers: one line of work/curate/sides.jsonl for each prompt that ever had a side.

A prompt keeps its side when others come and go, so that no student is tested on what an earlier one was trained on. Lines of
prompts that are no longer there stay: they may come back. Another `curate.seed` draws everything again.
"""

from __future__ import annotations

from pathlib import Path

from distil.records import Record, Split
from distil.runs.jsonl import read_records


class Side(Record):
    """The side of one prompt."""

    prompt_id: str
    """The prompt."""
    side: Split
    """Where it was put when it was first curated."""
    seed: int
    """The `curate.seed` that it was drawn with."""


def read_sides(path: Path, seed: int | None = None) -> dict[str, Split]:
    """Prompt id -> side; empty when there is no file. seed: only what was drawn with it. Raises UserError on a bad line."""
    if not path.exists():
        return {}
    return {side.prompt_id: side.side for side in read_records(path, Side) if seed is None or side.seed == seed}
