"""Half price: batches and the flex tier in a whole collection, and switching between them and live without paying twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.collect import stage
from distil.collect.config import CollectConfig
from distil.collect.questions import tier_of
from distil.errors import BudgetReached, UserError
from distil.records import Answer, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.failures import Failure
from tests.collect.conftest import write_prompts
from tests.wire import openai as wire
from tests.wire.anthropic import AnthropicServer
from tests.wire.openai import OpenAIServer, last_words
from tests.wire.server import Seen, Trouble, hang

Make = Callable[..., TeacherConfig]
BATCH = CollectConfig(batch=True, budget_usd=None)
LIVE = CollectConfig(budget_usd=None)


def texts(project: Project) -> list[str]:
    return [answer.text for answer in read_records(project.answers, Answer)]


def test_a_batch_costs_half_and_live_runs_reuse_it(project: Project, server: OpenAIServer, teacher: Make) -> None:
    result = stage.run(project, BATCH, [teacher()])
    assert (result.answers, result.new, result.failed) == (12, 12, 0)
    assert texts(project) == [f"An answer to: question {n}" for n in range(12)]
    with Ledger(project.ledger) as ledger:
        assert {(call.tier, call.price_input) for call in ledger.calls()} == {("batch", 0.5)}
    live = stage.run(project, LIVE, [teacher()])
    assert live.new == 0 and not server.posts("/chat/completions") and len(server.answered) == 12


def test_a_late_answer_is_asked_for_twice_if_so_configured(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    write_prompts(project, 80)
    seen = set[str]()

    def once_late(request: Seen) -> Trouble | None:
        words = last_words(request.body)
        first = words not in seen
        seen.add(words)
        return hang(20.0) if words == "question 70" and first else None

    server.trouble_for = once_late
    result = stage.run(project, LIVE.model_copy(update={"hedge": 4.0}), [teacher()])
    assert (result.answers, result.failed) == (80, 0) and len(server.posts()) == 81
    assert result.uncertain_requests == 1, "the first one was cut off"
    assert texts(project) == [f"An answer to: question {n}" for n in range(80)]


def test_live_answers_are_not_bought_again_in_a_batch(project: Project, server: OpenAIServer, teacher: Make) -> None:
    stage.run(project, LIVE, [teacher()], limit=5)
    assert stage.run(project, BATCH, [teacher()]).new == 7
    assert len(server.answered) == 12
    assert stage.run(project, BATCH, [teacher()]).new == 0 and len(server.posts("/batches")) == 1


def test_a_live_run_first_fetches_an_open_batch(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.desk.looks_until_done = 1
    server.trouble_for = lambda seen: wire.error(401, "invalid_api_key", "no") if seen.method == "GET" else None
    with pytest.raises(UserError):  # the batch was created, and then the run died
        stage.run(project, BATCH, [teacher()], limit=8)
    server.trouble_for = None
    result = stage.run(project, LIVE, [teacher()])
    assert result.answers == 12 and len(server.answered) == 12
    assert len(server.posts("/chat/completions")) == 4


def died_with_an_open_batch(project: Project, server: OpenAIServer, teacher: Make, limit: int = 8) -> None:
    server.trouble_for = lambda seen: wire.error(401, "invalid_api_key", "no") if seen.method == "GET" else None
    with pytest.raises(UserError):
        stage.run(project, BATCH, [teacher()], limit=limit)
    server.trouble_for = None


def test_a_batch_of_a_teacher_that_left_blocks_nobody(
    project: Project, server: OpenAIServer, teacher: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    died_with_an_open_batch(project, server, teacher)
    result = stage.run(project, LIVE, [teacher("openai/gpt-5-mini")])
    assert result.answers == 12 and "`distil batches forget ID`" in capsys.readouterr().err


def test_a_gone_batch_is_asked_again_live(
    project: Project, server: OpenAIServer, teacher: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """bespokelabsai/curator#231, and the trial's bug 11: every later collect stopped with "knows no model"."""
    died_with_an_open_batch(project, server, teacher)
    server.desk.batches.clear()
    result = stage.run(project, LIVE, [teacher()])
    said = capsys.readouterr().err
    assert result.answers == 12 and len(server.posts("/chat/completions")) == 12
    assert result.uncertain_requests == 8 and "any more" in said and "8 of its 8 requests" in said


def test_a_batch_that_cant_be_fetched_blocks_no_live_request(
    project: Project, server: OpenAIServer, teacher: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its prompts are left out and listed; the others are answered, and nothing is paid for twice."""
    died_with_an_open_batch(project, server, teacher)
    server.trouble_for = lambda seen: wire.error(400, "odd", "no such thing") if seen.method == "GET" else None
    result = stage.run(project, LIVE, [teacher()])
    assert result.answers == 4 and result.failed == 8 and len(server.posts("/chat/completions")) == 4
    assert "left out of this run" in capsys.readouterr().err
    assert {failure.kind for failure in list(read_records(project.failures, Failure))} == {"batch"}
    assert all("`distil batches` shows it" in failure.why for failure in list(read_records(project.failures, Failure)))
    server.trouble_for = None
    server.desk.looks_until_done = 1
    assert stage.run(project, LIVE, [teacher()]).answers == 12 and len(server.answered) == 12


def test_a_cancelled_batch_is_not_sent_live_either(project: Project, server: OpenAIServer, teacher: Make) -> None:
    died_with_an_open_batch(project, server, teacher)
    (batch,) = server.desk.batches.values()
    server.desk.stop(batch, 2)
    result = stage.run(project, LIVE, [teacher()])
    assert result.answers == 6 and result.failed == 6 and len(server.answered) == 6
    assert all(
        "`distil batches forget batch_1`" in failure.why for failure in list(read_records(project.failures, Failure))
    )


def test_rows_that_fail_in_batches_are_listed_not_sent_live(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    server.desk.fail.add("question 7")
    result = stage.run(project, BATCH, [teacher()])
    assert (result.answers, result.failed) == (11, 1) and not server.posts("/chat/completions")
    (failure,) = read_records(project.failures, Failure)
    assert failure.kind == "batch" and "500" in failure.why
    server.desk.fail.clear()
    assert stage.run(project, BATCH, [teacher()], only="failed").answers == 12


def test_an_empty_answer_in_a_batch_is_retried_in_a_batch(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    asked: list[str] = []

    def sometimes(body: dict[str, object]) -> str:
        asked.append(last_words(body))
        return "" if asked[-1] == "question 5" and asked.count("question 5") == 1 else "yes"

    server.answer = sometimes
    result = stage.run(project, BATCH, [teacher()])
    assert result.answers == 12 and len(server.posts("/batches")) == 2 and not server.posts("/chat/completions")


def test_the_budget_holds_for_batches_and_answers_are_kept(
    project: Project, server: OpenAIServer, teacher: Make
) -> None:
    with pytest.raises(BudgetReached):
        stage.run(project, CollectConfig(batch=True, budget_usd=0.0003), [teacher()])
    had = len(texts(project))
    assert 0 < had < 12
    with Ledger(project.ledger) as ledger:
        assert ledger.spent() <= 0.0003
    assert stage.run(project, BATCH, [teacher()]).answers == 12 and len(server.answered) == 12


def test_an_ensemble_can_mix_batches_of_two_vendors(
    project: Project, server: OpenAIServer, claude: AnthropicServer, teacher: Make
) -> None:
    other = teacher("anthropic/claude-haiku-4-5", base_urls=[claude.url])
    result = stage.run(project, BATCH, [teacher(), other])
    assert result.answers == 24 and len(claude.batches) == 1 and len(server.desk.batches) == 1
    assert stage.run(project, LIVE, [teacher(), other]).new == 0


def test_flex_answers_are_priced_as_flex_and_reused(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.troubles.extend([wire.SHED, None, wire.SHED])
    result = stage.run(project, CollectConfig(tier="flex", budget_usd=None), [teacher()])
    assert result.answers == 12 and {body.get("service_tier") for body in server.answered} == {"flex"}
    with Ledger(project.ledger) as ledger:
        assert {(call.tier, call.price_input) for call in ledger.calls()} == {("flex", 0.5)}
    assert stage.run(project, LIVE, [teacher()]).new == 0


def test_the_cheapest_tier_depends_on_the_teacher() -> None:
    def tier(model: str, price: Price | None = None) -> str:
        return tier_of(TeacherConfig(model=model, price=price), "cheapest")

    half = Price(input=1, output=2, batch_factor=0.5)
    assert tier("openai/gpt-x", half) == "batch"
    assert tier("openai/gpt-x", Price(input=1, output=2, batch_factor=0.5, flex_factor=0.5)) == "flex"
    assert tier("http://127.0.0.1:1/v1#m", half) == "standard"  # no batch API there
    assert tier("openai/gpt-x", Price(input=1, output=2)) == "standard"
    assert tier("recorded/x.jsonl") == tier("bundled/teacher") == "standard"
    assert tier("anthropic/claude-haiku-4-5") == "batch"  # from the price table


def test_a_batch_is_refused_without_a_batch_api() -> None:
    with pytest.raises(UserError, match=r"collect\.tier: cheapest"):
        tier_of(TeacherConfig(model="deepseek/deepseek-chat"), "batch")


def test_anthropic_is_collected_live_too(project: Project, claude: AnthropicServer, teacher: Make) -> None:
    other = teacher("anthropic/claude-haiku-4-5", base_urls=[claude.url], sampling=Sampling(max_tokens=20))
    result = stage.run(project, LIVE, [other])
    assert result.answers == 12 and "Anthropic" in result.terms[0]


def test_a_cap_that_splits_batches_is_announced(
    project: Project, server: OpenAIServer, teacher: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anyone waits a day for the first of several batches."""
    stage.run(project, BATCH.model_copy(update={"budget_usd": 0.0008}), [teacher()])
    output = capsys.readouterr().err
    assert output.count("requests fit into this batch") == 1 and "A higher collect.budget_usd" in output
    assert len(server.desk.batches) > 1


def test_a_forecast_counts_requests_in_open_batches(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.trouble_for = lambda seen: wire.error(401, "invalid_api_key", "no") if seen.method == "GET" else None
    with pytest.raises(UserError):  # the batch was created, and then the run died
        stage.run(project, BATCH, [teacher()], limit=8)
    result = stage.run(project, BATCH, [teacher()], dry_run=True)
    assert "12 of 12 to ask (batch; 8 of them are in a batch already)" in dict(result.rows())["openai/gpt-4o-mini"]
