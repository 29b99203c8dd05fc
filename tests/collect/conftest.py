"""A project with prompts, and teachers that answer on loopback servers with their real wire formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distil.calls.config import Limits, Price, TeacherConfig
from distil.records import Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from tests.wire import anthropic, openai
from tests.wire.anthropic import AnthropicServer
from tests.wire.openai import OpenAIServer

PRICE = Price(input=1.0, output=4.0, batch_factor=0.5, flex_factor=0.5)


@pytest.fixture(autouse=True)
def fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are looked at every 10 ms instead of every 5 s."""
    monkeypatch.setattr("distil.calls.batch.run.FIRST_POLL_S", 0.01)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Twelve prompts: question 0 .. question 11."""
    made = Project(tmp_path / "project")
    write_prompts(made, 12)
    return made


def write_prompts(project: Project, count: int) -> None:
    prompts = [Prompt.make([Message(role="user", content=f"question {n}")]) for n in range(count)]
    write_records(project.prompts, prompts)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", openai.KEY)
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def claude(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnthropicServer]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", anthropic.KEY)
    with AnthropicServer() as running:
        yield running


@pytest.fixture
def teacher(server: OpenAIServer) -> Callable[..., TeacherConfig]:
    def make(model: str = "openai/gpt-4o-mini", **fields: object) -> TeacherConfig:
        defaults = {"base_urls": [server.url], "price": PRICE, "limits": Limits(concurrency=4), "attempts": 3}
        return TeacherConfig.model_validate({"model": model, "sampling": Sampling(max_tokens=50), **defaults, **fields})

    return make
