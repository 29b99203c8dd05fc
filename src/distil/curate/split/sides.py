"""What the split remembers, and when it forgets: work/curate/sides.jsonl.

A prompt that has a side keeps it. All are drawn again when `curate.seed` changes, and when another setting of the split changes
before anything was trained: nobody has learned from a training row yet that might become a test row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from distil.curate.config import CurateConfig
from distil.records import Split
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.sides import Side, read_sides

SETTINGS = ("test", "validation", "near_duplicates", "semantic")
"""Settings that shape the split, beside the seed."""


class Remembered(NamedTuple):
    """The sides of before."""

    sides: dict[str, Split]
    """By prompt id."""
    note: str | None
    """For a person: why they are not all of those that there were."""


def remembered(project: Project, section: CurateConfig) -> Remembered:
    """The sides that bind this run. A project that was split before there was a file of sides keeps that split."""
    manifest = read_manifest(project, "curate")
    before = dict(manifest.config) if manifest is not None else {}
    seed_before = before.get("seed")
    every = read_sides(project.sides)
    sides = read_sides(project.sides, section.seed)
    if not project.sides.exists() and seed_before in (None, section.seed):
        sides = every = _of_files(project)
    if not every:
        return Remembered({}, None)
    if not sides:
        return Remembered({}, f"All sides were drawn again, with curate.seed {section.seed}.{_warning(project)}")
    now = section.model_dump(mode="json")
    changed = [
        f"curate.{key} ({before[key]} -> {now[key]})" for key in SETTINGS if before.get(key, now[key]) != now[key]
    ]
    if not changed or was_used(project):
        return Remembered(sides, None)
    return Remembered({}, f"All sides were drawn again, because {', '.join(changed)} and nothing has been trained yet.")


def was_used(project: Project) -> bool:
    """Whether a student may have learned the training rows: a training was begun, or the rows were exported."""
    return any(project.stage("train").glob("*/")) or any((project.stage("curate") / "export").glob("*/"))


def remember(project: Project, section: CurateConfig, before: Mapping[str, Split], now: Mapping[str, Split]) -> int:
    """Writes the file: who has a side now, and who had one before and is not there (any more). Returns the lines."""
    sides = {**before, **now}
    lines = [Side(prompt_id=key, side=sides[key], seed=section.seed) for key in sorted(sides)]
    return write_records(project.sides, lines)


def _warning(project: Project) -> str:
    if not was_used(project):
        return ""
    return (
        " A student that was trained before may have learned what is a test prompt now; `distil evaluate` refuses it."
    )


def _of_files(project: Project) -> dict[str, Split]:
    sides: dict[str, Split] = {}
    for side in ("train", "validation", "test"):
        if project.split(side).exists():
            sides |= {example.prompt_id: example.split for example in read_examples(project.split(side))}
    return sides
