"""A provider's invoice or usage export (CSV), read as dollars per day and model. Columns are found by their names.

Known: the cost exports of OpenAI (`start_time_iso, amount_value, line_item`) and Anthropic (`usage_date_utc, model, cost_usd`),
OpenRouter's activity (`created_at, model_permaslug, cost_total`), and any table with a day, a cost and, if any, a model.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from distil.errors import UserError
from distil.text import visible

DAY = ("usage_date_utc", "date", "day", "created_at", "start_time_iso", "start_time", "timestamp", "time")
MODEL = ("model", "model_permaslug", "model_version", "model_name", "line_item", "name", "description")
COST = (
    "cost_usd",
    "cost_total",
    "amount_value",
    "amount_usd",
    "total_cost",
    "cost",
    "usage_usd",
    "amount",
    "total",
    "usd",
)
CURRENCY = ("amount_currency", "currency")
# What an account pays a router for, where the model's vendor bills it: OpenRouter with a key of your own.
BESIDE = ("byok_usage_inference",)
_STAMP = re.compile(r"-?(20\d{6}|\d{4}-\d{2}-\d{2}|latest)$")


class Invoice(NamedTuple):
    """Dollars by day and model."""

    source: str
    """The file's name."""
    usd: dict[tuple[date, str | None], float]
    """(day in UTC, model in its plain form or None where the invoice names none) -> dollars."""

    @property
    def first(self) -> date:
        """The first day that it covers."""
        return min(day for day, _ in self.usd)

    @property
    def last(self) -> date:
        """The last day that it covers."""
        return max(day for day, _ in self.usd)

    def billed(self, model: str) -> float | None:
        """Dollars of one model; None where the invoice names models, and not this one. The whole sum where it names none."""
        names = {name for _, name in self.usd}
        if names == {None}:
            return sum(self.usd.values())
        wanted = plain_name(model)
        found = [usd for (_, name), usd in self.usd.items() if name is not None and same_model(name, wanted)]
        return sum(found) if found else None


def read_invoice(path: Path) -> Invoice:
    """Raises UserError when the file can't be read, has no such columns, or a row has no day or cost."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise UserError(f"Could not read the invoice {path}: {error.strerror}.") from None
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=separator)
    names = {
        re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_"): name for name in rows.fieldnames or [] if name
    }
    day, cost, model = (_column(names, known) for known in (DAY, COST, MODEL))
    currency = _column(names, CURRENCY)
    if day is None or cost is None:
        found = ", ".join(visible(name) for name in names.values()) or "none"
        missing = " and ".join(part for part, column in (("a day", day), ("a cost", cost)) if column is None)
        raise UserError(
            f"{path} has no column for {missing}. Found: {found[:400]}. Expected a CSV with a day ({', '.join(DAY[:4])}), a "
            f"cost in dollars ({', '.join(COST[:4])}) and, if any, a model ({', '.join(MODEL[:3])}): the cost export of "
            "OpenAI, Anthropic or OpenRouter, not the one with tokens."
        )
    usd: dict[tuple[date, str | None], float] = defaultdict(float)
    for number, row in enumerate(rows, start=2):
        if currency is not None and (row.get(currency) or "usd").strip().lower() not in ("usd", "$"):
            raise UserError(f"{path}:{number} is in {visible(str(row[currency]))}; expected dollars (USD).")
        if not any((value or "").strip() for value in row.values() if isinstance(value, str)):
            continue
        amount = _dollars(row.get(cost), path, number)
        amount += sum(_dollars(row.get(names[name]) or "0", path, number) for name in BESIDE if name in names)
        name = plain_name(row.get(model) or "") if model is not None else None
        usd[_day(row.get(day), path, number), name] += amount
    if not usd:
        raise UserError(
            f"{path} has a head, and no rows: expected one row per day and model. Export it again for the days of your runs."
        )
    return Invoice(path.name, dict(usd))


def plain_name(model: str) -> str:
    """`openai/gpt-4o-mini-2024-07-18, input` and `GPT-4o mini` -> gpt-4o-mini: for comparing what two sides call a model."""
    name = model.lower().partition(",")[0].rpartition("#")[2].rpartition("/")[2]
    return _STAMP.sub("", re.sub(r"[^a-z0-9]+", "-", name).strip("-"))


def same_model(one: str, other: str) -> bool:
    """Both plain names mean one model: the same words in any order (claude-haiku-4-5, Claude 4.5 Haiku)."""
    return sorted(one.split("-")) == sorted(other.split("-"))


def _column(names: dict[str, str], known: tuple[str, ...]) -> str | None:
    return next((names[name] for name in known if name in names), None)


def _dollars(value: str | None, path: Path, number: int) -> float:
    text = (value or "").strip().replace("$", "").replace(",", "")
    try:
        amount = float(text or "0")
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount):
        raise UserError(f"{path}:{number} has the cost {visible(str(value))!r}; expected dollars such as 12.34.")
    return amount


def _day(value: str | None, path: Path, number: int) -> date:
    text = (value or "").strip()
    try:
        if text.isdigit() and len(text) >= 9:
            return datetime.fromtimestamp(int(text[:10]), UTC).date()
        when = datetime.fromisoformat(text.removesuffix(" UTC"))
        return (when.astimezone(UTC) if when.tzinfo is not None else when).date()
    except (ValueError, OverflowError, OSError):
        raise UserError(f"{path}:{number} has the day {visible(text)!r}; expected one such as 2026-01-31.") from None
