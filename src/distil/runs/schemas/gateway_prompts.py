"""work/prompts/gateway.jsonl: requests that the gateway captured, as prompts, each with the teacher's answer that was paid for.

Written by `distil collect --from-gateway`; separate from the user's file, so that loading that again keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from distil.records import Prompt, Record
from distil.runs.jsonl import read_records


class GatewayPrompt(Record):
    """One captured request. A request that was answered several times is there several times."""

    prompt: Prompt
    """As it was asked; `fields` has the source, and `split` is train unless it belongs to the fair sample of the traffic."""
    request_id: str = ""
    """The gateway's id of the request."""
    teacher: str = ""
    """The model that answered, as the config names it."""
    call_id: str = ""
    """Its answer in the ledger."""
    finish_reason: str = ""
    """Of that answer."""
    sampling: dict[str, object] = Field(default_factory=dict)
    """What the client named itself."""


class GatewayRead(Record):
    """How far work/serve/captured.jsonl was read."""

    bytes: int
    """From its beginning."""
    head: str
    """Hash of its first bytes: another one is another file, which is read from its beginning."""


def read_gateway_prompts(path: Path) -> Iterator[GatewayPrompt]:
    """All of them; none when there is no file. Raises UserError on a broken line."""
    if path.exists():
        yield from read_records(path, GatewayPrompt)
