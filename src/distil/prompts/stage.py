"""Stage `prompts`: from the user's file to work/prompts/prompts.jsonl, one Prompt per distinct question.

Not the writing of new prompts (expand.py) and not the split (curate).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from distil.errors import UserError
from distil.progress import track
from distil.prompts.config import PromptsConfig
from distil.prompts.expanded import merge_expanded
from distil.prompts.rows import to_prompt
from distil.prompts.sources import Row, open_source
from distil.records import Prompt, Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.manifest import stage_run
from distil.runs.schemas.expanded import read_expanded


class PromptsResult(Record):
    """What the stage read and wrote."""

    path: str
    """The file written, relative to the project."""
    read: int
    """Rows in the source."""
    prompts: int
    """Distinct prompts."""
    duplicates: int
    """Rows that repeat an earlier prompt and were merged into it."""
    with_reference: int
    """Prompts with a reference answer."""
    fixed_split: int
    """Prompts whose split the user fixed."""
    groups: int
    """Distinct groups."""
    conflicting_references: int
    """Repeated prompts whose reference differs from the first one, which is kept."""
    further_columns: list[str]
    """Columns beyond the known ones; short values are kept as the prompts' `fields`."""
    expanded: int = 0
    """Prompts that the teacher wrote (`distil prompts expand`); they are kept when the source is loaded again."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        return [(name.replace("_", " "), _show(value)) for name, value in self.model_dump().items()]


def run(project: Project, section: PromptsConfig) -> PromptsResult:
    """Reads `section.path`, writes prompts.jsonl and its manifest. Raises UserError on a missing, empty or broken source."""
    path = (project.root / Path(section.path).expanduser()).resolve()
    source = open_source(path)  # checks the path before the stage's folder is touched
    with stage_run(project, "prompts", section.model_dump(mode="json")) as stage:
        stage.reads(path)
        distinct = collect_prompts(source, section.system)
        loaded = list(distinct.prompts.values())
        if not loaded:
            raise UserError(f"{path} contains no prompts. Expected at least one; add some, or set prompts.path.")
        prompts = merge_expanded(loaded, read_expanded(project.expanded))
        count = write_records(project.prompts, prompts)
        stage.wrote(project.prompts, count)
        result = PromptsResult(
            path=project.relative(project.prompts),
            read=distinct.read,
            prompts=count,
            duplicates=distinct.read - len(loaded),
            with_reference=sum(p.reference is not None for p in prompts),
            fixed_split=sum(p.split is not None for p in prompts),
            groups=len({p.group for p in prompts if p.group is not None}),
            conflicting_references=distinct.conflicts,
            further_columns=sorted(distinct.unused),
            expanded=count - len(loaded),
        )
        stage.notes.update(result.model_dump(exclude={"path"}))
    return result


class DistinctPrompts:
    """The prompts in the order of their first appearance, and counts of what was merged."""

    def __init__(self) -> None:
        self.prompts: dict[str, Prompt] = {}
        self.read = 0
        self.conflicts = 0
        self.unused: set[str] = set()
        self._first: dict[str, str] = {}
        self._group_of: dict[str, str] = {}  # group -> the group it was merged into

    def add(self, prompt: Prompt, where: str) -> None:
        """Adds a prompt, or merges it into an equal earlier one. Raises UserError on contradictory splits."""
        self.read += 1
        earlier = self.prompts.get(prompt.id)
        if earlier is None:
            self.prompts[prompt.id] = prompt
            self._first[prompt.id] = where
            return
        if earlier.split and prompt.split and earlier.split != prompt.split:
            raise UserError(
                f"{where}: split {prompt.split!r}, but {self._first[prompt.id]} has the same prompt with split "
                f"{earlier.split!r}. A prompt can only be in one split; delete one of the two rows."
            )
        if earlier.reference and prompt.reference and earlier.reference != prompt.reference:
            self.conflicts += 1
        if earlier.group and prompt.group:
            self._merge(earlier.group, prompt.group)
        self.prompts[prompt.id] = earlier.model_copy(
            update={name: getattr(earlier, name) or getattr(prompt, name) for name in ("reference", "group", "split")}
        )

    def merge_groups(self) -> None:
        """Groups that share a prompt become one, so that neither is cut in two by a split."""
        if self._group_of:
            for key, prompt in self.prompts.items():
                if prompt.group and (root := self._root(prompt.group)) != prompt.group:
                    self.prompts[key] = prompt.model_copy(update={"group": root})

    def _merge(self, first: str, second: str) -> None:
        root, merged = sorted((self._root(first), self._root(second)))
        if root != merged:
            self._group_of[merged] = root

    def _root(self, group: str) -> str:
        while group in self._group_of:
            group = self._group_of[group]
        return group


def collect_prompts(source: Iterable[Row], system: str | None) -> DistinctPrompts:
    """All rows as distinct prompts. Raises UserError on the first bad row."""
    distinct = DistinctPrompts()
    for row in track(source, "prompts", unit="rows"):
        prompt, unused = to_prompt(row, system)
        distinct.add(prompt, row.where)
        distinct.unused.update(unused)
    distinct.merge_groups()
    return distinct


def _show(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
