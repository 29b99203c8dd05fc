"""A vendor's loopback server with a project's folder and ledger beside it, for the tests of batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.batch.intake import BatchBudget
from distil.calls.batch.job import BatchFolder, BatchRow
from distil.calls.batch.run import BatchRun, Show, open_batches
from distil.calls.config import Price, TeacherConfig
from distil.calls.identity import endpoint_of, identify
from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.calls.providers.catalog import Opened, open_teacher
from tests.wire import anthropic, google, openai
from tests.wire.anthropic import AnthropicServer
from tests.wire.ask import question
from tests.wire.batch_shapes import vendor
from tests.wire.google_batches import GoogleBatchServer
from tests.wire.openai import OpenAIServer
from tests.wire.server import Trouble

PRICE = Price(input=1.0, output=4.0, batch_factor=0.5)
Server = OpenAIServer | AnthropicServer | GoogleBatchServer
LOST = Trouble(502, b"<html>bad gateway</html>", after=True)
MODELS = {
    "openai": ("openai/gpt-4o-mini", "OPENAI_API_KEY", openai.KEY),
    "anthropic": ("anthropic/claude-haiku-4-5", "ANTHROPIC_API_KEY", anthropic.KEY),
    "google": ("google/gemini-2.5-flash", "GEMINI_API_KEY", google.KEY),
    "groq": ("groq/small", "GROQ_API_KEY", openai.KEY),
    "mistral": ("mistral/small", "MISTRAL_API_KEY", openai.KEY),
    "together": ("together/small", "TOGETHER_API_KEY", openai.KEY),
}
VENDORS = tuple(MODELS)


def make_server(name: str) -> Server:
    """The loopback server of a vendor."""
    if name == "openai":
        return OpenAIServer()
    if name == "anthropic":
        return AnthropicServer()
    return GoogleBatchServer() if name == "google" else vendor(name)


class Desk:
    """One vendor's server with the project's folder and ledger beside it."""

    def __init__(self, server: Server, folder: Path, vendor: str = "openai") -> None:
        self.server = server
        self.vendor = vendor
        self.model, variable, key = MODELS[vendor]
        teacher = TeacherConfig(model=self.model, base_urls=[server.url], price=PRICE)
        self.opened: Opened = open_teacher(teacher, environ={variable: key})
        self.folder = folder
        self.batch_folder = BatchFolder(folder / "batches")
        self.told: list[str] = []

    def row(self, text: str, most_usd: float = 0.01) -> BatchRow:
        identity = identify(self.opened, question(text, self.model), endpoint_of(self.opened))
        assert identity.wire is not None
        return BatchRow(identity.key, 0, identity.wire.body, most_usd)

    def go(
        self, do: Callable[[BatchRun], Any], cap_usd: float | None = None, show: Show = lambda done, total, note: None
    ) -> tuple[BatchRun, Ledger]:
        ledger = Ledger(self.folder / "ledger.sqlite")
        budget = BatchBudget(self.model, price_of(self.model, PRICE, "batch"), cap_usd)

        async def run() -> BatchRun:
            opening = open_batches(self.opened, ledger, self.batch_folder, budget, show=show, tell=self.told.append)
            async with opening as batches:
                await do(batches)
                return batches

        try:
            return asyncio.run(run()), ledger
        finally:
            ledger.close()

    async def until_created(self, batches: BatchRun, rows: list[BatchRow]) -> None:
        """Buys the rows, and is cut off once their batch is created."""
        task = asyncio.create_task(batches.buy(rows))
        while not [job for job in self.batch_folder.open_jobs() if job.state == "created"]:
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def unasked(self, rows: list[BatchRow]) -> list[BatchRow]:
        """The rows that a collection would still ask for: neither answered nor held back by a batch."""
        held = self.batch_folder.held()
        with Ledger(self.folder / "ledger.sqlite") as ledger:
            answered = ledger.answered()
        return [row for row in rows if row.key not in answered and row.key not in held]

    @property
    def desk(self) -> Any:
        """Where the server keeps its batches and how it misbehaves."""
        return self.server.desk if isinstance(self.server, OpenAIServer) else self.server

    @property
    def created(self) -> int:
        return len(self.desk.batches)

    def newest(self) -> dict[str, Any]:
        """The server's own record of the last batch."""
        return list(self.desk.batches.values())[-1]  # type: ignore[no-any-return]

    def text(self, ledger: Ledger, row: BatchRow) -> str:
        stored = ledger.find(row.key)
        assert stored is not None and stored.reply is not None
        return self.opened.replicas[0].parse(200, {}, stored.reply).text
