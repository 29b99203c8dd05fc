"""Any body is a request or a 400 that names what is wrong; nothing that a client sends is an error of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.serve.apis.checked import Defaults
from distil.serve.parse import parse_request
from distil.serve.wire import BadRequest, ChatRequest
from tests.serve.running import chat_body


def parse(raw: bytes) -> ChatRequest:
    return parse_request(raw, defaults=Defaults("student", 0.0, 10))


DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps(chat_body(metadata=DEEP)).encode(), "levels deep"),
        (json.dumps(chat_body()).replace("}]", '}], "seed": 1' + "0" * 5_000, 1).encode(), "not valid JSON"),
        (json.dumps(chat_body(temperature=float("nan"))).encode(), "NaN is not a JSON number"),
        (json.dumps(chat_body(min_p=float("inf"))).encode(), "Infinity is not a JSON number"),
        (json.dumps(chat_body(seed=2**70)).encode(), "seed: input should be less"),
        (json.dumps(chat_body(max_tokens=10**12)).encode(), "max_tokens: input should be less"),
        (json.dumps(chat_body(tools=[1])).encode(), "tools.0: input should be a valid object"),
        (
            json.dumps(chat_body(tools=[{"type": "function", "function": {"name": ""}}])).encode(),
            "tools.0.function.name: string should have at least 1",
        ),
        (
            json.dumps(chat_body(tools=[{"function": {"name": "f", "parameters": "none"}}])).encode(),
            "parameters: input should be a valid object",
        ),
        (
            json.dumps(chat_body(tools=[{"function": {"name": "f"}}], tool_choice=7)).encode(),
            "tool_choice: input should be",
        ),
        (json.dumps(chat_body(stop=[""])).encode(), "stop.0: string should have"),
        (b'\xff\xfe{"model": 1}', "You must provide a model"),
        (b"\x80\x81", "not valid JSON"),
    ],
)
def test_nonsense_is_refused_by_name(raw: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        parse(raw if not raw.startswith(b"\xff\xfe") else '{"model": 1}'.encode("utf-16"))
    assert caught.value.status == 400


def test_what_replies_add_to_a_turn_is_taken_back() -> None:
    turn = {
        "role": "assistant", "content": "yes", "refusal": None, "annotations": [], "audio": None, "function_call": None,
        "tool_calls": None, "reasoning_content": "hm",
    }  # fmt: skip
    asked = [{"role": "user", "content": "a?"}, turn, {"role": "user", "content": "b?"}]
    assert [message.text for message in parse(json.dumps(chat_body(messages=asked)).encode()).messages] == [
        "a?",
        "yes",
        "b?",
    ]


def test_half_a_surrogate_pair_is_replaced() -> None:
    found = parse(b'{"model": "student", "messages": [{"role": "user", "content": "x \\ud800"}]}')
    assert found.messages[0].text == "x \ufffd"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = (
    "model", "messages", "temperature", "top_p", "max_tokens", "stop", "seed", "logprobs", "top_logprobs", "tools", "tool_choice",
    "response_format", "stream", "stream_options", "n", "logit_bias", "user", "min_p",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5))
def test_any_body_is_a_request_or_a_bad_request(fields: dict[str, Any]) -> None:
    for body in (fields, chat_body() | fields):
        try:
            found = parse(json.dumps(body).encode())
        except BadRequest as error:
            assert 400 <= error.status < 500 and json.dumps(error.body())
        else:
            assert found.messages
