"""Keys: what is taken off when they are read, what is refused, and that no answer is ever searched for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.calls.keys import clean_key, hide, looks_real, secrets
from distil.calls.ledger.store import Ledger
from distil.errors import UserError
from tests.calls.asking import MODEL, ask, teacher, with_client
from tests.wire.openai import OpenAIServer
from tests.wire.server import Trouble

KEY = "sk-proj-abcdef0123456789"


@pytest.mark.parametrize(
    "pasted",
    [KEY, f"  {KEY}\n", f'"{KEY}"', f"'{KEY}'\r\n", f"Bearer {KEY}", f'"bearer  {KEY}"', f"\ufeff{KEY}", f"“{KEY}”",
     f"Authorization: Bearer {KEY}"],
)  # fmt: skip
def test_what_pasting_adds_is_taken_off(pasted: str) -> None:
    assert clean_key(pasted, "K") == KEY


@pytest.mark.parametrize("empty", ["", "   ", '""', "Bearer ", "\n"])
def test_nothing_is_no_key(empty: str) -> None:
    assert clean_key(empty, "K") == ""


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("sk-proj\nabcdef", "a line break"),
        ("sk-a\rb", "a line break"),
        ("sk proj", "a blank"),
        ("sk-\xe9", "U+00E9"),
        ("sk-\x1b[2J", "U+001B"),
        ("sk-a\u2013b", "en dash"),
    ],
)
def test_a_key_that_no_header_can_carry_is_refused(pasted: str, words: str) -> None:
    with pytest.raises(UserError, match=words.replace("+", r"\+")) as caught:
        clean_key(pasted, "OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in str(caught.value) and pasted not in str(caught.value)


@pytest.mark.parametrize("word", ["EMPTY", "ollama", "none", "null", "stop", "text", "content", "sk-1234", "x" * 40])
def test_a_placeholder_hides_nothing(word: str) -> None:
    assert not looks_real(word)
    assert hide(f"{word} is not a model", [word]) == f"{word} is not a model"
    assert secrets({"Authorization": f"Bearer {word}"}) == []


@pytest.mark.parametrize("key", ["EMPTY", "ollama", "none", "null", "stop", "text", "content", "choices", KEY])
def test_an_answer_is_never_searched_for_the_key(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    answer = f"The list is {key}."
    body = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 5},
    }
    with OpenAIServer(key=None, troubles=[Trouble(200, body)]) as server:
        reply = with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    assert reply.text == answer and reply.finish_reason == "stop"
    ledger = Ledger(tmp_path / "ledger.sqlite")
    stored = ledger.find(reply.call_id)
    ledger.close()
    assert stored is not None and json.loads(stored.reply or b"") == body


def test_a_refusal_that_repeats_the_key_is_kept_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    with OpenAIServer(key=None, troubles=[Trouble(401, body)]) as server, pytest.raises(UserError) as caught:
        with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
    assert MODEL in str(caught.value) and KEY not in str(caught.value)
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())
