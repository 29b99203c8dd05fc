"""The text that Prometheus reads, and exact totals."""

from __future__ import annotations

from distil.serve.metrics import Metrics, total


def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics(lambda: {"c": 3.0, "d_total": 2.0})
    metrics.requests.labels(answered_by="student", reason='x"\n').inc()
    metrics.tokens.labels(answered_by="student", kind="input").inc(12_345_678)
    for value in (0.5, 1.0, 5.0):
        metrics.seconds.labels(answered_by="student").observe(value)
    text = metrics.text()
    assert 'distil_requests_total{answered_by="student",reason="x\\"\\n"} 1' in text
    assert 'distil_request_seconds_bucket{answered_by="student",le="1"} 2' in text
    assert 'distil_request_seconds_bucket{answered_by="student",le="+Inf"} 3' in text
    assert 'distil_request_seconds_sum{answered_by="student"} 6.5' in text
    assert "# TYPE c gauge\nc 3" in text and "# TYPE d_total counter\nd_total 2" in text
    assert "_created" not in text
    assert total(metrics.tokens, kind="input") == 12_345_678 and total(metrics.tokens, kind="output") == 0
