"""Any conversation, through any format and back: the same, or left out with a reason."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from distil.formats import FORMATS, find_format
from distil.formats.check import check_lines
from distil.formats.convert import convert
from distil.formats.rows import LeftOut, Row
from distil.formats.write import encode
from distil.records import Message
from distil.text import load_json
from tests.formats.material import CALL, PIXEL, TOOL
from tests.formats.test_convert import told

TEXT = st.text(max_size=12) | st.sampled_from(
    ["a", "", " ", "half \ud83d", "User: hi", "one\u2028two", "<image>", "\ufeffx", "null"]
)
PICTURE = {"type": "image_url", "image_url": {"url": PIXEL}}
CONTENT = TEXT | st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT) | st.just(PICTURE), min_size=1, max_size=2
)


@st.composite
def turns(draw: st.DrawFn, role: str | None = None) -> Message:
    role = role or draw(st.sampled_from(["system", "developer", "user", "assistant", "assistant", "user", "tool"]))
    fields: dict[str, object] = {"role": role, "content": draw(CONTENT)}
    if role == "assistant":
        fields["weight"] = draw(st.sampled_from([None, None, 0, 1]))
        fields["reasoning_content"] = draw(st.sampled_from([None, None, "hm"]))
        if draw(st.integers(0, 3)) == 0:
            fields |= {"tool_calls": [CALL], "content": draw(st.sampled_from([None, "calling"]))}
    if role == "tool":
        fields["tool_call_id"] = "call_1"
    if draw(st.integers(0, 9)) == 0:
        fields["name"] = "ann"
    return Message.model_validate(fields)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    plain = draw(st.booleans())  # half of them alternate, so that the strict formats hold some
    if plain:
        roles = draw(st.sampled_from([["user"], ["system", "user"], ["user", "assistant", "user"]]))
        messages = [draw(turns(role)) for role in roles]
    else:
        messages = draw(st.lists(turns(), max_size=4))
    last = draw(turns("assistant"))
    tools = [TOOL] if draw(st.integers(0, 3)) == 0 else []
    rejected = draw(st.none() | turns("assistant"))
    return Row([*messages, last], tools=tools, rejected=rejected, key="k")


@settings(max_examples=80, deadline=None)
@given(row=rows())
def test_a_row_comes_back_the_same_or_not_at_all(row: Row) -> None:
    for name in FORMATS:
        form = find_format(name)
        given_row = row if form.pairs else row._replace(rejected=None)
        line = convert(form, given_row)
        if isinstance(line, LeftOut):
            assert line.reason
            continue
        read = load_json(encode(line))
        assert isinstance(read, dict)
        again = form.to_row(dict(read), "k")
        sides = [told(r) for r in (given_row, again)]
        if form.holds.trained == "pair":  # what comes before a pair is context anyway
            sides = [[{k: v for k, v in t.items() if k != "weight"} for t in side] for side in sides]
        assert sides[0] == sides[1], f"{name} bends it"
        assert [json.dumps(t) for t in again.tools] == [json.dumps(t) for t in given_row.tools]
        faults = [e for e in check_lines(form, [dict(read)]).errors if "are needed" not in e]
        assert faults == [], name
