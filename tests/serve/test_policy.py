"""When a calibrated policy lets the student answer."""

from __future__ import annotations

from distil.serve.policy import Policy


def test_a_calibrated_policy_needs_threshold_and_temperature() -> None:
    """The student answers only at the calibrated temperature, and never without a threshold."""
    calibrated = Policy("calibrated", 0.5, temperature=0.0)
    assert calibrated.before(0.0) is None
    before = calibrated.before(0.7)
    assert before is not None and before == ("teacher", "not_calibrated_at_temperature_0.7")
    none = Policy("calibrated", None, temperature=0.0)
    assert not none.uses_student
    refused = none.before(0.0)
    assert refused is not None and refused.reason == "no_certified_threshold"
