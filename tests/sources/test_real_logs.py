"""Recorded calls of real APIs, read as a log: what was asked is a prompt, what was answered is what its reader says."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.faults import GarbledReply
from distil.calls.providers.chat import ChatProvider
from distil.errors import UserError
from distil.prompts.rows import to_prompt
from distil.sources.rows import read_row
from distil.sources.values import Row


@functools.cache
def recorded(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as file:
        return [json.loads(line) for line in file]


@pytest.fixture
def calls(data_dir: Callable[[str], Path]) -> list[dict[str, Any]]:
    rows = recorded(data_dir("replies") / "replies.jsonl.gz")
    kept = [row for row in rows if row["request"] and "/threads/" not in row["path"] and "-stream" not in row["path"]]
    assert len(kept) > 400
    return kept


def test_every_recorded_call_is_a_prompt_or_refused_by_name(calls: list[dict[str, Any]]) -> None:
    prompts, refused = 0, list[str]()
    for number, call in enumerate(calls):
        row = Row(f"log, line {number}", {"request": call["request"], "response": call["body"]})
        try:
            prompts += to_prompt(row, None).prompt is not None
        except UserError as error:
            refused.append(str(error))
    assert prompts > 0.97 * len(calls)
    assert all("a student reads text only" in reason for reason in refused), refused


def test_every_whole_reply_of_the_log_is_an_answer(calls: list[dict[str, Any]]) -> None:
    missing = []
    for number, call in enumerate(calls):
        exchange = read_row(
            Row("log", {"request": call["request"], "response": call["body"], "status": call["status"]})
        )
        if (exchange.answer is None) == (call["status"] == 200):
            missing.append((number, call["path"], exchange.problem))
    assert all(problem and ("broke off" in problem or "error" in problem) for _, _, problem in missing), missing
    assert len(missing) < 10


def test_chat_replies_say_what_their_provider_says(calls: list[dict[str, Any]]) -> None:
    chats = [call for call in calls if call["path"].endswith("chat/completions") and '"choices"' in call["body"]]
    for call in chats:
        answer = read_row(Row("log", {"request_body": call["request"], "response_body": call["body"]})).answer
        try:
            said = ChatProvider("m", "", None).parse(200, {}, call["body"].encode())
        except GarbledReply:
            assert answer is None
        else:
            assert answer is not None and answer.parsed == said
    assert len(chats) > 80
