"""Which metrics are measured: those of the configuration, built in or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from distil.errors import UserError, did_you_mean
from distil.evaluate.metrics import own
from distil.evaluate.metrics.table import BUILT_IN, DECIDING, GUARDS, METRICS, Function, load


def chosen(names: Literal["default"] | Sequence[str], root: Path | None = None) -> list[str]:
    """The metrics' names in table order. Metrics of the user's own are read from their files and join METRICS.

    `root` is the project, to which their paths are relative. Raises UserError for a name that is not in the table, and for what
    is wrong with a file.
    """
    names = ["default"] if names == "default" else names
    wanted = {*names}
    for name in names:
        if own.is_own(name):
            found, metric = own.read(name, root or Path())
            METRICS[found] = metric
            wanted.add(found)
        elif name not in BUILT_IN and name != "default":
            raise UserError(
                f"evaluate.metrics names {name!r}, which is not a metric.{did_you_mean(name, METRICS)} "
                f"Known: {', '.join(BUILT_IN)}; default for all; or a function of your own, such as mine.py:brevity."
            )
    return [
        name
        for name, metric in METRICS.items()
        if name in wanted or (name in BUILT_IN and metric.default and "default" in wanted)
    ]


def own_files(names: Literal["default"] | Sequence[str], root: Path) -> list[Path]:
    """The files that metrics of the user's own are read from. Raises UserError for one that is not there."""
    entries = [] if names == "default" else [name for name in names if own.is_own(name)]
    return list(dict.fromkeys(own.split(entry, root)[0] for entry in entries))


def function(name: str) -> Function:
    """The callable behind a metric's name."""
    return load(METRICS[name])


def deciding_order() -> list[str]:
    """The metrics that can decide, the one that proves most first: the user's own before all, since they know what is right."""
    return [*(name for name, metric in METRICS.items() if metric.deciding and name not in BUILT_IN), *DECIDING]


def guards() -> list[str]:
    """The faults that a student must not commit more often than the teacher, the user's own last."""
    return [*GUARDS, *(name for name, metric in METRICS.items() if metric.guard and name not in BUILT_IN)]
