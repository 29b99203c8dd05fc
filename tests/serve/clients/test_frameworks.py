"""What is built upon OpenAI's API: LangChain, instructor, litellm."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel


class City(BaseModel):
    """Where somebody is."""

    city: str


def test_langchain(either: str) -> None:
    chat = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed").ChatOpenAI(
        base_url=f"{either}/v1", api_key="none", model="student", max_retries=0, temperature=0
    )
    first = chat.invoke("Where is my order 17?")
    again = chat.invoke([("user", "a"), first, ("user", "b")])
    assert again.usage_metadata["total_tokens"] > 0
    assert "".join(str(piece.content) for piece in chat.stream("Where is my order 17?")) == first.content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_structures(mocked: str, method: str) -> None:
    langchain = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    chat = langchain.ChatOpenAI(base_url=f"{mocked}/v1", api_key="none", model="student", max_retries=0)
    made = chat.with_structured_output(City, method=method).invoke("Rome")
    assert made.city == "Rome"
    assert chat.bind_tools([City]).invoke("Rome").tool_calls[0]["args"] == {"city": "Rome"}


@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_instructor(mocked: str, mode: str) -> None:
    instructor = pytest.importorskip("instructor", reason="instructor is not installed")
    openai = pytest.importorskip("openai", reason="openai is not installed")
    plain = openai.OpenAI(base_url=f"{mocked}/v1", api_key="none", max_retries=0)
    chat = instructor.from_openai(plain, mode=instructor.Mode[mode])
    made = chat.chat.completions.create(
        model="student", messages=[{"role": "user", "content": "Rome"}], response_model=City, max_retries=1
    )
    assert made.city == "Rome"


def test_litellm(either: str) -> None:
    litellm = pytest.importorskip("litellm", reason="litellm is not installed")
    asked: list[Any] = [{"role": "user", "content": "Where is my order 17?"}]
    options: dict[str, Any] = {"api_base": f"{either}/v1", "api_key": "none", "max_retries": 0}
    made = litellm.completion(model="openai/student", messages=asked, **options)
    again = litellm.completion(
        model="openai/student", messages=[*asked, made.choices[0].message, asked[0]], n=2, **options
    )
    assert len(again.choices) == 2
    pieces = litellm.completion(model="openai/student", messages=asked, stream=True, **options)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == made.choices[0].message.content
    claude = litellm.completion(
        model="anthropic/student", messages=asked, max_tokens=16, api_base=either, api_key="none", max_retries=0
    )
    assert claude.choices[0].message.content
