"""Which vendors have a batch API that Distil speaks, and where it is: one explicit dict, loaded on use."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from distil.calls.batch.api import BatchApi, BatchProvider
from distil.calls.batch.net import TRIES, Http
from distil.calls.providers.catalog import Opened
from distil.errors import UserError

BATCH_APIS: dict[str, str] = {
    "openai": "distil.calls.batch.openai_api:OpenAIBatches",
    "openai-responses": "distil.calls.batch.openai_api:OpenAIBatches",
    "anthropic": "distil.calls.batch.anthropic_api:AnthropicBatches",
    "google": "distil.calls.batch.google_api:GoogleBatches",
    "groq": "distil.calls.batch.compatible_api:GroqBatches",
    "mistral": "distil.calls.batch.compatible_api:MistralBatches",
    "together": "distil.calls.batch.compatible_api:TogetherBatches",
}
"""prefix of a model's name -> "module:Class"."""


@asynccontextmanager
async def open_api(
    opened: Opened, poll_s: float, known: Callable[[], set[str]], *, tries: int = TRIES
) -> AsyncIterator[tuple[BatchApi, BatchProvider]]:
    """The batch API of a teacher, with its HTTP session. known: batch ids that are certainly of others' intents.

    Raises UserError for a vendor without one.
    """
    target = BATCH_APIS.get(opened.ref.prefix)
    if target is None:
        raise UserError(
            f"{opened.ref.prefix}/{opened.ref.name} has no batch API that Distil supports. Set `collect.tier: standard`."
        )
    module, _, name = target.partition(":")
    provider: BatchProvider = opened.replicas[0]  # type: ignore[assignment]  # those of BATCH_APIS have the rest
    async with Http(provider, tries=tries) as http:
        yield getattr(importlib.import_module(module), name)(provider, http, poll_s, known), provider
