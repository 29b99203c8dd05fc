"""Distinct prompts in the order of their first appearance, in a file: 200,000 of them need no more memory than their hashes.

Rows that ask the same are merged; groups that share a prompt become one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from distil.errors import UserError, WorkFailed
from distil.records import Prompt, Split
from distil.runs.jsonl import record_line
from distil.text import whole


class _Seen(NamedTuple):
    """What is remembered of a prompt."""

    reference: bytes | None
    """Its hash."""
    group: str | None
    split: Split | None


class DistinctPrompts:
    """Prompts as they come, and counts of what was merged. folder: where the temporary file may be."""

    def __init__(self, folder: Path) -> None:
        self.read = self.conflicts = self.with_reference = self.fixed_split = 0
        self._seen: dict[bytes, _Seen] = {}
        self._changed: dict[bytes, dict[str, str]] = {}
        self._where: dict[bytes, str] = {}  # of prompts with a fixed split
        self._group_of: dict[str, str] = {}  # group -> the group it was merged into
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder)  # noqa: SIM115 - closed by `close`

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, prompt_id: str) -> bool:
        return bytes.fromhex(prompt_id.rpartition("_")[2]) in self._seen

    def close(self) -> None:
        """Removes the temporary file."""
        self._file.close()

    def add(self, prompt: Prompt, where: str) -> None:
        """Adds a prompt, or merges it into an equal earlier one. Raises UserError on contradictory splits."""
        self.read += 1
        key = bytes.fromhex(prompt.id.rpartition("_")[2])
        earlier = self._seen.get(key)
        reference = (
            None if prompt.reference is None else blake2b(prompt.reference.encode("utf-8"), digest_size=8).digest()
        )
        if prompt.split and key not in self._where:
            self._where[key] = where
        if earlier is None:
            self._seen[key] = _Seen(reference, prompt.group, prompt.split)
            self.with_reference += reference is not None
            self.fixed_split += prompt.split is not None
            try:
                self._file.write(whole(record_line(prompt)) + "\n")
            except OSError as error:
                raise WorkFailed(
                    f"Could not write the prompts: {error.strerror}. Free some space and run again."
                ) from error
            return
        if earlier.split and prompt.split and earlier.split != prompt.split:
            raise UserError(
                f"{where}: split {prompt.split!r}, but {self._where[key]} has the same prompt with split "
                f"{earlier.split!r}. A prompt can only be in one split; delete one of the two rows."
            )
        self.conflicts += bool(earlier.reference and reference and earlier.reference != reference)
        if earlier.group and prompt.group:
            self._merge(earlier.group, prompt.group)
        given = {"reference": prompt.reference, "group": prompt.group, "split": prompt.split}
        news = {name: value for name, value in given.items() if value and not getattr(earlier, name)}
        if news:
            self._changed.setdefault(key, {}).update(news)
            self.with_reference += "reference" in news
            self.fixed_split += "split" in news
            self._seen[key] = _Seen(
                earlier.reference or reference, earlier.group or prompt.group, earlier.split or prompt.split
            )

    @property
    def groups(self) -> int:
        """Distinct groups."""
        return len({self._root(seen.group) for seen in self._seen.values() if seen.group is not None})

    def prompts(self) -> Iterator[Prompt]:
        """All of them, merged."""
        self._file.seek(0)
        for key, line in zip(self._seen, self._file, strict=True):
            yield _read(line).model_copy(update=self._update(key))

    def lines(self) -> Iterator[str]:
        """The same as lines of prompts.jsonl; a prompt that stands as it was read is not read again."""
        self._file.seek(0)
        for key, line in zip(self._seen, self._file, strict=True):
            update = self._update(key)
            if update:
                yield record_line(_read(line).model_copy(update=update))
            else:
                yield line.rstrip("\n")

    def _update(self, key: bytes) -> dict[str, str]:
        update = dict(self._changed.get(key, {}))
        group = self._seen[key].group
        if group is not None and group in self._group_of:
            update["group"] = self._root(group)
        return update

    def _merge(self, first: str, second: str) -> None:
        root, merged = sorted((self._root(first), self._root(second)))
        if root != merged:
            self._group_of[merged] = root

    def _root(self, group: str) -> str:
        while group in self._group_of:
            group = self._group_of[group]
        return group


def _read(line: str) -> Prompt:
    return Prompt.model_validate({name: value for name, value in json.loads(line).items() if name != "schema"})
