"""Anthropic's own Python client: turns, streams, tools, schemas, errors."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

anthropic = pytest.importorskip("anthropic", reason="the package anthropic is not installed")
ASKED: list[Any] = [{"role": "user", "content": "Where is my order 17?"}]
TOOLS: list[Any] = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


class City(BaseModel):
    city: str


def messages(address: str) -> Any:
    return anthropic.Anthropic(base_url=address, api_key="none", max_retries=0).messages


def test_its_own_answers_can_be_sent_back(either: str) -> None:
    made = messages(either).create(model="student", max_tokens=16, messages=ASKED, system="Be kind.")
    turns = [*ASKED, {"role": "assistant", "content": made.content}, {"role": "user", "content": "And 18?"}]
    again = messages(either).create(model="student", max_tokens=16, messages=turns)
    assert again.content[0].type == "text" and again.usage.output_tokens > 0 and again.stop_reason


def test_its_stream_helper_finds_the_whole_answer(either: str) -> None:
    plain = messages(either).create(model="student", max_tokens=16, messages=ASKED)
    with messages(either).stream(model="student", max_tokens=16, messages=ASKED) as events:
        text = "".join(events.text_stream)
        whole = events.get_final_message()
    assert text == whole.content[0].text == plain.content[0].text
    assert whole.usage.output_tokens == plain.usage.output_tokens and whole.stop_reason == plain.stop_reason


def test_tools_and_schemas(mocked: str) -> None:
    made = messages(mocked).create(
        model="student", max_tokens=50, messages=ASKED, tools=TOOLS, tool_choice={"type": "any"}
    )
    assert made.stop_reason == "tool_use" and made.content[0].input == {"city": "Rome"}
    given = {"type": "tool_result", "tool_use_id": made.content[0].id, "content": "sunny"}
    turns = [*ASKED, {"role": "assistant", "content": made.content}, {"role": "user", "content": [given]}]
    again = messages(mocked).create(model="student", max_tokens=50, messages=turns, tools=TOOLS)
    assert "sunny" in again.content[0].text
    with messages(mocked).stream(model="student", max_tokens=50, messages=ASKED, tools=TOOLS) as events:
        assert events.get_final_message().content[0].input == {"city": "Rome"}
    parsed = messages(mocked).parse(model="student", max_tokens=50, messages=ASKED, output_format=City)
    assert parsed.parsed_output == City(city="Rome")


def test_tokens_are_counted_in_process(bundled: str) -> None:
    counted = messages(bundled).count_tokens(model="student", messages=ASKED)
    made = messages(bundled).create(model="student", max_tokens=1, messages=ASKED)
    assert counted.input_tokens == made.usage.input_tokens


def test_its_errors_name_the_fault(either: str) -> None:
    with pytest.raises(anthropic.NotFoundError, match="does not exist here"):
        messages(either).create(model="claude", max_tokens=9, messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="thinking") as wrong:
        thinking: Any = {"type": "enabled", "budget_tokens": 2000}
        messages(either).create(model="student", max_tokens=9, messages=ASKED, thinking=thinking)
    assert wrong.value.request_id.startswith("req_") and wrong.value.type == "invalid_request_error"
