"""How far the estimated number of tokens is from what providers billed, on recorded replies of real APIs.

    python benchmarks/token_estimate.py [--data PATH/TO/replies.jsonl.gz]

The replies are not part of Distil: gzipped JSON lines {host, body} of chat APIs, from the VCR cassettes of pydantic-ai (MIT) and
openllmetry (Apache-2.0). Counted: whole text answers of 80 characters or more, without thinking, tool calls or looked-up pages.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from distil.formats.tokens import MARGIN, estimate

DEFAULT_DATA = Path(os.environ.get("DISTIL_DATA", Path(__file__).parents[2] / "shared" / "data"))
SHORTEST = 80


def answers(path: Path) -> Iterator[tuple[str, str, int]]:
    """(host, text, billed output tokens) of each reply that is one text."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            reply = json.loads(line)
            try:
                found = read_body(json.loads(reply["body"]))
            except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                continue  # another shape: an error, a stream, an embedding
            if found is not None and found[1] and len(found[0] or "") >= SHORTEST:
                yield reply["host"], *found


def read_body(body: dict) -> tuple[str, int] | None:
    """(text, output tokens) of one reply, or None when something else was billed too."""
    if "choices" in body:
        usage, message = body["usage"], body["choices"][0]["message"]
        thinking = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or message.get("reasoning")
        if thinking or set(message) - {"role", "content", "refusal", "annotations"} or message.get("annotations"):
            return None
        return message["content"], usage["completion_tokens"]
    if "candidates" in body:
        usage, candidate = body["usageMetadata"], body["candidates"][0]
        parts = candidate["content"]["parts"]
        other = (
            usage.get("thoughtsTokenCount") or usage.get("toolUsePromptTokenCount") or "groundingMetadata" in candidate
        )
        if other or any(set(part) != {"text"} for part in parts):
            return None
        return "".join(part["text"] for part in parts), usage["candidatesTokenCount"]
    if any(set(block) - {"type", "text", "citations"} or block.get("citations") for block in body["content"]):
        return None
    return "".join(block["text"] for block in body["content"]), body["usage"]["output_tokens"]


def main() -> None:
    """Prints the ratio of estimate to bill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA / "replies" / "replies.jsonl.gz")
    found = list(answers(parser.parse_args().data))
    ratios = sorted(estimate(text) / billed for _, text, billed in found)
    outside = [
        (host, billed, estimate(text))
        for host, text, billed in found
        if not 1 / MARGIN <= estimate(text) / billed <= MARGIN
    ]
    print(f"{len(ratios)} answers of {len({host for host, _, _ in found})} hosts")
    print(f"estimate / billed: median {statistics.median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}")
    print(f"off by more than {MARGIN}: {len(outside)} {outside}")


if __name__ == "__main__":
    main()
