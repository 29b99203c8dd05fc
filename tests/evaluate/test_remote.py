"""The teacher asked again and the judge, over a real wire on loopback: paid once, capped, and never in the way of the rest."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from distil.calls.config import Limits, Price, TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.errors import Interrupted, UserError
from distil.evaluate import local, stage
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.predictions import Predictions, _add_ceiling
from distil.models.config import StudentConfig
from distil.records import Prediction, Sampling, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.notes import EvaluateNotes
from distil.runs.schemas.summary import Summary
from tests.tiny import save_tiny, write_tiny_splits
from tests.wire.openai import OpenAIServer
from tests.wire.server import Trouble

SECTION = EvaluateConfig(
    metrics=["field_agreement", "exact_match", "rouge_l"], baseline=False, latency_prompts=1, limit=8
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "task")
    write_tiny_splits(made, test=8)
    save_tiny(made.model("one"), seed=1)
    return made


def teacher(server: OpenAIServer, **changes: Any) -> TeacherConfig:
    settings: dict[str, Any] = {
        "model": f"{server.url}#gpt-4o-mini",
        "sampling": Sampling(temperature=0.7, max_tokens=6),
        "price": Price(input=1.0, output=1.0),
        "attempts": 1,
    }
    return TeacherConfig(**(settings | changes))


def evaluate(project: Project, asked: TeacherConfig, **changes: Any) -> Summary:
    section = SECTION.model_copy(update=changes)
    return stage.run(project, section, name="one", teachers=[asked], student=StudentConfig(model="bundled/student"))


def same_order(body: dict[str, Any]) -> str:
    """The teacher's own answer to a tiny prompt (tests.tiny), so that the ceiling is 1."""
    number = body["messages"][-1]["content"].split()[2]
    return json.dumps({"intent": "refund", "order": int(number)})


def test_the_teachers_second_answers_are_paid_once(project: Project) -> None:
    with OpenAIServer(key=None, answer=same_order) as server:
        first = evaluate(project, teacher(server))
        assert len(server.answered) == 8
        again = evaluate(project, teacher(server))
        assert len(server.answered) == 8
    assert first.models["ceiling"]["exact_match"].mean == 1.0
    assert first.usd > 0 and again.usd == 0
    assert {d.versus for d in first.differences} == {"ceiling"}
    assert first.speed["teacher"].where == "remote"
    rows = read_records(project.stage("evaluate", "one") / "predictions.jsonl", Prediction)
    assert sum(row.model == "ceiling" and row.sample == 1 for row in rows) == 8


def test_one_failed_second_answer_is_left_out_and_noted(project: Project) -> None:
    with OpenAIServer(key=None, answer=same_order) as server:
        server.troubles.append(Trouble(400, {"error": {"message": "no", "type": "invalid_request_error"}}))
        summary = evaluate(project, teacher(server))
    assert summary.models["ceiling"]["exact_match"].n == 7
    assert any("1 of 8 were not answered" in note for note in summary.notes)


def test_a_teacher_that_is_gone_costs_only_the_ceiling(project: Project) -> None:
    with OpenAIServer(key=None) as server:
        asked = teacher(server)
    summary = evaluate(project, asked)
    assert "ceiling" not in summary.models
    assert "one" in summary.models
    assert summary.notes


def test_the_cap_holds_and_what_was_answered_counts(project: Project) -> None:
    with OpenAIServer(key=None, answer=same_order) as server:
        summary = evaluate(project, teacher(server), budget_usd=0.0)
        assert server.answered == []
    assert "ceiling" not in summary.models
    assert any("not answered" in note or "missing" in note for note in summary.notes)


@pytest.mark.parametrize("judged", [False, True], ids=["ceiling", "judge"])
def test_a_ctrl_c_waits_for_what_is_in_flight(project: Project, judged: bool) -> None:
    """Nothing that came home is booked as possibly paid twice, and the next run pays only for what is missing."""
    answer = (lambda body: '{"better": "tie"}') if judged else same_order
    with OpenAIServer(key=None, answer=answer) as server:
        server.delay_s = 0.3
        asked = teacher(server, limits=Limits(concurrency=2))
        changes: dict[str, Any] = {"ceiling": False, "judge": asked} if judged else {}

        def press() -> None:
            while not server.answered:
                threading.Event().wait(0.005)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press, daemon=True).start()
        with pytest.raises(Interrupted, match="same command again"):
            evaluate(project, asked, **changes)
        count = 16 if judged else 8
        assert 0 < len(server.answered) < count
        with Ledger(project.ledger) as ledger:
            assert ledger.uncertain("judge" if judged else "evaluate").requests == 0
            assert len(ledger.answered()) == len(server.answered)
        server.delay_s = 0.0
        evaluate(project, asked, **changes)
        assert len(server.answered) == count


def test_the_judge_is_asked_in_both_orders_over_the_same_wire(project: Project) -> None:
    def first_slot(body: dict[str, Any]) -> str:
        return json.dumps({"reason": "A came first", "better": "A"})

    with OpenAIServer(key=None, answer=first_slot) as server:
        summary = evaluate(project, teacher(server), ceiling=False, judge=teacher(server))
        assert len(server.answered) == 16
    judged = summary.judge
    assert judged is not None and judged.win_rate is not None and judged.first_slot is not None
    assert (judged.win_rate.mean, judged.consistency, judged.first_slot.mean, judged.usable) == (0.5, 0.0, 1.0, False)
    assert "No conclusion is drawn: the judge always names the answer shown first" in str(summary)


def test_rubric_scores_of_both_models_are_stored(project: Project) -> None:
    def scores(body: dict[str, Any]) -> str:
        return json.dumps({"reason": "x", "score": 5 if '"intent"' in body["messages"][-1]["content"] else 2})

    with OpenAIServer(key=None, answer=scores) as server:
        asked = teacher(server)
        summary = evaluate(project, asked, ceiling=False, judge=asked, judge_mode="rubric", judge_rubric="right?")
    assert summary.judge is not None and summary.judge.mode == "rubric" and summary.judge.win_rate is None
    rows = [row for row in read_records(project.scores("one"), Score) if row.metric == "judge_rubric"]
    assert {row.model for row in rows} == {"one", "teacher"} and len(rows) == 16
    assert {row.value for row in rows if row.model == "teacher"} == {1.0}
    assert "By the rubric the student scores" in str(summary)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"judge_rubric": "right?"}, "judge_mode is pairwise"),
        ({"judge_rubric": ["right?"], "judge_mode": "rubric"}, "two are the least"),
        ({"judge_rubric": ["right?", " "], "judge_mode": "rubric"}, "has an empty text"),
        ({"judge_repeats": 0}, "greater than or equal to 1"),
    ],
)
def test_judge_settings_that_do_not_fit_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        EvaluateConfig(**keys)


def test_a_judge_without_a_key_fails_before_any_work(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(local, "answer", None)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        evaluate(
            project,
            TeacherConfig(model="openai/gpt-4o-mini"),
            ceiling=False,
            judge=TeacherConfig(model="openai/gpt-4o-mini"),
        )


def whole(project: Project) -> bool:
    return EvaluateNotes.of(read_manifest(project, "evaluate", "one")).complete


def test_a_judge_that_met_its_cap_leaves_it_incomplete(project: Project) -> None:
    with OpenAIServer(key=None, answer=lambda body: '{"better": "tie"}') as server:
        judge = teacher(server)
        summary = evaluate(project, judge, ceiling=False, judge=judge, budget_usd=0.0)
        assert server.answered == [] and not whole(project)
        assert [line for line in summary.missing if line.startswith("Judge: ") and "16 of 16" in line]
        summary = evaluate(project, judge, ceiling=False, judge=judge, budget_usd=5.0)
        assert len(server.answered) == 16 and whole(project) and summary.missing == []


def test_a_capped_file_of_answers_can_give_more(project: Project, tmp_path: Path) -> None:
    rows = [
        json.dumps(
            {"messages": [m.model_dump(mode="json", exclude_none=True) for m in e.prompt_messages], "output": "x"}
        )
        for e in read_examples(project.split("test"))
    ]
    path = tmp_path / "twice.jsonl"
    path.write_text("\n".join(row for row in rows for _ in range(2)) + "\n")
    recorded = TeacherConfig(model=f"recorded/{path}", price=Price(input=1.0, output=1.0))
    assert evaluate(project, recorded, budget_usd=0.0).missing and not whole(project)
    assert not evaluate(project, recorded, budget_usd=None).missing and whole(project)


def test_a_file_without_second_answers_has_no_more(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text(json.dumps({"prompt": "another", "output": "x"}) + "\n")
    recorded = TeacherConfig(model=f"recorded/{path}", price=Price(input=1.0, output=1.0))
    assert evaluate(project, recorded).missing and whole(project)


def test_the_ceiling_hides_no_gap_before_it(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text(json.dumps({"prompt": "another", "output": "x"}) + "\n")
    recorded = TeacherConfig(model=f"recorded/{path}", price=Price(input=1.0, output=1.0))
    found = Predictions({"teacher": []}, complete=False)
    _add_ceiling(found, project.ledger, None, list(read_examples(project.split("test"))), [recorded])
    assert not found.complete
