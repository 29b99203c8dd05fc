"""Calls in a text that look like calls inside of another call's arguments, which are not."""

from __future__ import annotations

from distil.models.tool_forms import BareKeyCalls

GEMMA = BareKeyCalls("call:", '<|"|>')


def test_a_call_quoted_in_an_argument_is_not_one() -> None:
    text = 'call:send{text:<|"|>please call:delete{id:3} now<|"|>}'
    sent = {"text": "please call:delete{id:3} now"}
    assert [call[:2] for call in GEMMA.calls(text, [])] == [("send", sent)]
    both = GEMMA.calls(f"{text}call:delete{{id:4}}", [])
    assert [call[:2] for call in both] == [("send", sent), ("delete", {"id": 4})]
    assert both[1].start == len(text)


def test_behind_arguments_that_cannot_be_read_calls_count() -> None:
    assert [call[:2] for call in GEMMA.calls("call:send{text call:delete{id:3}", [])] == [("delete", {"id": 3})]
