"""Logs made for these tests: requests with replies, as OpenAI's API has them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

TRIAGE = "You are the triage desk of a shop. Name the queue for the message."
QUEUES = {
    "refund": ["money back", "refund", "return the payment"],
    "delivery": ["parcel", "courier", "shipping"],
    "password": ["log in", "password", "account locked"],
}
FILLERS = ["please help", "since monday", "for my sister", "again", "with order", "thank you", "quickly", "in the shop"]


def line(
    asked: str,
    answer: str,
    *,
    told: str | None = TRIAGE,
    model: str = "gpt-4o",
    usage: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """One request with its reply; usage None: the log has none."""
    turns = [{"role": "system", "content": told}] if told else []
    reply: dict[str, object] = {
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
    }
    if usage is not None:
        reply["usage"] = usage
    return {"request": {"model": model, "messages": [*turns, {"role": "user", "content": asked}]}, "response": reply}


def usage(fresh: int = 400, out: int = 20, cached: int = 0) -> dict[str, object]:
    """Token counts in OpenAI's shape."""
    return {"prompt_tokens": fresh, "completion_tokens": out, "prompt_tokens_details": {"cached_tokens": cached}}


def triage(count: int, *, seed: int = 0, model: str = "gpt-4o") -> list[dict[str, object]]:
    """Messages whose queue shows by a word in them."""
    draw, lines = random.Random(seed), []
    for number in range(count):
        queue = draw.choice(list(QUEUES))
        words = [draw.choice(QUEUES[queue]), *draw.sample(FILLERS, 4), f"case{number}"]
        draw.shuffle(words)
        lines.append(line(" ".join(words), queue, model=model, usage=usage()))
    return lines


def write(path: Path, lines: Iterable[object]) -> Path:
    """As JSON Lines."""
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path
