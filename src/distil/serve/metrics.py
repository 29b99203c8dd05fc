"""What a gateway counts, for /metrics and for its closing summary: one Prometheus registry per gateway."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from distil.serve.served import Served

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram, Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The gateway's own series. `figures` gives further ones (name -> value) when /metrics is read."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._figures = figures
        self._registry = registry = CollectorRegistry()
        requests, errors = "Answered requests, by who answered and why.", "Requests that got an error, by HTTP status."
        tokens, confidence = "Tokens of answered requests.", "The student's confidence in its answers."
        self.requests = Counter("distil_requests_total", requests, ["answered_by", "reason"], registry=registry)
        self.errors = Counter("distil_errors_total", errors, ["status"], registry=registry)
        self.tokens = Counter("distil_tokens_total", tokens, ["answered_by", "kind"], registry=registry)
        self.in_flight = Gauge("distil_in_flight", "Requests being answered.", registry=registry)
        self.seconds = Histogram(
            "distil_request_seconds",
            "Seconds from request to answer.",
            ["answered_by"],
            buckets=SECONDS,
            registry=registry,
        )
        self.confidence = Histogram("distil_confidence", confidence, buckets=SHARES, registry=registry)

        self._of = functools.cache(self._series)

    def count(self, served: Served) -> None:
        """Counts an answered request."""
        usage = served.reply.usage
        requests, read, written, seconds = self._of(*served.decision)
        requests.inc()
        read.inc(usage.input_tokens)
        written.inc(usage.output_tokens)
        seconds.observe(served.seconds)
        if served.confidence is not None:
            self.confidence.observe(served.confidence)

    def _series(self, by: str, reason: str) -> tuple[Counter, Counter, Counter, Histogram]:
        """Requests, tokens read, tokens written and seconds, looked up once for each decision: there are a few dozen."""
        return (
            self.requests.labels(answered_by=by, reason=reason),
            self.tokens.labels(answered_by=by, kind="input"),
            self.tokens.labels(answered_by=by, kind="output"),
            self.seconds.labels(answered_by=by),
        )

    def text(self) -> str:
        """All series in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self).decode()

    def collect(self) -> Iterator[Metric]:
        """All series: without the library's `_created` series, and with bounds such as le="1" instead of "1.0"."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels={k: v.removesuffix(".0") if k == "le" else v for k, v in sample.labels.items()})
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ]
            yield metric
        for name, value in self._figures().items():
            yield (CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily)(name, "", value=value)


def total(counter: Counter, **labels: str) -> int:
    """The value of a counter, summed over the labels that are not given."""
    samples = (sample for metric in counter.collect() for sample in metric.samples)
    return int(sum(s.value for s in samples if s.name.endswith("_total") and labels.items() <= s.labels.items()))
