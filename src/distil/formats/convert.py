"""Rows to lines: each row becomes a line of the format, or is left out with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distil.formats.format import Format
from distil.formats.obstacles import obstacle
from distil.formats.rows import LeftOut, Line, Row
from distil.formats.tokens import MARGIN, row_tokens
from distil.formats.write import encode


class Converted(NamedTuple):
    """All rows of one split."""

    lines: list[Line]
    """The rows that the format holds, in their order."""
    left_out: list[LeftOut]
    """The others, in their order."""


def convert(form: Format, row: Row) -> Line | LeftOut:
    """The row's line, or why there is none. What is written is read again and checked against the format."""
    if form.pairs and row.rejected is None:
        return LeftOut(row.key, "no answer that is worse")
    reason = obstacle(row, form.holds)
    if reason is not None:
        return LeftOut(row.key, reason)
    line = form.to_line(row)
    try:
        size = len(encode(line))
        again = form.to_row(line, row.key)
    except UnicodeEncodeError:
        return LeftOut(row.key, "half a surrogate pair (a broken emoji)")
    except ValueError as error:
        return LeftOut(row.key, str(error))
    reason = obstacle(again, form.holds) or _too_long(form, row, size)
    return line if reason is None else LeftOut(row.key, reason)


def _too_long(form: Format, row: Row, size: int) -> str | None:
    """For rows that are longer for sure, however far the estimate is off; a token has at least one byte."""
    limit = form.limits.max_tokens
    if limit is None or size <= limit or row_tokens(row) <= limit * MARGIN:
        return None
    return f"more than {limit:,} tokens"


def convert_rows(form: Format, rows: Iterable[Row]) -> Converted:
    """All rows, each as `convert` has it."""
    done = Converted([], [])
    for row in rows:
        result = convert(form, row)
        if isinstance(result, LeftOut):
            done.left_out.append(result)
        else:
            done.lines.append(result)
    return done


def reasons(left_out: Sequence[LeftOut]) -> dict[str, int]:
    """Reason -> rows, the most frequent first."""
    return dict(Counter(row.reason for row in left_out).most_common())
