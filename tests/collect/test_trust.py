"""What must never happen to somebody's money: paid answers lost, a run that can't go on, dollars spent on nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.collect import stage
from distil.collect.config import CollectConfig
from distil.errors import Interrupted, UserError, WorkFailed
from distil.records import Answer, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.failures import Failure
from tests.collect.conftest import write_prompts
from tests.wire import openai as wire
from tests.wire.openai import OpenAIServer
from tests.wire.server import Seen, Trouble

Make = Callable[..., TeacherConfig]
FREE = CollectConfig(budget_usd=None)
FLEX = CollectConfig(budget_usd=None, tier="flex")


def texts(project: Project) -> list[str]:
    return [answer.text for answer in read_records(project.answers, Answer)]


def failures(project: Project) -> list[Failure]:
    return list(read_records(project.failures, Failure))


def when_it_answered(server: OpenAIServer, count: int, *signals: int) -> None:
    def press() -> None:
        while len(server.answered) < count:
            threading.Event().wait(0.005)
        for number in signals:
            os.kill(os.getpid(), number)
            threading.Event().wait(0.1)

    threading.Thread(target=press, daemon=True).start()


def test_pruning_the_ledger_loses_no_answer(project: Project, server: OpenAIServer, teacher: Make) -> None:
    stage.run(project, FREE, [teacher()])
    before = project.answers.read_bytes()
    with Ledger(project.ledger) as ledger:
        assert ledger.prune() == 12
    again = stage.run(project, FREE, [teacher()])
    assert (again.answers, again.failed, again.new) == (12, 0, 0) and project.answers.read_bytes() == before
    assert stage.run(project, FREE, [teacher()], rebuild=True).answers == 12
    assert stage.run(project, FREE, [teacher()], limit=2).answers == 12
    assert project.answers.read_bytes() == before and len(server.answered) == 12


def test_a_lost_answer_is_listed_and_not_paid_twice(project: Project, server: OpenAIServer, teacher: Make) -> None:
    stage.run(project, FREE, [teacher()], limit=5)
    with Ledger(project.ledger) as ledger:
        ledger.prune()
    project.answers.unlink()
    with pytest.raises(WorkFailed, match=r"does not have the other 12.*pruned from the ledger"):
        stage.run(project, FREE, [teacher()], rebuild=True)
    result = stage.run(project, FREE, [teacher()])
    assert (result.answers, result.failed, result.new) == (7, 5, 7) and len(server.answered) == 12
    assert {one.kind for one in failures(project)} == {"pruned"} and "restore" in failures(project)[0].why


def test_many_earlier_failures_do_not_stop_a_run(project: Project, server: OpenAIServer, teacher: Make) -> None:
    write_prompts(project, 60)
    bad = {f'"question {n}"'.encode() for n in range(30)}
    server.trouble_for = lambda seen: wire.TOO_LONG if any(word in seen.raw for word in bad) else None
    server.answer = lambda body: "yes"
    with pytest.raises(UserError, match="refuses every request"):  # nothing ever worked: it may be the settings
        stage.run(project, FREE, [teacher()])
    write_prompts(project, 61)
    project.prompts.write_text("".join(reversed(project.prompts.read_text().splitlines(keepends=True))))
    stage.run(project, FREE, [teacher()], limit=5)
    write_prompts(project, 61)
    result = stage.run(project, FREE, [teacher()])
    assert (result.answers, result.failed) == (31, 30)
    (reason,) = result.reasons
    assert reason.count == 30 and "30 x Prompt and max_tokens" in dict(result.rows())["  bad_request"]
    assert stage.run(project, FREE, [teacher()], only="failed").failed == 30


def test_twenty_answers_lost_to_reasoning_stop_the_run(project: Project, server: OpenAIServer, teacher: Make) -> None:
    write_prompts(project, 200)
    server.answer, server.finish_reason, server.reasoning_tokens = (lambda body: ""), "length", 50
    with pytest.raises(
        UserError, match=r"first 20 answers of openai/gpt-4o-mini are all empty.*raise sampling\.max_tok"
    ):
        stage.run(project, FREE, [teacher()])
    assert len(server.answered) < 40
    server.answer, server.finish_reason = (lambda body: "yes"), "stop"
    assert stage.run(project, FREE, [teacher(sampling=Sampling(max_tokens=500))]).answers == 200


def test_cached_answers_need_neither_key_nor_price(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run(project, FREE, [teacher()])
    monkeypatch.delenv("OPENAI_API_KEY")
    assert stage.run(project, FREE, [teacher(price=None)]).answers == 12
    with pytest.raises(UserError, match="export OPENAI_API_KEY="):
        stage.run(project, FREE, [teacher(sampling=Sampling(temperature=0))])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_waits_for_paid_answers(
    project: Project, server: OpenAIServer, teacher: Make, number: int
) -> None:
    server.delay_s = 0.3
    when_it_answered(server, 1, number)
    with pytest.raises(Interrupted, match="same command again"):
        stage.run(project, FREE, [teacher()])
    assert 0 < len(texts(project)) == len(server.answered) < 12
    result = stage.run(project, FREE, [teacher()])
    assert result.uncertain_requests == 0 and len(server.answered) == 12


def test_the_second_ctrl_c_stops_at_once(project: Project, server: OpenAIServer, teacher: Make) -> None:
    """What may have been paid for without an answer is counted as uncertain."""
    server.delay_s = 0.2
    server.trouble_for = lambda seen: Trouble(delay_s=20, after=True) if b"question 5" in seen.raw else None
    when_it_answered(server, 4, signal.SIGINT, signal.SIGINT)
    with pytest.raises(Interrupted, match="same command again"):
        stage.run(project, FREE, [teacher()])
    with Ledger(project.ledger) as ledger:
        assert ledger.uncertain("collect").requests >= 1
    server.trouble_for = None
    assert stage.run(project, FREE, [teacher()]).answers == 12


def test_a_full_flex_tier_can_fall_back_to_the_standard_price(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(seen: Seen) -> Trouble | None:
        return wire.SHED if b'"service_tier":"flex"' in seen.raw else None

    server.trouble_for = full
    monkeypatch.setattr("distil.calls.session.BACKOFF_S", 0.01)
    result = stage.run(project, FLEX.model_copy(update={"flex_full": "standard"}), [teacher()])
    assert (result.answers, result.failed) == (12, 0)
    with Ledger(project.ledger) as ledger:
        assert {(call.tier, call.price_input) for call in ledger.calls()} == {("standard", 1.0)}
    server.trouble_for = None
    assert stage.run(project, FLEX, [teacher()]).new == 0  # the same question, whatever was paid for it


def test_a_flex_tier_that_stays_full_names_the_setting(
    project: Project, server: OpenAIServer, teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.trouble_for = lambda seen: wire.SHED
    monkeypatch.setattr("distil.calls.session.BACKOFF_S", 0.01)
    monkeypatch.setattr("distil.calls.limits.outage.Breaker.given_up", property(lambda self: len(server.posts()) > 30))
    with pytest.raises(WorkFailed, match=r"flex tier of .* has had no room .*--set collect\.flex_full=standard"):
        stage.run(project, FLEX, [teacher()])


def test_a_forecast_over_the_cap_names_the_setting(project: Project, teacher: Make) -> None:
    low = stage.run(project, CollectConfig(budget_usd=0.0001), [teacher()], dry_run=True)
    assert "--set collect.budget_usd=" in dict(low.rows())["over the cap"]
    pair = stage.run(project, CollectConfig(budget_usd=9), [teacher(), teacher("openai/gpt-5-mini")], dry_run=True)
    rows = dict(pair.rows())
    assert rows["total"].startswith("about $") and rows["spent so far"] == "$0; the cap is $9.00"
    assert "over the cap" not in rows


def test_one_model_with_two_samplings_shares_its_limits(
    project: Project, server: OpenAIServer, teacher: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Entries of one model may differ in nothing but the sampling."""
    cold, warm = teacher(sampling=Sampling(temperature=0)), teacher(sampling=Sampling(temperature=1))
    assert stage.run(project, CollectConfig(samples=2, budget_usd=None), [cold, warm]).answers == 48
    assert "at temperature 0" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"is listed twice in distil\.yaml with different limits and attempts"):
        stage.run(project, FREE, [cold, teacher(limits={"concurrency": 9}, attempts=7)])


@pytest.mark.parametrize("pasted", ["sk-proj-0123456789abcdef", "AIzaSyAbcdefghij0123456789"])
def test_a_key_in_the_config_is_refused_and_not_repeated(project: Project, teacher: Make, pasted: str) -> None:
    with pytest.raises(UserError, match="not the name of an environment variable") as caught:
        stage.run(project, FREE, [teacher(api_key_env=pasted)])
    assert pasted not in str(caught.value)


def test_an_address_with_a_password_is_refused_and_not_repeated(project: Project, teacher: Make) -> None:
    for fields in (
        {"model": "http://me:hunter2@127.0.0.1:9/v1#m"},
        {"base_urls": ["http://127.0.0.1:9/v1?key=hunter2"]},
    ):
        with pytest.raises(UserError, match="may not contain a secret") as caught:
            stage.run(project, FREE, [teacher(**fields)])
        assert "hunter2" not in str(caught.value)
