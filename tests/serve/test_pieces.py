"""The gateway's parts on their own: confidence, policy, acceptance, capture, metrics."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from distil.errors import UserError, WorkFailed
from distil.records import Usage
from distil.serve.calibration.acceptance import bad_answers, choose_rule, field_share
from distil.serve.calibration.confidence import confidence, features
from distil.serve.capture import Capture
from distil.serve.metrics import Metrics, total
from distil.serve.policy import Policy
from distil.serve.wire import ChatReply


def said(logprobs: list[float], finish: str = "stop", entropies: list[float] | None = None) -> ChatReply:
    return ChatReply("x", finish, Usage(), token_logprobs=logprobs, token_entropies=entropies or [])


def test_the_features_are_those_of_the_definition() -> None:
    found = features([-0.1 * i for i in range(20)], [0.5, 1.5])
    assert found is not None
    assert found.minimum == pytest.approx(-1.9) and found.mean == pytest.approx(-0.95)
    assert found.lowest_tenth == pytest.approx(-1.85)
    assert found.mean_entropy == 1.0


def test_one_doubtful_token_counts_however_long_the_answer_is() -> None:
    short, long = said([-0.01] * 9 + [-3.0]), said([-0.01] * 19 + [-3.0])
    assert confidence(short, "lowest_tenth") == pytest.approx(math.exp(-3))
    assert confidence(long, "lowest_tenth") == pytest.approx(math.exp(-1.505))
    assert confidence(long, "mean") > 0.8
    assert confidence(long, "minimum") == pytest.approx(math.exp(-3))


def test_no_probabilities_give_no_confidence_and_a_cut_answer_none_at_all() -> None:
    assert confidence(said([]), "mean") is None
    assert confidence(said([-0.1]), "entropy") is None
    assert confidence(said([-0.1], entropies=[0.0]), "entropy") == 1.0
    assert confidence(said([-0.1], finish="length"), "mean") == 0.0


def test_a_calibrated_policy_serves_only_at_its_temperature_and_never_without_a_threshold() -> None:
    calibrated = Policy("calibrated", 0.5, temperature=0.0)
    assert calibrated.before(0.0) is None
    before = calibrated.before(0.7)
    assert before is not None and before == ("teacher", "not_calibrated_at_temperature_0.7")
    none = Policy("calibrated", None, temperature=0.0)
    assert not none.uses_student
    refused = none.before(0.0)
    assert refused is not None and refused.reason == "no_certified_threshold"


def test_answers_are_compared_by_what_the_task_is() -> None:
    objects = ['{"a": 1, "b": "x"}', '{"a": 2, "b": "y"}']
    assert choose_rule(objects, None) == ("fields", 1.0)
    assert choose_rule(["card_arrival", "top up"], None) == ("label", 1.0)
    prose = ["A long sentence about the weather of today."] * 2
    assert choose_rule(prose, None) == ("prose", 0.85)
    assert bad_answers(choose_rule(objects, None), ['{"b": "X ", "a": 1}', '{"a": 2}'], objects, None) == [False, True]
    assert bad_answers(choose_rule(["yes", "no"], None), ["Yes", "yes"], ["yes", "no"], None) == [False, True]
    values = iter([0.9, 0.8])
    assert bad_answers(choose_rule(prose, None), prose, prose, lambda a, b: list(values)) == [False, True]
    with pytest.raises(UserError, match="needs a similarity"):
        bad_answers(choose_rule(prose, None), prose, prose, None)


def test_missing_and_invented_fields_both_cost() -> None:
    assert field_share('{"a": 1}', '{"a": 1, "b": 2}') == 0.5
    assert field_share('{"a": 1, "b": 2, "c": 3}', '{"a": 1, "b": 2}') == pytest.approx(2 / 3)
    assert field_share("no object", '{"a": 1}') == 0.0
    assert field_share("Same", " same") == 1.0


def test_captured_lines_survive_a_full_queue_in_order_and_the_lost_ones_are_counted(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "deep" / "captured.jsonl", queue_lines=3)
    taken = [capture.add({"n": n}) for n in range(5)]  # nothing is written yet
    assert taken == [True, True, True, False, False] and capture.dropped == 2
    capture.start()
    capture.stop()
    assert [json.loads(line)["n"] for line in capture.path.read_text().splitlines()] == [0, 1, 2]
    assert capture.written == 3


def test_a_capture_file_that_cannot_be_opened_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkFailed, match="Could not open"):
        Capture(tmp_path / "file" / "captured.jsonl").start()


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
