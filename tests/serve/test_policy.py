"""When a calibrated policy lets the student answer."""

from __future__ import annotations

import json

import pytest

from distil.serve.apis.checked import Defaults
from distil.serve.parse import parse_request
from distil.serve.policy import Policy
from distil.serve.wire import ChatRequest
from tests.serve.running import chat_body


def request(**fields: object) -> ChatRequest:
    raw = json.dumps(chat_body(**fields)).encode()
    return parse_request(raw, defaults=Defaults("student", 0.0, 10))


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]


def test_a_calibrated_policy_needs_threshold_and_temperature() -> None:
    """The student answers only at the calibrated temperature, and never without a threshold."""
    calibrated = Policy("calibrated", 0.5, temperature=0.0)
    assert calibrated.before(request()) is None
    assert calibrated.before(request(temperature=0.7)) == ("teacher", "not_calibrated_at_this_temperature")
    none = Policy("calibrated", None, temperature=0.0)
    assert not none.uses_student
    refused = none.before(request())
    assert refused is not None and refused.reason == "no_certified_threshold"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stop": ["intent"]}, "stop_sequences"),
        ({"repetition_penalty": 1.2}, "unknown_parameter"),
        ({"chat_template": "{{ 1 }}"}, "unknown_parameter"),
        ({"modalities": ["text", "audio"]}, "unknown_parameter"),
        ({"messages": IMAGE}, "not_text"),
        ({"user": "u", "store": True, "metadata": {"a": "b"}, "service_tier": "auto"}, None),
        ({"modalities": ["text"], "audio": None, "functions": [], "seed": 5}, None),
    ],
)
@pytest.mark.parametrize("policy", [Policy("calibrated", 0.5, temperature=0.0), Policy("threshold", 0.5)])
def test_requests_that_were_never_measured_go_to_the_teacher(
    fields: dict[str, object], reason: str | None, policy: Policy
) -> None:
    assert policy.before(request(**fields)) == (None if reason is None else ("teacher", reason))
