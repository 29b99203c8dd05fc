"""All recorded replies of real providers are read as what their JSON says, by short readers that share no code with ours.

Not read here: replies of OpenAI's Responses and Bedrock's Converse (test_responses.py, test_bedrock.py), of APIs that nobody here
speaks (threads of assistants), and streams of Bedrock's binary events.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from distil.calls.faults import GarbledReply
from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.providers.base import HttpProvider, Parsed
from distil.calls.providers.bedrock import BedrockProvider
from distil.calls.providers.chat import CompatibleProvider
from distil.calls.providers.google import GoogleProvider
from distil.calls.providers.responses import ResponsesProvider

Reply = dict[str, Any]
INLINE = re.compile(r"\s*<think(?:ing)?>(?P<thinking>.*?)(?:\Z|</think(?:ing)?>\s*(?P<text>.*))", re.DOTALL)


class Said(NamedTuple):
    """What a reply says, by its JSON."""

    text: str
    thinking: str
    calls: list[tuple[str, Any]]
    """(name, arguments)"""
    finish: str | None
    used: tuple[int, int, int]
    """Input tokens, and output tokens at least and at most."""


def chat(reply: Reply) -> Said:
    choice = min(reply["choices"], key=lambda one: one["index"])
    message = choice.get("message", {})
    content = message.get("content") or ""
    if isinstance(content, list):
        own = "".join(p["text"] for part in content if part["type"] == "thinking" for p in part["thinking"])
        text = "".join(part["text"] for part in content if part["type"] == "text")
    else:
        details = "\n".join(d.get("text") or d.get("summary") or "" for d in message.get("reasoning_details") or [])
        own, text = message.get("reasoning") or message.get("reasoning_content") or details, content
    if inline := INLINE.match(text):
        own, text = own + inline["thinking"], inline["text"] or ""
    calls = [(call["function"]["name"], call["function"].get("arguments")) for call in message.get("tool_calls") or []]
    if (old := message.get("function_call")) and old["name"]:
        calls = [(old["name"], old["arguments"])]
    usage = reply.get("usage") or {}
    asked, made = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    finish = choice["finish_reason"] or ("tool_calls" if calls else "stop")
    if message.get("refusal"):
        finish, text = "refusal", text or message["refusal"]
    return Said(
        text,
        own,
        [(name, json.loads(arguments or "{}")) for name, arguments in calls],
        finish,
        (asked, made, max(made, usage.get("total_tokens", 0) - asked)),
    )


def anthropic(reply: Reply) -> Said:
    blocks, usage = reply["content"], reply["usage"]
    words = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
    asked = sum(usage.get(f"{name}input_tokens") or 0 for name in ("", "cache_read_", "cache_creation_"))
    return Said(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        words[reply["stop_reason"]],
        (asked, usage["output_tokens"], usage["output_tokens"]),
    )


def gemini(reply: Reply) -> Said:
    candidate = (reply.get("candidates") or [{"finishReason": "SAFETY"}])[0]
    parts = candidate.get("content", {}).get("parts") or []
    calls = [
        (part["functionCall"]["name"], part["functionCall"].get("args") or {})
        for part in parts
        if "functionCall" in part
    ]
    words = {"STOP": "tool_calls" if calls else "stop", "MAX_TOKENS": "length"}
    words |= {"SAFETY": "content_filter", "MODEL_ARMOR": "content_filter"}
    usage = reply["usageMetadata"]
    asked = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    made = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    return Said(
        "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "".join(part["text"] for part in parts if "text" in part and part.get("thought")),
        calls,
        words.get(candidate["finishReason"]),
        (asked, made, max(made, usage.get("totalTokenCount", 0) - asked)),
    )


READERS: list[tuple[str, type[HttpProvider], Callable[[Reply], Said]]] = [
    (r"/chat/completions$", CompatibleProvider, chat),
    (r"/v1/messages$", AnthropicProvider, anthropic),
    (r":generateContent$", GoogleProvider, gemini),
]
ELSEWHERE = r"/responses$|/converse(-stream)?$|/threads/"
NO_REPLIES = ("/bin/chat/completions", "/bin/content-type/application/json/chat/completions")
"""Of an echoing web server."""


def recorded(data_dir: Callable[[str], Path]) -> Iterator[Reply]:
    with gzip.open(data_dir("replies") / "replies.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def made_by(path: str) -> tuple[HttpProvider, Callable[[Reply], Said]] | None:
    for pattern, kind, read in READERS:
        if re.search(pattern, path):
            return kind("m", "http://h/v1", None), read  # type: ignore[call-arg]
    assert re.search(ELSEWHERE, path), f"no reader for {path}"
    return None


def squeezed(text: str | None) -> str:
    return "".join((text or "").split())


def agrees(parsed: Parsed, said: Said) -> None:
    assert parsed.text.strip() == said.text.strip()
    assert squeezed(parsed.reasoning) == squeezed(said.thinking)
    found = [
        (call["function"]["name"], json.loads(call["function"].get("arguments"))) for call in parsed.tool_calls or []
    ]
    assert found == said.calls
    assert parsed.finish_reason == said.finish
    asked, least, most = said.used
    assert parsed.usage.input_tokens == asked and least <= parsed.usage.output_tokens <= most


def test_every_real_reply_is_read_as_what_it_says(data_dir: Callable[[str], Path]) -> None:
    counts: Counter[str] = Counter()
    for reply in recorded(data_dir):
        reader = made_by(reply["path"])
        if reader is None or reply["path"] in NO_REPLIES:
            counts["elsewhere"] += 1
            continue
        provider, read = reader
        if reply["status"] != 200:
            fault = provider.fault(reply["status"], reply["headers"], reply["body"].encode())
            said = json.loads(reply["body"])["error"]["message"]
            assert " ".join(said.split())[:60] in fault.message, "a refusal is shown in its own words"
            counts["refused"] += 1
            continue
        try:
            value = json.loads(reply["body"])
        except ValueError:
            with pytest.raises(GarbledReply):
                provider.parse(200, {}, reply["body"].encode())
            counts["not JSON"] += 1
            continue
        if value.get("error"):  # Azure's filter, inside a 200
            assert provider.fault(200, {}, reply["body"].encode()).kind == "filtered"
            counts["filtered"] += 1
            continue
        expected = read(value)
        try:
            parsed = provider.parse(200, reply["headers"], reply["body"].encode())
        except GarbledReply as error:
            assert expected.finish is None and error.fault.kind == "broken_off", (reply["host"], str(error))
            counts["broken off"] += 1
            continue
        agrees(parsed, expected)
        counts["read"] += 1
    assert counts["read"] >= 230 and counts["broken off"] == 1 and counts["refused"] >= 10 and counts["not JSON"] == 1
    assert counts["filtered"] == 1


def test_nothing_recorded_crashes_any_reader(data_dir: Callable[[str], Path]) -> None:
    """Each of the 551 bodies to each provider: most are of another API, and none may be more than a failure."""
    kinds = [*(kind for _, kind, _ in READERS), ResponsesProvider, BedrockProvider]
    providers = [kind("m", "http://h/v1", None) for kind in kinds]  # type: ignore[call-arg]
    for reply in recorded(data_dir):
        for provider in providers:
            try:
                provider.parse(200, reply["headers"], reply["body"].encode())
            except GarbledReply:
                provider.fault(reply["status"], reply["headers"], reply["body"].encode())


def hidden(value: Any, key: str = "") -> Iterator[str]:
    """The texts of a reply that are encrypted thinking, or its signature."""
    if isinstance(value, dict):
        kind = str(value.get("type"))
        for name, inside in value.items():
            secret = name in ("encrypted_content", "signature", "thoughtSignature", "redactedContent")
            secret |= name == "data" and ("redacted" in kind or "encrypted" in kind)
            yield from hidden(inside, "hidden" if secret else "")
    elif isinstance(value, list):
        for inside in value:
            yield from hidden(inside, key)
    elif isinstance(value, str) and key and len(value) > 20:
        yield value


def test_encrypted_thinking_is_never_text(data_dir: Callable[[str], Path]) -> None:
    """Of OpenAI, Anthropic, Gemini, Bedrock and OpenRouter: no reader takes it for thinking or for the answer."""
    counts: Counter[str] = Counter()
    kinds = [*(kind for _, kind, _ in READERS), ResponsesProvider, BedrockProvider]
    for reply in recorded(data_dir):
        try:
            value = json.loads(reply["body"])
        except ValueError:
            continue
        secrets = list(hidden(value))
        for kind in kinds if secrets else ():
            try:
                parsed = kind("m", "http://h/v1", None).parse(200, reply["headers"], reply["body"].encode())  # type: ignore[call-arg]
            except GarbledReply:
                continue
            read = f"{parsed.text}\n{parsed.reasoning}"
            assert not any(secret in read for secret in secrets), (reply["host"], kind.__name__)
            counts[kind.__name__] += 1
    assert sum(counts.values()) >= 40 and min(counts[kind.__name__] for kind in kinds) >= 1, counts
