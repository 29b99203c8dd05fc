"""A certificate belongs to requests like its labels: every difference that may change an answer goes to the teacher by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from distil.bundled.triage import SYSTEM, write_prompts
from distil.records import Message, Sampling, Usage
from distil.runs.jsonl import read_lines
from distil.runs.schemas.shape import Shape
from distil.serve.apis.checked import Defaults
from distil.serve.certificate.reasons import Reason
from distil.serve.certificate.shape import outside, shape_of
from distil.serve.parse import parse_request
from distil.serve.policy import Policy
from distil.serve.wire import ChatReply, ChatRequest
from tests.architecture.source import ROOT
from tests.serve.running import chat_body

REPLY = ChatReply("four", "stop", Usage(input_tokens=9, output_tokens=40), token_logprobs=[-0.1] * 41)
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def label(text: str, system: str | None = SYSTEM, **fields: Any) -> ChatRequest:
    turns = [Message(role="system", content=system)] if system is not None else []
    return ChatRequest(
        "s", [*turns, Message(role="user", content=text)], Sampling(temperature=0, max_tokens=80), **fields
    )


def asked(*turns: tuple[str, object], **fields: object) -> ChatRequest:
    """A request as it comes over HTTP."""
    messages = [{"role": role, "content": content} for role, content in turns]
    raw = json.dumps(chat_body(messages=messages, **fields)).encode()
    return parse_request(raw, defaults=Defaults("student", 0.0, 80))


def shape(*labels: ChatRequest) -> Shape:
    requests = labels or tuple(label("a question " * (1 + n % 10)) for n in range(100))
    return shape_of(requests, [REPLY] * len(requests))


QUESTION = (("system", SYSTEM), ("user", "a question about an order"))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0, "top_p": 0.3, "seed": 7},
        {"max_tokens": 41},
        {"max_completion_tokens": 4000},
        {"metadata": {"a": "b"}, "user": "u", "store": True, "stream": True, "logprobs": True, "top_logprobs": 3},
        {
            "n": 1,
            "stop": None,
            "tools": [],
            "response_format": {"type": "text"},
            "frequency_penalty": 0,
            "logit_bias": {},
        },
    ],
)
def test_what_changes_no_answer_may_differ(fields: dict[str, object]) -> None:
    assert outside(asked(*QUESTION, **fields), shape()) is None


@pytest.mark.parametrize(
    ("turns", "fields", "reason"),
    [
        (QUESTION, {"temperature": 0.01}, Reason.OTHER_TEMPERATURE),
        (QUESTION, {"max_tokens": 40}, Reason.FEWER_TOKENS),
        (QUESTION, {"tools": [TOOL]}, Reason.OTHER_TOOLS),
        (QUESTION, {"response_format": FORMAT}, Reason.OTHER_RESPONSE_FORMAT),
        (QUESTION, {"response_format": {"type": "json_object"}}, Reason.OTHER_RESPONSE_FORMAT),
        (QUESTION, {"frequency_penalty": 0.1}, Reason.PENALTIES),
        (QUESTION, {"presence_penalty": -1}, Reason.PENALTIES),
        (QUESTION, {"logit_bias": {"5": 3}}, Reason.PENALTIES),
        (QUESTION, {"n": 2}, Reason.SEVERAL_ANSWERS),
        (QUESTION, {"reasoning_effort": "low"}, Reason.UNKNOWN_PARAMETER),
        (QUESTION, {"stop": "x"}, Reason.STOP_SEQUENCES),
        (QUESTION, {"min_p": 0.1}, Reason.UNKNOWN_PARAMETER),
        (QUESTION[1:], {}, Reason.OTHER_SYSTEM_PROMPT),
        ((("system", SYSTEM + " In French."), QUESTION[1]), {}, Reason.OTHER_SYSTEM_PROMPT),
        ((*QUESTION, ("system", "Now in French.")), {}, Reason.OTHER_SYSTEM_PROMPT),
        ((*QUESTION, ("assistant", "four"), ("user", "and then, what next?")), {}, Reason.OTHER_TURNS),
        ((*QUESTION, ("assistant", '{"intent":')), {}, Reason.OTHER_TURNS),
        ((QUESTION[0], ("assistant", "an answer in advance")), {}, Reason.OTHER_TURNS),
        ((QUESTION[0], ("user", "?")), {}, Reason.OTHER_LENGTH),
        ((QUESTION[0], ("user", "a question " * 31)), {}, Reason.OTHER_LENGTH),
        ((QUESTION[0], ("user", [{"type": "image_url", "image_url": {"url": "x"}}])), {}, Reason.NOT_TEXT),
    ],
)
def test_each_difference_has_its_reason(turns: Any, fields: dict[str, object], reason: Reason) -> None:
    policy = Policy("calibrated", 0.5, temperature=0.0, shape=shape())
    assert policy.before(asked(*turns, **fields)) == ("teacher", reason)


def test_what_varied_in_the_labels_may_vary_on() -> None:
    """Two system prompts for all rows are two; one for each row means that the next row brings its own."""
    two = shape(*(label("a question", f"persona {n % 2}") for n in range(100)))
    assert outside(asked(("system", "persona 1"), ("user", "a question")), two) is None
    other = asked(("system", "persona 2"), ("user", "a question"))
    assert outside(other, two) is Reason.OTHER_SYSTEM_PROMPT
    varied = shape(*(label("a question", f"persona {n}") for n in range(100)))
    assert varied.system is None and outside(other, varied) is None
    long = asked(("system", "persona " * 99), ("user", "a question"))
    assert outside(long, varied) is Reason.OTHER_SYSTEM_PROMPT
    formats = shape(*(label("a question", response_format={"type": "json_schema", "n": n}) for n in range(100)))
    assert outside(asked(*QUESTION, response_format=FORMAT), formats) is None


def test_labels_with_tools_certify_those_tools() -> None:
    tooled = shape(*(label("a question", tools=[TOOL]) for _ in range(9)))
    assert outside(asked(*QUESTION, tools=[TOOL]), tooled) is None
    assert outside(asked(*QUESTION, tools=[TOOL], tool_choice="auto", parallel_tool_calls=True), tooled) is None
    for other in ({}, {"tools": [TOOL, TOOL]}, {"tools": [TOOL], "tool_choice": "required"}):
        assert outside(asked(*QUESTION, **other), tooled) is Reason.OTHER_TOOLS
    assert outside(asked(*QUESTION, tools=[TOOL], parallel_tool_calls=False), tooled) is Reason.OTHER_TOOLS


def test_the_demos_own_prompts_are_in_its_shape(tmp_path: Path) -> None:
    """As openai-python sends them: model and messages. Those of a wording that training never saw, too."""
    path = tmp_path / "prompts.jsonl"
    write_prompts(path, train=300, test=200, unseen=100)
    texts = [str(row["prompt"]) for _, row in read_lines(path)]
    certified = shape(*(label(text) for text in texts[:300]))
    others = [outside(asked(("system", SYSTEM), ("user", text)), certified) for text in texts[300:]]
    assert set(others) == {None}


def test_an_answer_longer_than_calibrated_is_not_used() -> None:
    policy = Policy("calibrated", 0.5, shape=shape())
    assert policy.after(0.9, 80) == ("student", Reason.CONFIDENT)
    assert policy.after(0.9, 81) == ("teacher", Reason.LONGER_ANSWER)


def test_the_documentation_lists_every_reason() -> None:
    page = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE) == [reason.value for reason in Reason]
