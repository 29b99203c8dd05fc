"""What of a cache is there already, and whether it is the cache that is asked for. Called by stage.py and api.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from distil.errors import UserError
from distil.runs.signals.shards import recover, stored_examples
from distil.runs.signals.spec import SignalSpec, read_spec, token_hash, write_spec
from distil.signals.teacher import Item


class Done(NamedTuple):
    """What a build has to report beside what lies on disk."""

    reused: int
    """Examples that were stored before it."""
    too_long: int
    """Examples that were left out."""
    notes: dict[str, Any]
    """For a person."""


def prepare(folder: Path, spec: SignalSpec, items: list[Item]) -> tuple[list[Item], int]:
    """(what is not stored yet, how many are): keeps what a killed run had finished, and refuses a cache made otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "spec.json").exists():
        refuse_other_spec(folder, read_spec(folder), spec)
    else:
        write_spec(folder, spec)
    recover(folder)
    stored = stored_examples(folder)
    other = [item.example_id for item in items if stored.get(item.example_id, hash_of(item)) != hash_of(item)]
    if other:
        raise UserError(
            f"{len(other):,} examples are cached in {folder} with other token ids (the first: {other[0]}). The conversations or "
            f"their rendering changed under the same ids. Remove {folder} and run `distil signals build` again."
        )
    left = [item for item in items if item.example_id not in stored]
    return left, len(items) - len(left)


def refuse_other_spec(folder: Path, found: SignalSpec, expected: SignalSpec) -> None:
    """Raises UserError that names each difference between the cache in the folder and what is asked for."""
    if found == expected:
        return
    then, now = found.model_dump(mode="json"), expected.model_dump(mode="json")
    changes = "; ".join(f"{key}: {then[key]!r} there, {now[key]!r} now" for key in now if then[key] != now[key])
    raise UserError(
        f"{folder} holds a cache that was made otherwise ({changes}). Put the settings back, or remove the folder and run "
        "`distil signals build` for a new cache."
    )


def hash_of(item: Item) -> bytes:
    """The token hash of an item's record."""
    return token_hash(item.token_ids, item.answer_mask)
