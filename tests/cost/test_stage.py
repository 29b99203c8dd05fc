"""`distil cost` over a ledger: the bill before, the bill after, and what is said when something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.calls.ledger.store import Ledger, Recorded
from distil.cost.config import CostConfig, StudentHost
from distil.cost.stage import run
from distil.cost.student_tokens import count_for
from distil.errors import UserError
from distil.models.template import TemplateSettings, prepare
from distil.records import Answer, Call, Example, Message, Prompt, Sampling, Usage
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json, write_records
from tests.report.sample import calibration
from tests.tiny import tiny_tokenizer

TEACHER = TeacherConfig(model="http://127.0.0.1:1/v1#teacher", price=Price(input=30.0, output=60.0))


def ledger_with(project: Project, calls: int, purpose: str = "collect") -> None:
    with Ledger(project.ledger) as ledger:
        ledger.record(
            [
                Recorded(
                    f"{purpose}-{i}",
                    purpose,
                    TEACHER.model,
                    b"{}",
                    b"{}",
                    Usage(input_tokens=900 + i, output_tokens=100),
                    usd=0.033,
                )
                for i in range(calls)
            ]
        )


def test_a_month_is_priced_from_the_ledgers_tokens(tmp_path: Path) -> None:
    project = Project(tmp_path)
    ledger_with(project, 11)
    ledger_with(project, 2, purpose="serve")
    summary = run(project, CostConfig(student_host=StudentHost(input=0.1, output=0.2), training_usd=200), [TEACHER])
    assert summary.traffic.measured_calls == 13
    assert summary.one_time_usd == pytest.approx(11 * 0.033 + 200)
    per_request = (summary.traffic.input_tokens * 30 + 100 * 60) / 1e6
    assert summary.teacher_month_usd == pytest.approx(1_000_000 * per_request)
    assert summary.teacher_month_error_usd > 0
    alone, mixed = summary.options[1], summary.options[2]
    assert alone.payback == "under a day" and alone.total_usd == alone.student_usd
    assert mixed.coverage == 0.7 and mixed.coverage_source == "what-if"
    assert mixed.teacher_usd == pytest.approx(0.3 * summary.teacher_month_usd)
    assert json.loads((project.stage("cost") / "summary.json").read_text())["teacher"] == TEACHER.model


def test_without_a_host_the_students_cost_is_open_and_never_zero(tmp_path: Path) -> None:
    project = Project(tmp_path)
    ledger_with(project, 3)
    summary = run(project, CostConfig(), [TEACHER])
    assert summary.options[1].total_usd is None and summary.options[1].payback == "unknown"
    assert any("student_host.usd_per_hour" in w for w in summary.warnings)


def test_a_machine_without_a_known_speed_says_what_to_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    ledger_with(project, 3)
    summary = run(project, CostConfig(student_host=StudentHost(usd_per_hour=0.6)), [TEACHER])
    assert any("distil evaluate" in w for w in summary.warnings)
    known = run(project, CostConfig(student_host=StudentHost(usd_per_hour=0.6, tokens_per_second=5000)), [TEACHER])
    assert known.options[1].student_usd == pytest.approx(0.6 * 730)


def test_without_calls_the_token_counts_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cost.input_tokens"):
        run(Project(tmp_path), CostConfig(), [TEACHER])
    given = run(Project(tmp_path), CostConfig(input_tokens=1000, output_tokens=0), [TEACHER])
    assert given.teacher_month_usd == pytest.approx(30_000)


def test_an_unknown_price_is_requested_and_never_zero(tmp_path: Path) -> None:
    unpriced = TeacherConfig(model="http://127.0.0.1:1/v1#unknown-model")
    with pytest.raises(UserError, match="price"):
        run(Project(tmp_path), CostConfig(input_tokens=1, output_tokens=1), [unpriced])


def test_a_calibrated_coverage_is_used(tmp_path: Path) -> None:
    project = Project(tmp_path)
    ledger_with(project, 3)
    write_json(project.calibration("small"), calibration("small", coverage=0.9).model_dump(mode="json"))
    summary = run(project, CostConfig(student_host=StudentHost(input=1, output=1)), [TEACHER], name="small")
    assert (summary.options[2].coverage, summary.options[2].coverage_source) == (0.9, "calibrated")


@pytest.mark.parametrize("prompt", [None, "", "Sort it."])
def test_a_baked_prompt_makes_the_students_requests_shorter(prompt: str | None, tmp_path: Path) -> None:
    project = Project(tmp_path)
    tokenizer = tiny_tokenizer()
    if prompt is not None:
        prepare(tokenizer, TemplateSettings(prompt=prompt))
    tokenizer.save_pretrained(project.model("small"))
    rules = "You sort messages of customers. " * 40
    messages = [Message(role="system", content=rules), Message(role="user", content="Where is my parcel?")]
    asked = Prompt.make(messages)
    write_records(project.prompts, [asked])
    answer = Answer(
        id="a",
        prompt_id=asked.id,
        teacher=TEACHER.model,
        sampling=Sampling(),
        text="parcel",
        finish_reason="stop",
        call_id="c",
    )
    write_records(project.answers, [answer])
    usage, when = Usage(input_tokens=400, output_tokens=2), "2026-01-31T00:00:00Z"
    call = Call(id="c", purpose="collect", model=TEACHER.model, usage=usage, usd=0.01, status="answered", created=when)
    counted = count_for(project, "small", [call])
    assert counted is not None
    whole, short = (sum(len(tokenizer(text)["input_ids"]) for text in texts) for texts in ((rules,), (prompt or "",)))
    question = len(tokenizer("Where is my parcel?")["input_ids"])
    wanted = question + 4 + (whole + 4 if prompt is None else short + 4 if prompt else 0)
    assert counted.inputs == pytest.approx(wanted / 400)
    assert ("baked in: student.prompt" in counted.how) == (prompt is not None)


@pytest.mark.parametrize("thinks", [False, True])
def test_a_student_that_thinks_writes_its_thinking_too(thinks: bool, tmp_path: Path) -> None:
    project = Project(tmp_path)
    tokenizer = tiny_tokenizer()
    prepare(tokenizer, TemplateSettings(args={"enable_thinking": thinks}))
    tokenizer.save_pretrained(project.model("small"))
    prompts = [Prompt.make([Message(role="user", content=text)]) for text in ("Where is it?", "Where was it?")]
    answers = [
        Answer(
            id=prompt.id,
            prompt_id=prompt.id,
            teacher=TEACHER.model,
            sampling=Sampling(),
            text="parcel",
            reasoning="It is lost.",
            finish_reason="stop",
            call_id="c",
        )
        for prompt in prompts
    ]
    write_records(project.prompts, prompts)
    write_records(project.answers, answers)
    kept = [
        Example.of(prompts[0], answers[0], "train", reasoning="It is lost."),
        Example.of(prompts[1], answers[1], "train"),
    ]
    write_records(project.split("train"), kept)
    usage, when = Usage(input_tokens=9, output_tokens=9, reasoning_tokens=5), "2026-01-31T00:00:00Z"
    call = Call(id="c", purpose="collect", model=TEACHER.model, usage=usage, usd=0.01, status="answered", created=when)
    counted = count_for(project, "small", [call])
    said = len(tokenizer("It is lost.parcel" if thinks else "parcel", add_special_tokens=False)["input_ids"]) + 1
    assert counted is not None and counted.outputs == pytest.approx(said / 4)
    assert ("the student's with its own" in counted.how) == thinks
