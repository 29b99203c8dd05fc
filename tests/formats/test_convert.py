"""What each format holds of a gallery of rows, and what it leaves out and why; nothing is bent."""

from __future__ import annotations

import pytest

from distil.errors import UserError
from distil.formats import FORMATS, find_format
from distil.formats.convert import convert, convert_rows, reasons
from distil.formats.rows import LeftOut, Row
from distil.formats.wire import turn_wire
from tests.formats.material import ADDRESS, EMPTY, GALLERY, ONLY_CONTEXT, PLAIN, turn

HELD = {
    "openai": "plain many context late calling called address embedded twice named",
    "azure": "plain many context late calling called address embedded twice named",
    "together": "plain many context calling called embedded thinking",
    "fireworks": "plain many context calling called embedded thinking twice",
    "bedrock": "plain many",
    "gemini": "plain many",
    "trl": "plain many developer late calling called thinking twice named",
    "trl_prompt_completion": "plain context developer calling thinking twice named",
    "prompt_completion": "",
    "sharegpt": "plain many",
    "alpaca": "plain many",
    "parquet": "plain many context developer late calling called thinking twice named",
    "datasets": "plain many context developer late calling called thinking twice named",
}


def told(row: Row) -> list[dict[str, object]]:
    """What a row says, apart from a weight of 1, which says nothing."""
    turns = [*row.messages, *([row.rejected] if row.rejected else [])]
    wires = [turn_wire(t) for t in turns]
    return [{k: v for k, v in wire.items() if (k, v) != ("weight", 1)} for wire in wires]


@pytest.mark.parametrize("name", HELD)
def test_a_format_holds_a_row_whole_or_not_at_all(name: str) -> None:
    form = find_format(name)
    held = []
    for row in GALLERY:
        line = convert(form, row)
        if isinstance(line, LeftOut):
            assert line.key == row.key and line.reason
            continue
        held.append(row.key)
        again = form.to_row(line, row.key)
        assert told(again) == told(row), f"{name} bends {row.key}"
        assert list(again.tools) == list(row.tools)
    assert " ".join(held) == HELD[name]


@pytest.mark.parametrize("name", ["dpo", "trl_preference"])
def test_pairs_keep_both_answers(name: str) -> None:
    form = find_format(name)
    pair = PLAIN._replace(rejected=turn("assistant", "5"))
    line = convert(form, pair)
    assert not isinstance(line, LeftOut)
    assert told(form.to_row(line, "plain")) == told(pair)
    assert convert(form, PLAIN) == LeftOut("plain", "no answer that is worse")
    assert convert(form, PLAIN._replace(rejected=turn("assistant", " 4. "))) == LeftOut(
        "plain", "both answers are the same"
    )
    assert isinstance(convert(form, PLAIN._replace(rejected=turn("assistant", ""))), LeftOut)


def test_the_reason_names_what_the_format_has_no_place_for() -> None:
    assert reasons(convert_rows(find_format("alpaca"), GALLERY).left_out) == {
        "tool calls": 2,
        "an image": 2,
        "an earlier answer that is context only (weight 0)": 1,
        "a developer turn": 1,
        "a system turn inside the conversation": 1,
        "thinking (reasoning_content)": 1,
        "turns that do not alternate between user and assistant": 1,
        "an author's name": 1,
        "the answer is empty": 1,
        "the answer has weight 0, so nothing is trained on": 1,
    }
    assert convert(find_format("together"), ADDRESS) == LeftOut(
        "address", "an image by its address (only embedded ones are taken)"
    )


def test_an_answer_that_teaches_nothing_is_in_no_format() -> None:
    for name in FORMATS:
        for row in (EMPTY, ONLY_CONTEXT):
            assert isinstance(convert(find_format(name), row), LeftOut), name


def test_half_an_emoji_is_left_out() -> None:
    row = PLAIN._replace(messages=[turn("user", "bad \ud83d"), turn("assistant", "yes")])
    assert convert(find_format("openai"), row) == LeftOut("plain", "half a surrogate pair (a broken emoji)")


def test_an_unknown_format_is_refused_with_a_guess() -> None:
    with pytest.raises(UserError, match="Did you mean 'together'"):
        find_format("togther")
