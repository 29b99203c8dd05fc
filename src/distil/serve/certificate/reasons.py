"""Why somebody answered: the closed list behind `x-distil-reason`, the metric's label and the captured prompts.

docs/serving.md has it as a table; a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The student answers with CONFIDENT or FALLBACK_OFF, the teacher with any other."""

    CONFIDENT = "confident"
    FALLBACK_OFF = "fallback_off"
    FALLBACK_ALWAYS = "fallback_always"
    # the student answered, and its answer is not used
    UNSURE = "unsure"
    NO_LOGPROBS = "no_logprobs"
    REQUIREMENT_NOT_MET = "requirement_not_met"
    LONGER_ANSWER = "answer_longer_than_calibrated"
    # nothing is certified, or not any more
    NO_CERTIFIED_THRESHOLD = "no_certified_threshold"
    STUDENT_CHANGED = "student_changed"
    ALARM = "alarm"
    # the request is not one of those that the threshold was found on
    NOT_TEXT = "not_text"
    UNKNOWN_PARAMETER = "unknown_parameter"
    STOP_SEQUENCES = "stop_sequences"
    OTHER_TEMPERATURE = "not_calibrated_at_this_temperature"
    SEVERAL_ANSWERS = "several_answers"
    PENALTIES = "penalties"
    OTHER_SYSTEM_PROMPT = "other_system_prompt"
    OTHER_TOOLS = "other_tools"
    OTHER_RESPONSE_FORMAT = "other_response_format"
    OTHER_TURNS = "other_turns"
    OTHER_LENGTH = "other_length"
    FEWER_TOKENS = "max_tokens_below_calibrated"
    # the student could not answer
    TOO_LONG = "too_long_for_student"
    STUDENT_FULL = "student_full"
    STUDENT_REFUSED = "student_refused"
    STUDENT_FAILED = "student_failed"


SURE = (Reason.CONFIDENT, Reason.ALARM)
"""The confidence was enough; with ALARM the teacher answers all the same."""
BY_CONFIDENCE = (*SURE, Reason.UNSURE)
"""Reasons of requests that the threshold holds for, where the confidence alone decides."""
