"""The ledger: nothing paid for is lost, nothing is counted twice, old files open, full disks and locks are said plainly."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from distil.calls.identity import call_key, compress, wire_bytes
from distil.calls.ledger import schema
from distil.calls.ledger.rescue import rescue_path
from distil.calls.ledger.rows import AnsweredRow, AttemptRow, BodyRow, IntentRow
from distil.calls.ledger.store import Ledger, Recorded
from distil.errors import UserError, WorkFailed
from distil.ids import now
from distil.records import Usage


def recorded(number: int, *, purpose: str = "collect", usd: float = 0.25, request_id: str | None = None) -> Recorded:
    body = {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}]}
    return Recorded(
        key=call_key("https://api.example/v1", body),
        purpose=purpose,
        model="openai/m",
        request=wire_bytes(body),
        reply=f'{{"answer": {number}}}'.encode(),
        usage=Usage(input_tokens=10, output_tokens=5, cached_tokens=2, reasoning_tokens=1),
        usd=usd,
        endpoint="https://api.example/v1",
        price=(1.0, 2.0, "config"),
        request_id=request_id,
    )


def intent(ledger: Ledger, key: str, most: float = 0.5, purpose: str = "collect") -> IntentRow:
    return IntentRow(key, purpose, "openai/m", "https://api.example/v1", "standard", 0, ledger.run, most, now())


def test_the_key_is_body_endpoint_and_sample_not_tier() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}
    key = call_key("https://a/v1", body)
    assert call_key("https://a/v1", {**body, "service_tier": "flex"}) == key
    others = {
        call_key("https://b/v1", body),
        call_key("https://a/v1", body, 1),
        call_key("https://a/v1", {**body, "temperature": 0.6}),
        call_key("https://a/v1", {**body, "messages": [{"role": "system", "content": "x"}, *body["messages"]]}),
    }
    assert key not in others and len(others) == 4


def test_another_process_reads_back_what_was_recorded(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([recorded(1), recorded(2), recorded(3, purpose="judge")])
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        calls = list(ledger.calls())
        assert [call.purpose for call in calls].count("collect") == 2
        assert calls[0].usage == Usage(input_tokens=10, output_tokens=5, cached_tokens=2, reasoning_tokens=1)
        assert calls[0].price_source == "config"
        request, reply = ledger.body(recorded(2).key)
        assert request["messages"][0]["content"] == "question 2" and reply == b'{"answer": 2}'
        assert ledger.spent() == pytest.approx(0.75) and ledger.spent("judge") == pytest.approx(0.25)
        assert ledger.usage("collect").output_tokens == 10
        assert ledger.answered("judge") == {recorded(3).key}
        totals = ledger.totals()
        assert [(total.purpose, total.calls) for total in totals] == [("collect", 2), ("judge", 1)]


def test_looking_creates_no_file(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert list(ledger.calls()) == [] and ledger.spent() == 0.0 and ledger.find("call_1") is None
        assert ledger.uncertain() == (0, 0.0) and ledger.prune() == 0
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_reply_recorded_twice_costs_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([recorded(1, request_id="a")])
        ledger.record([recorded(1, request_id="a")])
        assert ledger.spent() == pytest.approx(0.25)
        ledger.record([recorded(1, request_id="b")])
        assert ledger.spent() == pytest.approx(0.5)


def test_an_intent_is_on_the_disk_before_it_is_reported(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.intend([intent(ledger, "call_1")])
        other = sqlite3.connect(tmp_path / "ledger.sqlite")
        assert other.execute("SELECT status, open, attempts FROM call").fetchall() == [("intended", 1, 1)]
        other.close()


def test_open_calls_of_a_dead_process_count_as_uncertain_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    script = f"""
        import os, signal
        from distil.ids import now
        from distil.calls.ledger.store import Ledger
        from distil.calls.ledger.rows import IntentRow
        ledger = Ledger({str(path)!r})
        for number, most in ((1, 0.5), (2, 0.25)):
            ledger.intend([IntentRow(f"call_{{number}}", "collect", "m", "e", "standard", 0, ledger.run, most, now())])
        ledger.intend([IntentRow("call_3", "collect", "m", "e", "batch", 0, ledger.run, 1.0, now())])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    with Ledger(path) as ledger:
        assert ledger.uncertain() == (2, pytest.approx(0.75)), "a batch outlives the process and is not among them"
        assert str(ledger.uncertain()) == "at most 2 requests / $0.75 may have been paid twice"
        ledger.start()
        assert ledger.uncertain() == (2, pytest.approx(0.75))
        assert [kind for _, _, kind, _, _ in ledger.attempts()] == ["crashed", "crashed"]
        ledger.record([recorded(1)])
        assert ledger.uncertain("judge") == (0, 0.0)


def test_what_a_living_process_waits_for_is_not_uncertain(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger, Ledger(tmp_path / "ledger.sqlite") as other:
        ledger.intend([intent(ledger, "call_1")])
        other.start()
        assert other.uncertain() == (0, 0.0)


def test_an_older_file_is_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    schema.migrate(db, path, schema.MIGRATIONS[:1])
    old = recorded(1)
    db.execute(
        "INSERT INTO call (key, purpose, model, endpoint, tier, sample, status, usd, created) VALUES "
        "(?, 'collect', 'openai/m', 'e', 'standard', 0, 'answered', 0.25, '2026-01-01T00:00:00+00:00')",
        [old.key],
    )
    db.execute("INSERT INTO body VALUES (?, ?, ?)", [old.key, compress(old.request), compress(old.reply)])
    db.close()
    with Ledger(path) as ledger:
        stored = ledger.find(old.key)
        assert stored is not None and stored.reply == old.reply and not stored.pruned
        ledger.record([recorded(2)])
        assert ledger.spent() == pytest.approx(0.5)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)
    db.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    schema.migrate(db, path, schema.MIGRATIONS[:1])
    broken = (schema.MIGRATIONS[0], "CREATE TABLE half (a); CREATE TABLE call (b);")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(db, path, broken)
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone()[0] == 0
    db.close()


def test_a_newer_or_foreign_file_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with Ledger(path) as ledger, pytest.raises(UserError, match=r"schema version 99.*pip install -U distil"):
        ledger.spent()
    text = tmp_path / "text.sqlite"
    text.write_text("not a database at all, but long enough to be read as one" * 20)
    with Ledger(text) as ledger, pytest.raises(UserError, match="not a readable ledger"):
        ledger.spent()


def test_pruning_frees_the_bodies_and_keeps_the_money(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([recorded(1), recorded(2, purpose="judge")])
        assert ledger.prune(purpose="judge") == 1
        assert ledger.prune(before="2000-01-01") == 0
        assert ledger.spent() == pytest.approx(0.5)
        stored = ledger.find(recorded(2).key)
        assert stored is not None and stored.pruned and stored.reply is None
        with pytest.raises(UserError, match="pruned"):
            ledger.body(recorded(2).key)
        assert ledger.body(recorded(1).key)[1] == b'{"answer": 1}'


def full(ledger: Ledger, pages_more: int) -> sqlite3.Connection:
    """Lets the writing connection grow by so many pages and no more: SQLite then says that the disk is full."""
    db = ledger.start()._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + pages_more}")
    return db


def big_reply(number: int) -> tuple[AnsweredRow, BodyRow]:
    import random

    raw = random.Random(number).randbytes(50_000)
    return Ledger("unused").answered_row(recorded(number)), BodyRow(
        recorded(number).key, compress(b"{}"), compress(raw)
    )


def test_a_full_disk_keeps_paid_replies_and_stops_sending(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.record([recorded(1)])
        full(ledger, 2)
        writer = ledger.start()
        writer.put(big_reply(2)).result(10)
        with pytest.raises(WorkFailed, match=r"disk is full.*kept"):
            ledger.intend([intent(ledger, "call_9")])
        writer.put(big_reply(3)).result(10)
        assert rescue_path(path).exists()
    with Ledger(path) as ledger:
        ledger.start()
        assert ledger.spent() == pytest.approx(0.75), "taken in from the rescue file"
        assert len(ledger.body(recorded(3).key)[1]) == 50_000
    assert not rescue_path(path).exists()


def test_a_rescue_file_cut_off_in_its_last_line_gives_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        full(ledger, 1)
        ledger.start().put(big_reply(2)).result(10)
    with rescue_path(path).open("a") as file:
        file.write('["Answered", ["call_')
    with Ledger(path) as ledger:
        ledger.start()
        assert ledger.answered() == {recorded(2).key}


def test_space_kept_in_reserve_is_given_back_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.start()
        reserve = tmp_path / ".ledger.sqlite.reserve"
        assert reserve.stat().st_size == 8 << 20
        full(ledger, 1)
        ledger.start().put(big_reply(2)).result(10)
        assert not reserve.exists()


def test_a_long_lock_is_reported_and_a_short_one_awaited(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as first:
        first.record([recorded(1)])
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    with Ledger(path, busy_timeout_s=0.2) as ledger, pytest.raises(WorkFailed, match="locked by another process"):
        ledger.start()
    holder.execute("COMMIT")
    with Ledger(path, busy_timeout_s=10) as ledger:
        writer = ledger.start()
        holder.execute("BEGIN IMMEDIATE")
        waiting = writer.put([ledger.answered_row(recorded(2))])
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        holder.execute("COMMIT")
        waiting.result(10)
        assert ledger.answered() == {recorded(1).key, recorded(2).key}
    holder.close()


def test_rows_that_arrive_together_share_a_commit(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        writer = ledger.start()
        commits: list[str] = []
        writer._db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        waiting = [writer.put([intent(ledger, f"call_{number}")]) for number in range(1000)]
        for one in waiting:
            one.result(10)
        writer._db.set_trace_callback(None)
        assert len(commits) < 200


def test_attempts_without_answer_close_the_call_keep_bodies(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.intend([intent(ledger, "call_1")])
        body = compress(b"<html>")
        rows = [
            AttemptRow("call_1", now(), "garbled", "no JSON", 0.2, 0.5, body),
            AttemptRow("call_1", now(), "rate_limit", "slow down", 0.2, None, None),
        ]
        ledger.start().put(rows).result(10)
        stored = ledger.find("call_1")
        assert stored is not None and not stored.open and stored.call.status == "intended"
        assert ledger.garbled("call_1") == [b"<html>"]
        assert ledger.uncertain() == (1, 0.5)
        ledger.fail([("call_1", "given up")])
        stored = ledger.find("call_1")
        assert stored is not None and stored.call.status == "failed" and stored.call.error == "given up"
