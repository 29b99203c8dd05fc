"""What is shown of a teacher's thinking: counted over recorded replies of real APIs, each read by the reader of its endpoint.

    python benchmarks/thinking_shown.py [--data PATH/TO/shared/data]

One line for each model and endpoint that showed any, and whether it is the thinking itself or a summary by its vendor's words
(calls/providers/summaries.py); then the replies with nothing but an encrypted block or a signature. Streams are not read.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from banking77 import DEFAULT_DATA

from distil.calls.faults import GarbledReply
from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.providers.base import HttpProvider
from distil.calls.providers.bedrock import BedrockProvider
from distil.calls.providers.chat import CompatibleProvider
from distil.calls.providers.google import GoogleProvider
from distil.calls.providers.responses import ResponsesProvider
from distil.calls.providers.summaries import shows_summaries

READERS: dict[str, tuple[type[HttpProvider], str]] = {
    "/chat/completions": (CompatibleProvider, "reasoning.encrypted"),
    "/v1/messages": (AnthropicProvider, "redacted_thinking"),
    ":generateContent": (GoogleProvider, "thoughtSignature"),
    "/responses": (ResponsesProvider, "encrypted_content"),
    "/converse": (BedrockProvider, "redactedContent"),
}
"""How a path ends -> the reader of its replies, and what marks thinking there that can't be read."""


def reasoning(record: dict[str, Any], kind: type[HttpProvider]) -> str | None:
    """What is read of a reply's thinking; None where the answer broke off."""
    try:
        parsed = kind("m", "http://h/v1", None).parse(200, record["headers"], record["body"].encode())  # type: ignore[call-arg]
    except GarbledReply:
        return None
    return (parsed.reasoning or "").strip()


def model_of(record: dict[str, Any]) -> str:
    """As the request, the reply or the path names it."""
    for body in (record["request"], json.loads(record["body"])):
        if isinstance(body, dict) and body.get("model"):
            return str(body["model"])
    return (re.search(r"models?/([^/:%]+)", record["path"]) or ["", "?"])[1]


def reasons(body: str) -> bool:
    """Whether a reply of the Responses API has an item of reasoning."""
    return any(item.get("type") == "reasoning" for item in json.loads(body).get("output") or [])


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA.parent, help="the folder with replies/")
    with gzip.open(parser.parse_args().data / "replies" / "replies.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    shown, hidden, items = Counter[tuple[str, str, str]](), Counter[tuple[str, str]](), Counter[str]()
    for record in records:
        end = next((end for end in READERS if record["path"].endswith(end)), None)
        if end is None or record["status"] != 200:
            continue
        kind, mark = READERS[end]
        text, where = reasoning(record, kind), f"{record['host']} {end}"
        if text is None:
            continue
        items[where] += end == "/responses" and reasons(record["body"])
        if text:
            how = "a summary" if shows_summaries(model_of(record)) else "the thinking itself"
            shown[how, where, model_of(record)] += 1
        else:
            hidden[where, mark] += f'"{mark}"' in record["body"]
    print(f"{len(records)} replies")
    for (how, where, model), count in sorted(shown.items()):
        print(f"{how:20s} {where:50s} {model:45s} {count:4d}")
    for (where, mark), count in sorted(hidden.items()):
        of = f" of {items[where]} with an item of reasoning" if items[where] else ""
        if count:
            print(f"{'nothing but':20s} {where:50s} {mark:45s} {count:4d}{of}")


if __name__ == "__main__":
    main()
