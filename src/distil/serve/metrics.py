"""Counters and histograms in Prometheus' text format. Not a client library: three kinds of series, one process.

Used by gateway.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Series by name and labels. Called on the event loop only, so it needs no lock."""

    def __init__(self) -> None:
        self._help: dict[str, tuple[str, str]] = {}
        self._values: dict[str, dict[Labels, float]] = {}
        self._buckets: dict[str, tuple[float, ...]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = {}

    def describe(self, name: str, kind: str, text: str, buckets: tuple[float, ...] | None = None) -> None:
        """Declares a series: kind is counter, gauge or histogram (with the upper bounds of its buckets)."""
        self._help[name] = (kind, text)
        if buckets is not None:
            self._buckets[name] = buckets
            self._histograms[name] = {}
        else:
            self._values[name] = {}

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Adds to a counter or gauge."""
        series = self._values[name]
        key = tuple(sorted(labels.items()))
        series[key] = series.get(key, 0.0) + value

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Counts a value into a histogram."""
        bounds = self._buckets[name]
        key = tuple(sorted(labels.items()))
        row = self._histograms[name].setdefault(key, [0.0] * (len(bounds) + 2))  # per bucket, then +Inf, then the sum
        row[bisect_left(bounds, value)] += 1
        row[-1] += value

    def value(self, name: str, **labels: str) -> float:
        """The value of a counter or gauge, summed over the labels that are not named."""
        wanted = set(labels.items())
        return sum(value for key, value in self._values[name].items() if wanted <= set(key))

    def text(self, gauges: Mapping[str, float]) -> str:
        """All series and the given gauges as Prometheus reads them."""
        lines: list[str] = []
        for name, (kind, text) in self._help.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            if kind == "histogram":
                for key, row in self._histograms[name].items():
                    lines += self._histogram(name, key, row)
            else:
                lines += [f"{name}{_labels(key)} {value:g}" for key, value in self._values[name].items()]
        for name, value in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE {name} {kind}", f"{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str, key: Labels, row: list[float]) -> list[str]:
        lines, total = [], 0.0
        for bound, count in zip((*self._buckets[name], float("inf")), row[:-1], strict=True):
            total += count
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f"{name}_bucket{_labels((*key, ('le', edge)))} {total:g}")
        return [*lines, f"{name}_sum{_labels(key)} {row[-1]:g}", f"{name}_count{_labels(key)} {total:g}"]


def _labels(key: Labels) -> str:
    if not key:
        return ""
    escaped = ((name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in key)
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
