"""Is a file what its reader takes? Every line against the format's shape and capabilities, the whole against its limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from distil.errors import UserError
from distil.formats.format import Format
from distil.formats.obstacles import obstacle
from distil.formats.rows import Line
from distil.formats.tokens import MARGIN, TokenCounter, estimate, row_tokens
from distil.formats.write import BOM, encode
from distil.records import Record
from distil.text import load_json, visible

Side = Literal["train", "validation"]
SHOWN = 3
"""So many lines of one fault are named."""


class Report(Record):
    """What a file holds, and what its reader would refuse."""

    format: str
    """The format's name."""
    rows: int
    """Lines."""
    bytes: int
    """Size of the file."""
    tokens: int
    """Tokens of all rows."""
    longest: int
    """Tokens of the longest row."""
    counted: str
    """How the tokens were counted: the tokenizer's name, or `estimated`."""
    errors: list[str]
    """What the reader would refuse; empty = nothing that is documented."""
    warnings: list[str]
    """What it may refuse or cut."""

    def table(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        return [
            ("rows", f"{self.rows:,}"),
            ("size", f"{self.bytes / 1024:,.0f} KiB"),
            ("tokens", f"{self.tokens:,} ({self.counted}); the longest row {self.longest:,}"),
            *(("warning", text) for text in self.warnings),
        ]

    def require(self, path: str) -> None:
        """Raises UserError when there are errors. path: the file, for the message."""
        if self.errors:
            raise UserError(f"{path} is not what {self.format} takes: {'; '.join(self.errors)}.")


def check_lines(
    form: Format, lines: Sequence[Line], side: Side = "train", *, count: TokenCounter | None = None, counted: str = ""
) -> Report:
    """A report on lines that are not written yet. count: a tokenizer, and `counted` its name; without, tokens are estimated."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1))
    size = sum(len(encode(line)) for line in lines) + (len(BOM) if form.bom else 0) if form.container == "jsonl" else 0
    return _report(form, numbered, size, side, count, counted)


def check_file(
    form: Format, path: Path, side: Side = "train", *, count: TokenCounter | None = None, counted: str = ""
) -> Report:
    """A report on a file, whoever wrote it. Raises UserError when it is missing or can't be read at all."""
    if not path.is_file():
        raise UserError(f"{path} is not there. Expected a {form.suffix} file in the format {form.name}.")
    faults: list[str] = []
    if form.container == "parquet":
        lines = _parquet_lines(path)
    else:
        with path.open("rb") as file:
            start = file.read(len(BOM))
        if form.bom and start != BOM:
            faults.append("it does not start with a byte order mark (UTF-8 with BOM is demanded)")
        if not form.bom and start == BOM:
            faults.append("it starts with a byte order mark, which its reader takes for a character of the first line")
        lines = _json_lines(path, faults)
    report = _report(form, lines, path.stat().st_size, side, count, counted)
    return report.model_copy(update={"errors": [*faults, *report.errors]})


def _json_lines(path: Path, faults: list[str]) -> Iterator[tuple[int, Line]]:
    broken: list[str] = []
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                value = load_json(raw.removeprefix(BOM).decode())
            except (ValueError, RecursionError):
                broken.append(str(number))
                continue
            if isinstance(value, dict):
                yield number, dict(value)
            else:
                broken.append(str(number))
    if broken:
        faults.append(f"{len(broken):,} lines are not a JSON object in UTF-8 (line {', '.join(broken[:SHOWN])})")


def _parquet_lines(path: Path) -> Iterator[tuple[int, Line]]:
    import pyarrow.parquet

    number = 0
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
        for line in batch.to_pylist():
            number += 1
            yield number, line


def _report(
    form: Format,
    lines: Iterable[tuple[int, Line]],
    size: int,
    side: Side,
    count: TokenCounter | None,
    counted: str,
) -> Report:
    found: dict[str, list[int]] = {}
    tokens: list[int] = []
    rows = 0
    for number, line in lines:
        rows += 1
        try:
            row = form.to_row(line, str(number))
            reason = obstacle(row, form.holds)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found.setdefault(visible(str(error)), []).append(number)
            continue
        if reason is not None:
            found.setdefault(reason, []).append(number)
        tokens.append(row_tokens(row, count or estimate))
    longest = max(tokens, default=0)
    errors = [_named(reason, numbers) for reason, numbers in found.items()]
    errors += _sizes(form, rows, size, side)
    warnings: list[str] = []
    for sure, text in _lengths(form, tokens, exact=count is not None):
        (errors if sure else warnings).append(text)
    return Report(
        format=form.name,
        rows=rows,
        bytes=size,
        tokens=sum(tokens),
        longest=longest,
        counted=(counted or "a tokenizer") if count else "estimated",
        errors=errors,
        warnings=warnings,
    )


def _named(reason: str, numbers: Sequence[int]) -> str:
    where = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"{reason} ({len(numbers):,} rows: line {where})"


def _sizes(form: Format, rows: int, size: int, side: Side) -> Iterator[str]:
    limits = form.limits
    if rows == 0:
        yield "it has no rows"
    elif side == "train" and rows < limits.min_rows:
        yield f"{rows:,} examples, at least {limits.min_rows:,} are needed"
    if side == "train" and limits.max_rows is not None and rows > limits.max_rows:
        yield f"{rows:,} examples, at most {limits.max_rows:,} are taken"
    if side == "validation" and limits.max_validation_rows is not None and rows > limits.max_validation_rows:
        yield f"{rows:,} examples for validation, at most {limits.max_validation_rows:,} are taken"
    if limits.max_bytes is not None and size > limits.max_bytes:
        yield f"{size / 2**20:,.0f} MiB, at most {limits.max_bytes / 2**20:,.0f} MiB are taken"


def _lengths(form: Format, tokens: Sequence[int], *, exact: bool) -> Iterator[tuple[bool, str]]:
    """(whether it is an error, text): rows longer than the limit for sure, and rows that may be, where tokens are estimated."""
    limit = form.limits.max_tokens
    if limit is None:
        return
    margin = 1.0 if exact else MARGIN
    over = sum(n / margin > limit for n in tokens)
    maybe = sum(n * margin > limit >= n / margin for n in tokens)
    if over:
        yield True, f"{over:,} rows have more than {limit:,} tokens"
    if maybe:
        yield False, f"{maybe:,} rows may have more than {limit:,} tokens (estimated)"
