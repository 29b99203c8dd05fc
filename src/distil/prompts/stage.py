"""Stage `prompts`: from the user's file to work/prompts/prompts.jsonl, one Prompt per distinct question.

Not the writing of new prompts (expand.py) and not the split (curate).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from distil.errors import UserError
from distil.progress import track
from distil.prompts.config import Attachments, PromptsConfig
from distil.prompts.distinct import DistinctPrompts
from distil.prompts.expanded import merge_expanded
from distil.prompts.rows import to_prompt
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import record_line, write_lines
from distil.runs.manifest import StageRun, stage_run
from distil.runs.schemas.expanded import read_expanded
from distil.runs.schemas.gateway_prompts import read_gateway_prompts
from distil.sources.files import Notes, open_source
from distil.sources.values import Row
from distil.text import one_line

MAX_NAMED = 12
"""Names that are listed for a person; the manifest has them all."""


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
    kept_columns: dict[str, int]
    """Further columns whose short values are kept as the prompts' `fields` -> rows."""
    not_used: dict[str, int]
    """Further columns, and parts of rows, that are not used -> rows."""
    passed_over: dict[str, int]
    """Why rows give no prompt (steps of a trace that call no model, attachments) -> rows."""
    remarks: dict[str, int]
    """What is odd about rows that were read all the same -> rows."""
    expanded: int = 0
    """Prompts that the teacher wrote (`distil prompts expand`); they are kept when the source is loaded again."""

    gateway: int = 0
    """Prompts that the gateway captured (`distil collect --from-gateway`); they are kept, too."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        return [(name.replace("_", " "), _show(value)) for name, value in self.model_dump().items() if value != {}]


def run(project: Project, section: PromptsConfig) -> PromptsResult:
    """Reads `section.path`, writes prompts.jsonl and its manifest. Raises UserError on a missing, empty or broken source."""
    path = (project.root / Path(section.path).expanduser()).resolve()
    notes = Notes()
    source = open_source(path, notes)  # checks the path before the stage's folder is touched
    with stage_run(project, "prompts", section.model_dump(mode="json")) as stage:
        given = Path(section.path).expanduser()
        stage.reads(path, named=None if given.is_absolute() else given.as_posix())
        with closing(DistinctPrompts(project.stage("prompts"))) as distinct:
            said = collect_prompts(source, distinct, section)
            if not len(distinct):
                raise UserError(nothing_in(path, said["passed_over"]))
            rows, own, fixed = distinct.read, len(distinct), distinct.fixed_split
            gateway = _add_gateway(project, stage, distinct)
            expanded = read_expanded(project.expanded)
            lines = map(record_line, merge_expanded(distinct.prompts(), expanded)) if expanded else distinct.lines()
            count = write_lines(project.prompts, lines)
            stage.wrote(project.prompts, count)
            result = PromptsResult(
                path=project.relative(project.prompts),
                read=rows,
                prompts=count,
                duplicates=rows - own,
                with_reference=distinct.with_reference,
                fixed_split=fixed,
                groups=distinct.groups,
                conflicting_references=distinct.conflicts,
                expanded=count - len(distinct),
                gateway=gateway,
                **{name: dict(sorted(counts.items())) for name, counts in said.items()},
                remarks=dict(notes),
            )
        stage.notes.update(result.model_dump(exclude={"path"}))
    return result


def _add_gateway(project: Project, stage: StageRun, distinct: DistinctPrompts) -> int:
    """Adds the captured prompts that the user's file does not have; how many."""
    if not project.gateway_prompts.exists():
        return 0
    stage.reads(project.gateway_prompts)
    before = len(distinct)
    for one in read_gateway_prompts(project.gateway_prompts):
        if one.prompt.id not in distinct:
            distinct.add(one.prompt, project.gateway_prompts.name)
    return len(distinct) - before


class Checked(NamedTuple):
    """What a source holds."""

    prompts: int
    """Rows with a prompt."""
    answered: int
    """Those of them that have an answer, too."""


def check(path: Path, attachments: Attachments = "refuse") -> Checked:
    """Reads a source to its end and writes nothing. Raises UserError as `run` does."""
    count = answered = 0
    passed = Counter[str]()
    for row in track(open_source(path, setting="--prompts"), "Checking prompts", unit="rows"):
        loaded = to_prompt(row, None, attachments)
        count += loaded.prompt is not None
        answered += loaded.prompt is not None and loaded.prompt.reference is not None
        passed.update([loaded.skipped] if loaded.skipped else [])
    if not count:
        raise UserError(nothing_in(path, passed))
    return Checked(count, answered)


def collect_prompts(
    source: Iterable[Row], distinct: DistinctPrompts, section: PromptsConfig
) -> dict[str, Counter[str]]:
    """Adds all rows to `distinct`, and counts what is not used of them. Raises UserError on the first bad row."""
    kept, unused, passed = Counter[str](), Counter[str](), Counter[str]()
    for row in track(source, "prompts", unit="rows"):
        loaded = to_prompt(row, section.system, section.attachments, section.response_format)
        if loaded.prompt is None:
            passed[loaded.skipped or ""] += 1
            continue
        distinct.add(loaded.prompt, row.where)
        kept.update(loaded.kept)
        unused.update(loaded.unused)
        unused.update(loaded.left_out)
    return {"kept_columns": kept, "not_used": unused, "passed_over": passed}


def nothing_in(path: Path, passed: Mapping[str, int]) -> str:
    """The message for a source without any prompt."""
    reasons = "; ".join(f"{reason} ({count:,})" for reason, count in passed.items())
    found = f" All rows were passed over: {reasons}." if reasons else ""
    return f"{path} contains no prompts.{found} Expected at least one; add some, or set prompts.path."


def _show(value: object) -> str:
    if isinstance(value, dict):
        names = [f"{one_line(str(name), 40)} ({count:,})" for name, count in value.items()]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more
    return f"{value:,}" if isinstance(value, int) else str(value)
