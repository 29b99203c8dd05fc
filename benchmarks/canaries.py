"""How far two model servers' answers to the canary prompts are apart: what restarts and batches do, and what another model does.

    python benchmarks/canaries.py take http://127.0.0.1:8080/v1#m f16.jsonl       the first server
    python benchmarks/canaries.py compare http://127.0.0.1:8080/v1#m f16.jsonl    another one, or the same one after a restart

Any OpenAI-compatible server with log-probabilities, such as llama.cpp. The labeled prompts are twelve questions of banking77
(DISTIL_DATA, a folder with banking77/banking_train.csv), without which the fixed prompts are asked alone.
"""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from pathlib import Path
from statistics import fmean

from distil.records import Message, Sampling
from distil.runs.jsonl import read_records, write_records
from distil.runs.schemas.canary import Canary
from distil.serve.certificate.canary import ask_again, canary_requests, difference, take, tolerance
from distil.serve.engines.base import Engine, make_engine
from distil.serve.wire import ChatRequest

SYSTEM = "Name the intent of the customer's message."


def labels() -> list[ChatRequest]:
    """Questions as a gateway would get them."""
    path = Path(os.environ.get("DISTIL_DATA", "")) / "banking77/banking_train.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][::800]
    turns = [[Message(role="system", content=SYSTEM), Message(role="user", content=text)] for text in texts]
    return [ChatRequest("m", messages, Sampling()) for messages in turns]


async def compare(engine: Engine, canaries: list[Canary]) -> None:
    """Prints the differences in nats per token: asked one at a time, and all at once."""
    await engine.start()
    try:
        alone = difference(canaries, await ask_again(engine, canaries, at_once=1))
        together = difference(canaries, await ask_again(engine, canaries, at_once=len(canaries)))
    finally:
        await engine.stop()
    print(f"alone {alone:.4f}, together {together:.4f}, tolerated {tolerance(canaries):.4f} nats per token")


def main() -> None:
    """Takes or compares."""
    what, server, file = sys.argv[1:4]
    engine = make_engine("", batch_size=1, queue=1, engine=server)
    if what == "take":
        canaries = asyncio.run(take(engine, canary_requests(labels())))
        write_records(Path(file), canaries)
        print(f"{len(canaries)} canary prompts, noise of batches {fmean(c.noise for c in canaries):.4f} nats per token")
    else:
        asyncio.run(compare(engine, list(read_records(Path(file), Canary))))


if __name__ == "__main__":
    main()
