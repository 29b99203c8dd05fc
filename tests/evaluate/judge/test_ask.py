"""The judge over a real wire on loopback: schema or not, repeats, a dead judge, the budget, orders inside answers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.errors import UserError
from distil.evaluate.judge import Judged, Pair, Settings, run
from distil.judging.asking import check
from distil.records import Sampling
from tests.tiny import tiny_examples
from tests.wire.anthropic import KEY, AnthropicServer
from tests.wire.openai import SERVER_ERROR, OpenAIServer, error
from tests.wire.server import Seen, Trouble

PAIRS = [Pair(example, "student text", example.answer) for example in tiny_examples(8, "test")]
NO_SCHEMA = error(400, None, "This model does not support response_format json_schema.", param="response_format")


def judge_of(server: OpenAIServer, **changes: Any) -> TeacherConfig:
    settings: dict[str, Any] = {
        "model": f"{server.url}#gpt-4o-mini",
        "price": Price(input=1.0, output=1.0),
        "attempts": 2,
    }
    return TeacherConfig(**(settings | changes))


def student_wins(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    user = content if isinstance(content, str) else content[0]["text"]
    return json.dumps({"reason": "x", "better": "A" if "student text" in user.split("<answer_B")[0] else "B"})


def judged(tmp_path: Path, judge: TeacherConfig, *, budget: float | None = None, **settings: Any) -> Judged:
    return run(tmp_path / "ledger.sqlite", Settings(judge, **settings), PAIRS, student="me", budget_usd=budget)


def test_a_judge_with_structured_output_is_asked_for_it(tmp_path: Path) -> None:
    with OpenAIServer(key=None, answer=student_wins) as server:
        first = judged(tmp_path, judge_of(server))
        again = judged(tmp_path, judge_of(server))
        bodies = server.answered
    assert len(bodies) == 16
    assert {body["response_format"]["json_schema"]["name"] for body in bodies} == {"verdict"}
    assert first.summary.usable and first.summary.wins == 8 and first.notes == ()
    assert first.summary.usd > 0 and again.summary.usd == 0
    assert again.scores == first.scores


def test_a_reached_cap_hides_no_judgment_that_is_paid(tmp_path: Path) -> None:
    with OpenAIServer(key=None, answer=student_wins) as server:
        settings, ledger = Settings(judge_of(server)), tmp_path / "ledger.sqlite"
        paid = run(ledger, settings, PAIRS[4:], student="me", budget_usd=None).summary.usd
        found = run(ledger, settings, PAIRS, student="me", budget_usd=paid)
        assert len(server.answered) == 8
    assert found.summary.wins == 4 and found.summary.usd == 0
    assert "8 of 16 were not answered" in found.notes[0] and "evaluate.budget_usd" in found.notes[0]


def test_a_judge_that_takes_no_schema_is_asked_without(tmp_path: Path) -> None:
    def refuse(seen: Seen) -> Trouble | None:
        return NO_SCHEMA if seen.body and "response_format" in seen.body else None

    with OpenAIServer(key=None, answer=student_wins) as server:
        server.trouble_for = refuse
        found = judged(tmp_path, judge_of(server))
        assert len(server.answered) == 16
        assert not any("response_format" in body for body in server.answered)
    assert found.summary.wins == 8 and found.notes == ()


def test_anthropic_gets_the_bare_schema(tmp_path: Path) -> None:
    with AnthropicServer(answer=student_wins) as server:
        judge = TeacherConfig(
            model="anthropic/claude-haiku-4-5", base_urls=[server.url], price=Price(input=1, output=1), attempts=1
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANTHROPIC_API_KEY", KEY)
            found = judged(tmp_path, judge)
        body = server.posts()[0].body
    assert body["output_config"]["format"]["schema"]["properties"]["better"]["enum"] == ["A", "B", "tie"]
    assert found.summary.wins == 8


def test_a_judge_that_fails_on_every_call_is_left_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with OpenAIServer(key=None) as server:
        server.trouble_for = lambda seen: SERVER_ERROR
        found = judged(tmp_path, judge_of(server))
        assert len(server.posts()) == 6
    assert time.monotonic() - started < 30
    assert found.summary.replies.failed == 16 and not found.summary.usable
    assert "read 0 of 8 pairs (100% of its replies missing): no conclusion is drawn" in found.summary.sentence
    assert "failed on its first 3 questions" in found.notes[0] and "the other 13 were not sent" in found.notes[0]
    assert "The server had an error" in found.notes[0]


def test_a_judge_that_can_t_be_reached_leaves_a_note(tmp_path: Path) -> None:
    with OpenAIServer(key=None) as server:
        judge = judge_of(server, attempts=8)
    found = judged(tmp_path, judge)
    assert found.summary.replies.failed == 16 and found.notes


def test_a_hiccup_of_the_first_questions_stops_nothing(tmp_path: Path) -> None:
    with OpenAIServer(key=None, answer=student_wins, troubles=[SERVER_ERROR, SERVER_ERROR]) as server:
        found = judged(tmp_path, judge_of(server, attempts=1))
    assert found.summary.wins >= 7 and found.summary.replies.failed == 0


def test_the_budget_s_end_names_its_setting(tmp_path: Path) -> None:
    with OpenAIServer(key=None, answer=student_wins) as server:
        found = judged(tmp_path, judge_of(server), budget=0.004)
        assert 0 < len(server.answered) < 16
    assert "--set evaluate.budget_usd=" in found.notes[0]
    assert found.summary.replies.failed == 16 - len(server.answered)
    assert f"read {found.summary.read} of 8 pairs" in found.summary.sentence


def test_an_unknown_price_names_the_model_and_no_teacher(tmp_path: Path) -> None:
    judge = TeacherConfig(model="http://127.0.0.1:9/v1#nobody")
    with pytest.raises(UserError, match=r"price of .*#nobody is unknown") as raised:
        check(tmp_path / "ledger.sqlite", judge)
    assert "teacher" not in str(raised.value)


def test_repeats_are_separate_calls_and_show_the_noise(tmp_path: Path) -> None:
    count = [0]

    def fickle(body: dict[str, Any]) -> str:
        count[0] += 1
        return student_wins(body) if count[0] % 3 else '{"reason": "x", "better": "tie"}'

    with OpenAIServer(key=None, answer=fickle) as server:
        judge = judge_of(server, sampling=Sampling(temperature=0.8))
        found = judged(tmp_path, judge, repeats=3)
        judged(tmp_path, judge, repeats=3)
        assert len(server.answered) == 48
        assert {body["temperature"] for body in server.answered} == {0.8}
    assert found.summary.repeats_disagree is not None and found.summary.repeats_disagree > 0


def test_rubric_scores_go_over_the_same_wire(tmp_path: Path) -> None:
    def scores(body: dict[str, Any]) -> str:
        return json.dumps({"reason": "x", "score": 3 if "student text" in body["messages"][-1]["content"] else 5})

    with OpenAIServer(key=None, answer=scores) as server:
        found = judged(tmp_path, judge_of(server), mode="rubric")
        assert len(server.answered) == 16
    assert found.summary.rubric is not None and found.summary.rubric.difference.mean == -0.5
