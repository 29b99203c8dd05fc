"""Collecting from a loopback provider: resumed, counted, kept when it stops, and never paid twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.collect import stage
from distil.collect.config import CollectConfig
from distil.errors import BudgetReached, Interrupted, UserError, WorkFailed
from distil.records import Answer, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest, stage_state
from distil.runs.schemas.failures import Failure
from tests.wire import openai as wire
from tests.wire.openai import OpenAIServer
from tests.wire.server import Seen, Trouble

Make = Callable[..., TeacherConfig]
FREE = CollectConfig(budget_usd=None)


def answers(project: Project) -> list[Answer]:
    return list(read_records(project.answers, Answer))


def failures(project: Project) -> list[Failure]:
    return list(read_records(project.failures, Failure))


def texts(project: Project) -> list[str]:
    return [answer.text for answer in answers(project)]


def on(words: str, trouble: Trouble) -> Callable[[Seen], Trouble | None]:
    return lambda seen: trouble if words.encode() in seen.raw else None


def test_all_prompts_are_answered_in_order_and_paid_once(project: Project, server: OpenAIServer, teacher: Make) -> None:
    first = stage.run(project, FREE, [teacher()])
    assert (first.wanted, first.answers, first.failed, first.new) == (12, 12, 0, 12)
    assert texts(project) == [f"An answer to: question {n}" for n in range(12)]
    assert first.usd > 0 and first.usd_total == pytest.approx(first.usd)
    again = stage.run(project, FREE, [teacher()])
    assert again.new == 0 and again.usd == 0 and again.usd_total == pytest.approx(first.usd)
    assert len(server.answered) == 12


def test_the_manifest_has_cost_and_terms_and_detects_staleness(project: Project, teacher: Make) -> None:
    """Another budget or tier leaves the stage done; another sampling makes it stale."""
    stage.run(project, FREE, [teacher()])
    manifest = read_manifest(project, "collect")
    assert manifest is not None and manifest.usd > 0
    assert manifest.notes["answers"] == 12 and manifest.notes["uncertain"] == {"requests": 0, "usd": 0.0}
    assert len(manifest.notes["terms"]) == 1 and "OpenAI" in manifest.notes["terms"][0]
    same = stage.settings_of(CollectConfig(budget_usd=3.0, tier="flex"), [teacher()])
    assert stage_state(project, "collect", config=same)[0] == "done"
    other = stage.settings_of(FREE, [teacher(sampling=Sampling(temperature=0.1))])
    assert stage_state(project, "collect", config=other)[0] == "stale"


def test_every_teacher_is_asked_for_every_sample(project: Project, server: OpenAIServer, teacher: Make) -> None:
    pair = [teacher(), teacher("openai/gpt-5-mini", sampling=Sampling(max_tokens=60))]
    result = stage.run(project, CollectConfig(samples=2, budget_usd=None), pair)
    assert result.answers == 48 and len({answer.id for answer in answers(project)}) == 48
    first = answers(project)[:4]
    assert [(answer.teacher, answer.sample) for answer in first] == [
        ("openai/gpt-4o-mini", 0),
        ("openai/gpt-4o-mini", 1),
        ("openai/gpt-5-mini", 0),
        ("openai/gpt-5-mini", 1),
    ]
    fewer = stage.run(project, FREE, pair[:1])
    assert fewer.answers == 12 and fewer.new == 0


def test_a_limited_run_asks_the_first_prompts_and_is_not_done(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    """Answers that exist already survive a later, smaller limit."""
    assert stage.run(project, FREE, [teacher()], limit=3).answers == 3
    assert len(server.answered) == 3
    assert stage_state(project, "collect", config=stage.settings_of(FREE, [teacher()]))[0] == "stale"
    assert stage.run(project, FREE, [teacher()]).new == 9
    assert stage.run(project, FREE, [teacher()], limit=1).answers == 12  # what was there stays there


def test_a_failed_prompt_is_listed_and_retried_alone(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.trouble_for = on("question 7", wire.TOO_LONG)
    result = stage.run(project, FREE, [teacher()])
    assert (result.answers, result.failed) == (11, 1)
    assert failures(project)[0].kind == "bad_request" and "max_tokens" in failures(project)[0].why
    server.trouble_for = None
    before = len(server.posts())
    again = stage.run(project, FREE, [teacher()], only="failed")
    assert (again.answers, again.failed, again.new) == (12, 0, 1) and len(server.posts()) == before + 1
    assert texts(project)[7] == "An answer to: question 7"
    with pytest.raises(UserError, match="No request has failed"):
        stage.run(project, FREE, [teacher()], only="failed")


def test_an_empty_answer_is_retried_once_and_then_listed(project: Project, server: OpenAIServer, teacher: Make) -> None:
    plain = server.answer
    server.answer = lambda body: "" if wire.last_words(body) == "question 5" else plain(body)
    assert stage.run(project, FREE, [teacher()]).failed == 1
    assert len(server.answered) == 13
    assert failures(project)[0].kind == "empty" and "also when asked again" in failures(project)[0].why
    stage.run(project, FREE, [teacher()])
    assert len(server.answered) == 13  # an ordinary run does not insist
    assert stage.run(project, FREE, [teacher()], only="failed").failed == 1
    assert len(server.answered) == 14
    server.answer = plain
    assert stage.run(project, FREE, [teacher()], only="failed").answers == 12
    assert len(server.answered) == 15
    assert stage.run(project, FREE, [teacher()], rebuild=True).answers == 12


def test_the_retry_of_an_empty_answer_is_kept(project: Project, server: OpenAIServer, teacher: Make) -> None:
    asked: list[str] = []

    def sometimes(body: dict[str, object]) -> str:
        words = wire.last_words(body)
        asked.append(words)
        return "" if words == "question 5" and asked.count(words) == 1 else f"An answer to: {words}"

    server.answer = sometimes
    result = stage.run(project, FREE, [teacher()])
    assert (result.answers, result.failed) == (12, 0) and len(server.answered) == 13
    assert stage.run(project, FREE, [teacher()]).new == 0


def test_a_reply_cut_off_in_its_reasoning_is_not_retried(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.answer, server.finish_reason, server.reasoning_tokens = (lambda body: ""), "length", 50
    with pytest.raises(WorkFailed, match="raise sampling"):
        stage.run(project, FREE, [teacher()])
    assert len(server.answered) == 12


def test_truncated_answers_are_kept_and_marked(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.finish_reason = "length"
    stage.run(project, FREE, [teacher()])
    assert {answer.finish_reason for answer in answers(project)} == {"length"}


def test_the_budget_stops_the_run_and_more_budget_resumes_it(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    with pytest.raises(BudgetReached, match=r"--set collect\.budget_usd=.* answers are in work/collect") as caught:
        stage.run(project, CollectConfig(budget_usd=0.0006), [teacher()])
    assert caught.value.exit_code == 3
    had = len(texts(project))
    assert 0 < had < 12 and read_manifest(project, "collect") is None
    with Ledger(project.ledger) as ledger:
        assert ledger.spent() <= 0.0006
    assert stage.run(project, CollectConfig(budget_usd=1.0), [teacher()]).answers == 12
    assert len(server.answered) == 12


def test_exhausted_quota_stops_the_run_and_keeps_answers(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.troubles.extend([None] * 5 + [wire.OUT_OF_MONEY] * 50)
    with pytest.raises(WorkFailed, match="no quota or money left"):
        stage.run(project, FREE, [teacher()])
    assert len(texts(project)) == 5
    server.troubles.clear()
    assert stage.run(project, FREE, [teacher()]).new == 7


def test_ctrl_c_keeps_everything_and_the_next_run_resumes(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    server.delay_s = 0.2

    def press() -> None:
        while len(server.answered) < 4:
            threading.Event().wait(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(Interrupted, match="same command again") as caught:
        stage.run(project, FREE, [teacher(limits={"concurrency": 2})])
    assert caught.value.exit_code == 130
    had = len(texts(project))
    assert 0 < had < 12
    server.delay_s = 0.0
    result = stage.run(project, FREE, [teacher()])
    assert result.answers == 12 and len(server.answered) <= 12 + 2
    assert result.uncertain_requests <= 2


def test_a_dry_run_sends_nothing_and_uses_measured_tokens(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no API key either."""
    stage.run(project, FREE, [teacher()], limit=6)
    monkeypatch.delenv("OPENAI_API_KEY")
    result = stage.run(project, FREE, [teacher()], dry_run=True)
    (one,) = result.forecast
    assert (one.wanted, one.answered, one.to_ask) == (12, 6, 6) and len(server.answered) == 6
    assert "measured on 6 answers" in one.basis and one.usd_margin is not None
    assert one.usd == pytest.approx(result.usd_total, rel=0.2) and one.most_usd > one.usd
    fresh = stage.run(project, FREE, [teacher(sampling=Sampling(temperature=0))], dry_run=True).forecast[0]
    assert fresh.to_ask == 12 and "a guess" in fresh.basis and fresh.usd_margin is None


def test_answers_are_rebuilt_from_the_ledger_offline(
    project: Project, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run(project, FREE, [teacher()])
    before = project.answers.read_bytes()
    project.answers.unlink()
    monkeypatch.delenv("OPENAI_API_KEY")
    assert stage.run(project, FREE, [teacher(base_urls=[teacher().base_urls[0]])], rebuild=True).answers == 12
    assert project.answers.read_bytes() == before


def test_unsupported_settings_are_left_out_with_a_notice(
    project: Project, teacher: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run(project, FREE, [teacher("openai/gpt-5-mini")])
    output = capsys.readouterr()
    assert "openai/gpt-5-mini does not accept temperature" in output.err
    assert "OpenAI: its services agreement" in output.err and output.out == ""


def test_no_key_is_in_any_file_or_message(
    project: Project, server: OpenAIServer, teacher: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    server.trouble_for = on("question 3", wire.error(400, None, f"Bad header Bearer {wire.KEY}"))
    stage.run(project, FREE, [teacher()])
    for path in project.root.rglob("*"):
        if path.is_file():
            assert wire.KEY.encode() not in path.read_bytes(), path
    output = capsys.readouterr()
    assert wire.KEY not in output.out + output.err


@pytest.mark.parametrize("name", ["OPENAI_API_KEY"])
def test_a_missing_key_names_its_variable(
    project: Project, teacher: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(UserError, match=f"export {name}="):
        stage.run(project, FREE, [teacher()])


def test_a_wrong_key_and_an_unknown_model_stop_at_once(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="/v1/models"):
        stage.run(project, FREE, [teacher("openai/gpt-99", limits={"concurrency": 2})])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-123456789")
    with pytest.raises(UserError, match="API key"):
        stage.run(project, FREE, [teacher(limits={"concurrency": 2})])
    assert server.answered == [] and len(server.posts()) <= 6


def test_an_unreachable_server_fails_fast_unless_all_is_cached(
    project: Project, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every answer in the ledger, nothing is sent at all."""
    monkeypatch.setattr("distil.calls.limits.outage.UNREACHABLE_S", 0.3)
    gone = teacher("http://127.0.0.1:9/v1#m", base_urls=[])
    with pytest.raises(UserError, match="can't be reached"):
        stage.run(project, FREE, [gone])
    had = teacher()
    stage.run(project, FREE, [had])
    monkeypatch.setattr("distil.calls.http.transport.Transport.post", None)  # whoever sends now fails
    assert stage.run(project, FREE, [had]).new == 0


def test_bad_input_is_one_paragraph(project: Project, teacher: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No teacher is configured"):
        stage.run(project, FREE, [])
    with pytest.raises(UserError, match="is listed twice"):
        stage.run(project, FREE, [teacher(), teacher()])
    with pytest.raises(UserError, match="distil prompts load"):
        stage.run(Project(tmp_path / "empty"), FREE, [teacher()])
    with pytest.raises(UserError, match="no list of failures"):
        stage.run(project, FREE, [teacher()], only="failed")
    with pytest.raises(UserError, match="The price of"):
        stage.run(project, FREE, [teacher("openai/gpt-4o-mini-of-mine", price=None)])
    project.prompts.write_text('{"id": "x"}\n')
    with pytest.raises(UserError, match="line 1: field 'messages'"):
        stage.run(project, FREE, [teacher()])


def test_a_recorded_teacher_lists_what_it_does_not_have(project: Project) -> None:
    lines = [{"prompt": f"question {n}", "output": f"recorded {n}"} for n in range(10)]
    (project.root / "recorded.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = stage.run(project, FREE, [TeacherConfig(model="recorded/recorded.jsonl")])
    assert (result.answers, result.failed, result.usd) == (10, 2, 0.0) and len(result.terms) == 1
    assert texts(project)[3] == "recorded 3" and "no answer" in failures(project)[0].why
