"""Stage `prompts`: from the user's file to work/prompts/prompts.jsonl, one Prompt per distinct question.

Not the invention of new prompts (expand.py) and not the split (curate). Called by `distil collect` and the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distil.errors import UserError
from distil.progress import track
from distil.prompts.config import PromptsConfig
from distil.prompts.expanded import read_expanded, with_expanded
from distil.prompts.rows import to_prompt
from distil.prompts.sources import Row, open_source
from distil.records import Prompt, Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.manifest import stage_run


class PromptsResult(Record):
    """What the stage found."""

    path: str
    """The file that it wrote, relative to the project."""
    read: int
    """Rows in the source."""
    prompts: int
    """Distinct prompts."""
    duplicates: int
    """Rows that repeated an earlier prompt and were merged into it."""
    with_reference: int
    """Prompts that bring a right answer."""
    fixed_split: int
    """Prompts whose side the user fixed."""
    groups: int
    """Distinct groups."""
    conflicting_references: int
    """Repeated prompts whose reference differed from the first one, which is kept."""
    unused_keys: list[str]
    """Columns that nothing reads."""
    expanded: int = 0
    """Prompts that the teacher wrote (`distil prompts expand`), which are kept when the source is loaded again."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        return [(name.replace("_", " "), _show(value)) for name, value in self.model_dump().items()]


def run(project: Project, section: PromptsConfig) -> PromptsResult:
    """Reads `section.path`, writes prompts.jsonl and its manifest. Raises UserError on a missing, empty or broken source."""
    path = (project.root / Path(section.path).expanduser()).resolve()
    source = open_source(path)  # checks the path before the stage's folder is touched
    with stage_run(project, "prompts", section.model_dump(mode="json")) as stage:
        stage.reads(path)
        collected = collect_prompts(source, section.system)
        own = list(collected.prompts.values())
        prompts = with_expanded(own, read_expanded(project))
        if not own:
            raise UserError(f"{path} holds no prompts. Expected at least one; put some in, or set prompts.path.")
        count = write_records(project.prompts, prompts)
        stage.wrote(project.prompts, count)
        result = PromptsResult(
            path=project.relative(project.prompts),
            read=collected.read,
            prompts=count,
            duplicates=collected.read - len(own),
            with_reference=sum(p.reference is not None for p in prompts),
            fixed_split=sum(p.split is not None for p in prompts),
            groups=len({p.group for p in prompts if p.group is not None}),
            conflicting_references=collected.conflicts,
            unused_keys=sorted(collected.unused),
            expanded=count - len(own),
        )
        stage.notes.update(result.model_dump(exclude={"path"}))
    return result


class Collected:
    """Distinct prompts in the order of their first appearance, and what merging them met."""

    def __init__(self) -> None:
        self.prompts: dict[str, Prompt] = {}
        self.read = 0
        self.conflicts = 0
        self.unused: set[str] = set()
        self._first: dict[str, str] = {}
        self._group_of: dict[str, str] = {}  # group -> the group that it was joined to

    def add(self, prompt: Prompt, where: str) -> None:
        """Takes a prompt in, or merges it into the equal one that came before. Raises UserError on contrary splits."""
        self.read += 1
        known = self.prompts.get(prompt.id)
        if known is None:
            self.prompts[prompt.id] = prompt
            self._first[prompt.id] = where
            return
        if known.split and prompt.split and known.split != prompt.split:
            raise UserError(
                f"{where}: split {prompt.split!r}, but {self._first[prompt.id]} has the same prompt with split "
                f"{known.split!r}. One prompt can lie on one side only; delete one of the two rows."
            )
        if known.reference and prompt.reference and known.reference != prompt.reference:
            self.conflicts += 1
        if known.group and prompt.group:
            self._join(known.group, prompt.group)
        self.prompts[prompt.id] = known.model_copy(
            update={name: getattr(known, name) or getattr(prompt, name) for name in ("reference", "group", "split")}
        )

    def settle_groups(self) -> None:
        """Groups that share a prompt become one, so that neither can lie on both sides of a split."""
        if self._group_of:
            for key, prompt in self.prompts.items():
                if prompt.group and (root := self._root(prompt.group)) != prompt.group:
                    self.prompts[key] = prompt.model_copy(update={"group": root})

    def _join(self, first: str, second: str) -> None:
        kept, gone = sorted((self._root(first), self._root(second)))
        if kept != gone:
            self._group_of[gone] = kept

    def _root(self, group: str) -> str:
        while group in self._group_of:
            group = self._group_of[group]
        return group


def collect_prompts(source: Iterable[Row], system: str | None) -> Collected:
    """All rows as distinct prompts. Raises UserError on the first bad row."""
    collected = Collected()
    for row in track(source, "prompts", unit="rows"):
        prompt, unused = to_prompt(row, system)
        collected.add(prompt, row.where)
        collected.unused.update(unused)
    collected.settle_groups()
    return collected


def _show(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
