"""The curated examples in the formats of other trainers and providers (distil.formats), checked before anything is written.

What a format can't hold is left out, counted and named; an export of a set that is no longer current is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

from distil.curate.card import write_card
from distil.curate.destination import Marker, place, write_export
from distil.curate.preferences import Known
from distil.errors import UserError
from distil.formats import FORMATS, find_format
from distil.formats.check import Report, Side, check_lines
from distil.formats.convert import Converted, convert, convert_rows, reasons
from distil.formats.format import Format
from distil.formats.rows import LeftOut, Row
from distil.formats.write import write_file
from distil.ids import now
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.manifest import stage_state

SIDES: tuple[Side, ...] = get_args(Side)
"""Not test: what is exported is trained on."""


class ExportResult(Record):
    """The files that were written, and what is not in them."""

    format: str
    """The format's name."""
    folder: str
    """Where they are, relative to the project."""
    files: dict[str, int]
    """Path relative to the project -> lines in it."""
    left_out: int
    """Examples that the format can't hold."""
    reasons: dict[str, int]
    """Why -> examples."""
    held_by: dict[str, list[str]]
    """Why -> other formats that hold such examples."""
    not_said: dict[str, int]
    """Parameter of the request that no training file holds -> examples whose request had it."""
    preferred_by: dict[str, int]
    """What the preferences of pairs rest on -> pairs; empty for examples."""
    tokens: int
    """Tokens in all files."""
    counted: str
    """How they were counted."""
    warnings: list[str]
    """What the reader may refuse or cut."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        rows = [(path, f"{count:,} lines") for path, count in self.files.items()]
        rows.append(("tokens", f"{self.tokens:,} ({self.counted})"))
        if self.preferred_by:
            rows.append(("preferred by", ", ".join(f"{why} {count:,}" for why, count in self.preferred_by.items())))
        for reason, count in self.reasons.items():
            others = self.held_by.get(reason)
            rows.append((f"left out: {reason}", f"{count:,}" + (f" (held by {', '.join(others)})" if others else "")))
        if not self.left_out:
            rows.append(("left out", "none"))
        for name, count in self.not_said.items():
            rows.append((f"not in the file: {name}", f"of {count:,} requests; send it when you ask the model"))
        return rows + [("warning", text) for text in self.warnings]


class _Part(NamedTuple):
    """One file of the export, not yet written."""

    rows: Sequence[Row]
    done: Converted
    report: Report


def run(
    project: Project,
    format: str,  # noqa: A002 - the option's name
    out: Path | None = None,
    *,
    settings: Mapping[str, object] | None = None,
) -> ExportResult:
    """Writes train and validation in that format below work/curate/export/FORMAT (or `out`). An empty validation is not written.

    settings: the resolved `curate` section, to see whether the set is current. Raises UserError on an unknown format, a set that
    is missing or stale, rows that the reader would refuse, and files of others in the way; then nothing is written.
    """
    form = find_format(format)
    folder = place(project, form.name, out)
    _require_current(project, settings)
    parts, why = {}, Counter[str]()
    for side in SIDES:
        rows = _rows(project, form, side, why)
        done = convert_rows(form, rows)
        if done.lines or side == "train":
            parts[side] = _Part(rows, done, check_lines(form, done.lines, side))
    left_out = [row for part in parts.values() for row in part.done.left_out]
    _require_usable(form, parts, left_out)
    names = {side: f"{side}{form.suffix}" for side in parts}
    writers = {name: partial(_write, form, parts[side]) for side, name in names.items()}
    if form.card:
        counts: dict[str, int] = {side: len(part.done.lines) for side, part in parts.items()}
        writers["README.md"] = partial(write_card, project, counts, reasons(left_out))
    marker = Marker(format=form.name, made=now("seconds"), files={}, left_out=_named(left_out))
    write_export(folder, marker, writers, ours=out is None)
    return _result(project, form, folder, parts, left_out, why)


def _require_current(project: Project, settings: Mapping[str, object] | None) -> None:
    if not project.split("train").exists():
        raise UserError("There is nothing to export yet. Run `distil curate` first.")
    state, reason = stage_state(project, "curate", config=settings)
    if state != "done":
        raise UserError(
            f"The curated set is {state}: {reason}. An export of it would hold what you have since ruled out. "
            "Run `distil curate`, then export again."
        )


def _rows(project: Project, form: Format, side: Side, why: Counter[str]) -> list[Row]:
    """The rows of one side; for pairs, `why` counts what the preferences rest on."""
    examples = list(read_examples(project.split(side)))
    if not form.pairs:
        return [Row.of(example) for example in examples]
    if not project.evidence.exists():
        raise UserError(
            "There is no evidence on the answers yet, so no preference is known. Run `distil curate` first."
        )
    found = list(Known(project).pairs(examples))
    why.update(reason for _, reason in found)
    return [row for row, _ in found]


def _require_usable(form: Format, parts: Mapping[Side, _Part], left_out: Sequence[LeftOut]) -> None:
    if form.pairs and not parts["train"].rows:
        raise UserError(
            "There are no preference pairs: no training prompt has two answers of which one is known to be better. The order of "
            "teachers says nothing about it. Set collect.samples to 3 or more, or name several teachers, and give what "
            "decides: a `reference` in the prompts, a judge, a majority, or marks in `distil view`; then run `distil curate`."
        )
    errors = [f"{side}: {error}" for side, part in parts.items() for error in part.report.errors]
    if errors:
        out = ", ".join(f"{reason} ({count:,})" for reason, count in reasons(left_out).items())
        raise UserError(
            f"Nothing was written: {form.name} would refuse this data. {'; '.join(errors)}."
            + (f" Left out before that: {out}." if out else "")
            + (f" Its rules: {form.limits.source} (read {form.limits.read})." if form.limits.source else "")
        )


def _write(form: Format, part: _Part, path: Path) -> None:
    write_file(form, path, part.done.lines)


def _named(left_out: Iterable[LeftOut]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for row in left_out:
        named.setdefault(row.reason, []).append(row.key)
    return named


def _result(
    project: Project,
    form: Format,
    folder: Path,
    parts: Mapping[Side, _Part],
    left_out: Sequence[LeftOut],
    why: Counter[str],
) -> ExportResult:
    rows = {row.key: row for part in parts.values() for row in part.rows}
    out = {row.key for row in left_out}
    dropped = Counter(name for row in rows.values() if row.key not in out for name in row.request)
    first = {row.reason: rows[row.key] for row in reversed(left_out)}
    return ExportResult(
        format=form.name,
        folder=project.relative(folder),
        files={project.relative(folder / f"{side}{form.suffix}"): part.report.rows for side, part in parts.items()},
        left_out=len(left_out),
        reasons=reasons(left_out),
        held_by={reason: holders for reason, row in first.items() if (holders := _holders(form, row))},
        not_said=dict(dropped),
        preferred_by=dict(why.most_common()),
        tokens=sum(part.report.tokens for part in parts.values()),
        counted=next(part.report.counted for part in parts.values()),
        warnings=[f"{side}: {text}" for side, part in parts.items() for text in part.report.warnings],
    )


def _holders(form: Format, row: Row) -> list[str]:
    others = [find_format(name) for name in FORMATS if name != form.name]
    return [o.name for o in others if o.pairs == form.pairs and not isinstance(convert(o, row), LeftOut)]
