"""A server that answers as real ones do on their bad days: every good answer is kept, the rest is listed, and nothing hangs."""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.ledger.rescue import rescue_path
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.ledger.writer import Writer
from distil.collect import ordered_writer, stage
from distil.collect.config import CollectConfig
from distil.errors import UserError, WorkFailed
from distil.records import Answer, Prompt, Usage
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.failures import Failure
from tests.collect.conftest import write_prompts
from tests.wire.openai import OpenAIServer
from tests.wire.server import Seen, Trouble

Make = Callable[..., TeacherConfig]
FREE = CollectConfig(budget_usd=None)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


def reply(content: Any = "fine", finish: object = "stop", usage: object = USAGE, **message: Any) -> Trouble:
    turn = {"role": "assistant", "content": content, **message}
    return Trouble(200, {"choices": [{"index": 0, "message": turn, "finish_reason": finish}], "usage": usage})


def packed(body: bytes) -> Trouble:
    return Trouble(200, gzip.compress(body), {"Content-Encoding": "gzip"})


GOOD = json.dumps(reply().body).encode()
KEPT: dict[str, tuple[Trouble, str, str | None]] = {
    # name: (reply, text of the answer, its thinking)
    "huge usage": (reply(usage={"completion_tokens": 10**30}), "fine", None),
    "half surrogate": (Trouble(200, GOOD.replace(b"fine", b"fine \\ud83d")), "fine \ufffd", None),
    "latin-1 header": (Trouble(200, GOOD, {"X-Request-Id": "caf\udce9"}), "fine", None),
    "latin-1 body": (Trouble(200, GOOD.replace(b"fine", b"caf\xe9")), "caf\ufffd", None),
    "named latin-1": (
        Trouble(200, GOOD.replace(b"fine", b"caf\xe9"), {"Content-Type": "application/json; charset=iso-8859-1"}),
        "café",
        None,
    ),
    "blank lines before": (Trouble(200, b"\n\n" * 50 + GOOD), "fine", None),
    "packed": (packed(GOOD), "fine", None),
    "long header": (Trouble(200, GOOD, {"X-Policy": "p" * 20_000}), "fine", None),
    "reasoning parts": (reply(reasoning_content=[{"type": "text", "text": "Hm."}]), "fine", "Hm."),
    "thinking parts": (
        reply([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "fine"}]),
        "fine",
        "Hm.",
    ),
    "think tag": (reply("<think>\nHm.\n</think>\n\nfine"), "fine", "Hm."),
    "no opening tag": (reply("Hm.\n</think>\n\nfine"), "fine", "Hm."),
    "odd details": (reply(usage={**USAGE, "prompt_tokens_details": [{"cached_tokens": 1}]}), "fine", None),
    "odd logprobs": (
        Trouble(200, {"choices": [{**reply().body["choices"][0], "logprobs": {"content": ["a"]}}], "usage": USAGE}),
        "fine",
        None,
    ),
    "choices out of order": (
        Trouble(200, {"choices": [{"index": 1, "message": {"content": "b"}}, reply().body["choices"][0]]}),
        "fine",
        None,
    ),
    "Snowflake's ending": (reply(finish=""), "fine", None),
    "a function call": (reply("fine", "function_call", function_call={"name": "f", "arguments": "{}"}), "fine", None),
}
LOST: dict[str, tuple[Trouble, str]] = {
    # name: (reply, kind of the failure)
    "calls are an object": (reply(tool_calls={"a": 1}), "garbled"),
    "calls are a text": (reply(tool_calls="get_weather"), "garbled"),
    "content is a number": (reply(5), "garbled"),
    "not an object": (Trouble(200, ["a"]), "garbled"),
    "blank": (Trouble(200, b" \n"), "garbled"),
    "a bomb": (packed(b" " * (80 << 20)), "garbled"),
    "finish error": (reply('{"events": [{"title": "partial', "error"), "broken_off"),
    "finish abort": (reply("half", "abort"), "broken_off"),
    "finish null": (reply("half", None), "broken_off"),
    "finish unheard of": (reply("half", "network_error"), "broken_off"),
    "error 502 inside": (Trouble(200, {"error": {"code": 502, "message": "Provider returned error"}}), "server"),
    "error in the choice": (
        Trouble(
            200, {"choices": [{"index": 0, "finish_reason": "error", "error": {"code": 400, "message": "too odd"}}]}
        ),
        "bad_request",
    ),
    "Azure's filter": (
        Trouble(200, {"choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": {}}]}),
        "empty",
    ),
    "a filter's 400": (Trouble(400, {"error": {"code": "content_filter", "message": "filtered"}}), "filtered"),
    "moderation": (
        Trouble(403, {"error": {"code": 403, "message": "m", "metadata": {"flagged_input": "x", "reasons": ["hate"]}}}),
        "filtered",
    ),
    "a firewall": (Trouble(403, b"<html><title>Attention Required!</title></html>"), "auth"),
    "gone for one": (Trouble(404, {"error": {"message": "No endpoints found"}}), "not_found"),
    "denied for one": (Trouble(401, {"error": {"message": "not this one"}}), "auth"),
    "Groq's schema": (Trouble(400, {"error": {"code": "json_validate_failed", "message": "m"}}), "broken_off"),
}
ODD = {name: trouble for name, (trouble, *_) in (KEPT | LOST).items()}
PLACES = {f"question {3 + 9 * number}": name for number, name in enumerate(ODD)}
"""Every ninth of the prompts gets one of them, always the same: asking again does not help."""


def number_of(seen: Seen) -> str:
    return str(seen.body["messages"][-1]["content"])


def kept(project: Project) -> dict[str, Answer]:
    order = {prompt.id: prompt.messages[-1].text for prompt in read_records(project.prompts, Prompt)}
    return {order[answer.prompt_id]: answer for answer in read_records(project.answers, Answer)}


def test_every_good_answer_is_kept_among_odd_ones(project: Project, server: OpenAIServer, teacher: Make) -> None:
    write_prompts(project, 400)
    server.trouble_for = lambda seen: ODD.get(PLACES.get(number_of(seen), ""))
    quick = teacher(limits={"concurrency": 40}, attempts=2)
    result = stage.run(project, FREE, [quick])
    assert result.answers == 400 - len(LOST) and result.failed == len(LOST)
    found = kept(project)
    for place, name in PLACES.items():
        if name in KEPT:
            assert (found[place].text, found[place].reasoning) == KEPT[name][1:], name
    kinds = Counter(failure.kind for failure in read_records(project.failures, Failure))
    assert kinds == Counter(kind for _, kind in LOST.values())
    again = stage.run(project, FREE, [quick], rebuild=True)
    assert again.answers == result.answers and kept(project) == found, "the ledger says the same"


def test_what_passes_when_asked_again_is_asked_again(project: Project, server: OpenAIServer, teacher: Make) -> None:
    tries: Counter[str] = Counter()

    def once(seen: Seen) -> Trouble | None:
        tries[number_of(seen)] += 1
        return LOST["Groq's schema" if len(tries) % 2 else "finish error"][0] if tries[number_of(seen)] == 1 else None

    server.trouble_for = once
    result = stage.run(project, FREE, [teacher()])
    assert result.answers == 12 and set(tries.values()) == {2}
    assert result.uncertain_requests == 12 and result.uncertain_usd > 0, "the tries that were lost may be billed"


def test_a_429_inside_a_200_slows_down_and_costs_nothing(project: Project, server: OpenAIServer, teacher: Make) -> None:
    words = {"raw": "temporarily rate-limited upstream", "provider_name": "Google"}
    busy = Trouble(200, {"error": {"code": 429, "message": "Provider returned error", "metadata": words}})
    server.troubles.extend([busy] * 4)
    result = stage.run(project, FREE, [teacher()])
    assert result.answers == 12 and result.uncertain_requests == 0


def test_no_money_inside_a_200_stops_the_run_in_its_own_words(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    server.trouble_for = lambda seen: Trouble(200, {"error": {"code": 402, "message": "Insufficient credits"}})
    with pytest.raises(WorkFailed, match="Insufficient credits"):
        stage.run(project, FREE, [teacher()])


def test_filtered_prompts_never_stop_a_run(project: Project, server: OpenAIServer, teacher: Make) -> None:
    write_prompts(project, 60)
    server.trouble_for = lambda seen: LOST["a filter's 400"][0] if int(number_of(seen).split()[1]) < 30 else None
    result = stage.run(project, FREE, [teacher()])
    assert (result.answers, result.failed) == (30, 30)


def test_a_key_that_is_revoked_stops_the_run_soon(project: Project, server: OpenAIServer, teacher: Make) -> None:
    write_prompts(project, 200)
    server.trouble_for = lambda seen: LOST["denied for one"][0] if len(server.answered) >= 30 else None
    with pytest.raises(UserError, match="The last 20 requests were refused"):
        stage.run(project, FREE, [teacher()])
    assert len(server.posts()) < 80


def test_a_first_prompt_that_a_firewall_refuses_stops_nothing(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    server.trouble_for = lambda seen: LOST["a firewall"][0] if number_of(seen) == "question 0" else None
    result = stage.run(project, FREE, [teacher(limits={"concurrency": 1})])
    assert (result.answers, result.failed) == (11, 1)
    assert "Attention Required!" in result.reasons[0].why


def test_an_old_ledgers_thinking_is_parted_without_paying(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version kept the same bytes, and read them otherwise."""
    server.answer = lambda body: "<think>Hm.</think>fine"
    monkeypatch.setattr("distil.calls.providers.reading.part", lambda text: (text, None))
    stage.run(project, FREE, [teacher()])
    assert all(answer.text.startswith("<think>") for answer in kept(project).values())
    monkeypatch.undo()
    monkeypatch.setenv("OPENAI_API_KEY", str(server.key))
    stage.run(project, FREE, [teacher()], rebuild=True)
    assert {(answer.text, answer.reasoning) for answer in kept(project).values()} == {("fine", "Hm.")}
    assert len(server.answered) == 12


def test_an_old_ledgers_broken_answer_is_asked_again(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.finish_reason = "error"
    monkeypatch.setattr("distil.calls.providers.reading.ending", lambda word: "ok")
    assert stage.run(project, FREE, [teacher()]).answers == 12
    monkeypatch.undo()
    monkeypatch.setenv("OPENAI_API_KEY", str(server.key))
    server.finish_reason = "stop"
    result = stage.run(project, FREE, [teacher()])
    assert (result.answers, result.new, len(server.answered)) == (12, 12, 24)
    assert stage.run(project, FREE, [teacher()]).new == 0
    assert stage.run(project, FREE, [teacher()], rebuild=True).answers == 12


def test_a_full_disk_beside_the_answers_loses_nothing(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in flight gets into the ledger, which has a reserve, before the run ends."""
    write_prompts(project, 100)
    server.delay_s = 0.3
    add = ordered_writer.OrderedWriter.add

    def full(self: ordered_writer.OrderedWriter, position: int, record: Any) -> None:
        if position >= 5:
            raise WorkFailed("Could not write: no space left. Every answer is in the ledger.")
        add(self, position, record)

    monkeypatch.setattr(ordered_writer.OrderedWriter, "add", full)
    with pytest.raises(WorkFailed, match="Every answer is in the ledger"):
        stage.run(project, FREE, [teacher(limits={"concurrency": 20})])
    with Ledger(project.ledger) as ledger:
        assert len(ledger.answered()) == len(server.answered) == len(server.posts()) >= 20
        assert ledger.uncertain("collect").requests == 0
    monkeypatch.setattr(ordered_writer.OrderedWriter, "add", add)
    assert stage.run(project, FREE, [teacher()]).answers == 100 == len(server.answered)


def recorded(key: str, **fields: Any) -> Recorded:
    given = {"usage": Usage(output_tokens=1), "purpose": "collect", "model": "m", "request": b"{}", "reply": b"{}"}
    return Recorded(key=key, **given | fields)


def test_a_row_that_cannot_be_stored_goes_beside_the_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.record([recorded("call_1"), recorded("call_2", usage=Usage(output_tokens=10**30)), recorded("call_3")])
        ledger.record([recorded("call_4", request_id="caf\udce9")])
        assert set(ledger.answered()) == {"call_1", "call_3", "call_4"}
    assert "beside it" in capsys.readouterr().err and "call_2" in rescue_path(path).read_text()
    with Ledger(path) as ledger:  # opens again, although that row still can't be taken in
        ledger.record([recorded("call_5")])
    assert "call_2" in rescue_path(path).read_text()


@pytest.mark.parametrize("error", [MemoryError("no memory"), SystemExit(1), sqlite3.OperationalError("disk I/O error")])
def test_a_ledger_that_fails_ends_the_run(
    error: BaseException, project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where nothing can be kept any more; else what is in flight is kept in the rescue file, and the next run has it."""
    write_prompts(project, 60)
    store, failed_at = Writer._transaction, list[float]()

    def fail(self: Writer, rows: Any) -> None:
        if len(server.answered) >= 20:
            failed_at.append(time.monotonic())
            raise error
        store(self, rows)

    monkeypatch.setattr(Writer, "_transaction", fail)
    rescued = isinstance(error, sqlite3.OperationalError)
    slow = Trouble(200, GOOD, delay_s=1 if rescued else 60)
    server.trouble_for = lambda seen: slow if len(server.answered) >= 10 and number_of(seen)[-1] in "05" else None
    with pytest.raises(WorkFailed, match="ledger" if rescued else "is safe"):
        stage.run(project, FREE, [teacher(limits={"concurrency": 8})])
    assert time.monotonic() - failed_at[0] < 20, "a request in flight takes a minute"
    assert len(server.posts()) < 60
    monkeypatch.setattr(Writer, "_transaction", store)
    server.trouble_for = None
    assert stage.run(project, FREE, [teacher()]).answers == 60
    if rescued:
        assert len(server.posts()) == 60, "nothing was asked twice"
