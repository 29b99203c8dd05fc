"""A loopback OpenAI with its key in the environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire import openai as wire


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[wire.OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", wire.KEY)
    with wire.OpenAIServer() as running:
        yield running
