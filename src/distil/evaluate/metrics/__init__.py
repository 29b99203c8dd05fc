"""The metrics: the table of them (table.py), the choice of them (choice.py), and their functions by subject."""

from __future__ import annotations

from distil.evaluate.metrics.choice import chosen, deciding_order, function, guards, own_files
from distil.evaluate.metrics.table import DECIDING, GUARDS, METRICS, Case, Function, Metric, Values

__all__ = [
    "DECIDING",
    "GUARDS",
    "METRICS",
    "Case",
    "Function",
    "Metric",
    "Values",
    "chosen",
    "deciding_order",
    "function",
    "guards",
    "own_files",
]
