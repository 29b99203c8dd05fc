"""OpenAI's own Python client, with its own objects: what it sends back, its helpers, its errors."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

openai = pytest.importorskip("openai", reason="the package openai is not installed")
ASKED: list[Any] = [{"role": "user", "content": "Where is my order 17?"}]


class City(BaseModel):
    city: str


def client(address: str) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def test_its_own_answers_can_be_sent_back(either: str) -> None:
    turns = list(ASKED)
    for asked in ("And 18?", "Thanks."):
        made = client(either).chat.completions.create(model="student", messages=turns)
        turns += [made.choices[0].message, {"role": "user", "content": asked}]
    dumped = [turn if isinstance(turn, dict) else turn.model_dump() for turn in turns]
    again = client(either).chat.completions.create(model="student", messages=dumped)
    assert again.usage.total_tokens > 0 and again._request_id.startswith("req_")


def test_its_stream_helper_finds_the_whole_answer(either: str) -> None:
    plain = client(either).chat.completions.create(model="student", messages=ASKED, temperature=0)
    options: dict[str, Any] = {"stream_options": {"include_usage": True}, "temperature": 0, "logprobs": True}
    with client(either).chat.completions.stream(model="student", messages=ASKED, **options) as events:
        kinds = {event.type for event in events}
        whole = events.get_final_completion()
    assert whole.choices[0].message.content == plain.choices[0].message.content
    assert {"content.delta", "content.done"} <= kinds and whole.usage.completion_tokens > 0


def test_parse_and_tools(mocked: str) -> None:
    completions = client(mocked).chat.completions
    parsed = completions.parse(model="student", messages=ASKED, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Rome")
    tools = [openai.pydantic_function_tool(City, name="weather")]
    made = completions.create(model="student", messages=ASKED, tools=tools)
    call = made.choices[0].message.tool_calls[0]
    given = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turns = [*ASKED, made.choices[0].message, given]
    assert "sunny" in completions.create(model="student", messages=turns, tools=tools).choices[0].message.content
    with completions.stream(model="student", messages=ASKED, tools=tools) as events:
        called = events.get_final_completion().choices[0].message.tool_calls[0]
    assert called.function.parsed_arguments == City(city="Rome")


def test_several_answers_seeds_and_log_probabilities(either: str) -> None:
    completions = client(either).chat.completions
    several = completions.create(model="student", messages=ASKED, n=3, seed=7, temperature=1)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    again = completions.create(model="student", messages=ASKED, n=3, seed=7, temperature=1)
    texts = [[choice.message.content for choice in made.choices] for made in (several, again)]
    assert texts[0] == texts[1]
    told = completions.create(model="student", messages=ASKED, logprobs=True, top_logprobs=2).choices[0].logprobs
    assert told.content[0].logprob <= 0 and len(told.content[0].top_logprobs) == 2


def test_older_completions_and_models(either: str) -> None:
    made = client(either).completions.create(model="student", prompt=["a b", "c d"], max_tokens=8, logprobs=1)
    assert [choice.index for choice in made.choices] == [0, 1] and made.choices[0].logprobs.tokens
    pieces = client(either).completions.create(model="student", prompt="a b", max_tokens=8, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices)
    assert client(either).models.list().data[0].id == client(either).models.retrieve("student").id == "student"


def test_its_errors_name_the_fault(either: str) -> None:
    completions = client(either).chat.completions
    with pytest.raises(openai.NotFoundError) as missing:
        completions.create(model="gpt-5", messages=ASKED)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        completions.create(model="student", messages=ASKED, temperature=9)
    assert wrong.value.param == "temperature" and wrong.value.request_id.startswith("req_")
