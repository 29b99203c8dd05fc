"""Which metrics are measured: those of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from distil.errors import UserError, did_you_mean
from distil.evaluate.metrics.table import METRICS, Function, load


def chosen(names: Literal["default"] | Sequence[str]) -> list[str]:
    """The metrics' names in table order. Raises UserError for one that is not in the table."""
    names = ["default"] if names == "default" else names
    for name in names:
        if name not in METRICS and name != "default":
            raise UserError(
                f"evaluate.metrics names {name!r}, which is not a metric.{did_you_mean(name, METRICS)} "
                f"Known: {', '.join(METRICS)}, or default for all."
            )
    return [name for name, metric in METRICS.items() if name in names or (metric.default and "default" in names)]


def function(name: str) -> Function:
    """The callable behind a metric's name."""
    return load(METRICS[name])
