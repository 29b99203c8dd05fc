"""Hidden limits on a real loopback server are kept to. The law itself is tested in virtual time (test_pace.py), its speed in
benchmarks/collect.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from distil.calls.client import Client
from distil.calls.config import Limits, Price, TeacherConfig
from distil.calls.request import Reply, Request
from distil.records import Message, Sampling
from tests.calls.loopback import LoopbackProcess


@pytest.mark.parametrize(
    ("options", "prompts"),
    [
        (("--at-once", "37", "--latency", "0.05"), 500),
        (("--per-minute", "1800", "--burst", "10", "--latency", "0.05"), 300),
    ],
    ids=["37 at once", "1800 a minute"],
)
def test_everything_is_answered_with_few_refusals(options: tuple[str, ...], prompts: int, tmp_path: Path) -> None:
    with LoopbackProcess(*options) as server:
        teacher = TeacherConfig(model=server.model, price=Price(input=1, output=2), limits=Limits(concurrency=200))

        async def main() -> None:
            async with Client(tmp_path / "ledger.sqlite", [teacher]) as client:
                requests = (
                    Request(
                        model=server.model,
                        messages=[Message(role="user", content=f"prompt {number}")],
                        sampling=Sampling(max_tokens=50),
                    )
                    for number in range(prompts)
                )
                async for _, result in client.map(enumerate(requests)):
                    assert isinstance(result, Reply)

        asyncio.run(main())
        totals = server.counts()["totals"]
    assert totals["requests"] - totals.get("refused", 0) == prompts
    # A busy machine bunches requests up, so this is not a sharp figure.
    assert totals.get("refused", 0) < 0.15 * prompts
