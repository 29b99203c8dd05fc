"""The ways side by side: tried first and routed before at every share, break-even, and what a verdict does not allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.cost.config import CostConfig, StudentHost
from distil.cost.latency import latencies
from distil.cost.stage import run
from distil.records import Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json, write_records
from distil.runs.schemas.cost import CostSummary
from distil.runs.schemas.summary import Summary, read_summary
from tests.cost.test_stage import TEACHER, ledger_with
from tests.report.sample import calibration, make_project

ARTICLE = TeacherConfig(model="http://127.0.0.1:1/v1#teacher", price=Price(input=30, output=30))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """An evaluation's summary, to be changed."""
    project = make_project(
        tmp_path_factory.mktemp("sample"), train=40, test=20, students=("small",), right={"small": 0.9}
    )
    return read_summary(project.summary("small"))


def priced(folder: Path, **changes: object) -> CostSummary:
    """The article's month: 1M requests of 1,000 tokens, $30 and $2 per million."""
    section = CostConfig.model_validate(
        {"input_tokens": 1_000, "output_tokens": 0, "student_host": {"input": 2, "output": 2}, "training_usd": 700}
        | changes
    )
    return run(Project(folder), section, [ARTICLE])


def test_the_articles_month_in_all_ways(tmp_path: Path) -> None:
    told = priced(tmp_path)
    ways = {(o.name, o.routing): (o.total_usd, o.saving_usd, o.payback) for o in told.options}
    assert ways["teacher only", ""][0] == pytest.approx(30_000)
    assert ways["student alone", ""] == (pytest.approx(2_000), pytest.approx(28_000), "under a day")
    assert ways["student + teacher", "tried first"][:2] == (pytest.approx(11_000), pytest.approx(19_000))
    assert ways["student + teacher", "routed before"][:2] == (pytest.approx(10_400), pytest.approx(19_600))
    assert [s.tried_first_usd for s in told.shares][::5] == [pytest.approx(x) for x in (32_000, 17_000, 2_000)]
    assert [s.routed_before_usd for s in told.shares][::5] == [pytest.approx(x) for x in (30_000, 16_000, 2_000)]
    assert told.break_even_queries is None  # by the token, volume changes nothing


def test_machines_pay_from_a_volume_on(tmp_path: Path) -> None:
    host = {"usd_per_hour": 1.0, "tokens_per_second": 100_000}
    told = priced(tmp_path, student_host=host, coverage=0.7)
    assert told.break_even_queries == pytest.approx(730 / (0.7 * 0.03), rel=0.001)
    below = priced(tmp_path, student_host=host, coverage=0.7, queries_per_month=told.break_even_queries - 50)
    above = priced(tmp_path, student_host=host, coverage=0.7, queries_per_month=told.break_even_queries + 50)
    savings = [next(o.saving_usd for o in each.options if o.routing == "tried first") for each in (below, above)]
    assert savings[0] is not None and savings[1] is not None and savings[0] < 0 < savings[1]


def test_what_is_deferred_audited_and_retrained_counts(tmp_path: Path) -> None:
    told = priced(tmp_path, deferred_cost_ratio=1.5, audit_share=0.02, retraining_usd=100)
    option = next(o for o in told.options if o.routing == "tried first")
    assert option.total_usd == pytest.approx(2_000 + 100 + (0.3 * 1.5 + 0.02 * 0.7) * 30_000)
    assert {"audits", "what falls back costs", "keeping it fresh"} <= told.assumptions.keys()


def test_the_tornado_names_the_worst_assumption_first(tmp_path: Path) -> None:
    swings = priced(tmp_path).tornado
    assert [s.high_usd - s.low_usd for s in swings] == sorted((s.high_usd - s.low_usd for s in swings), reverse=True)
    volume = next(s for s in swings if s.factor.startswith("requests a month"))
    assert (volume.low_usd, volume.high_usd) == (pytest.approx(9_500), pytest.approx(38_000))


@pytest.mark.parametrize(
    ("decision", "alone", "together"),
    [
        ("SHIP", True, True),
        ("NOT DECIDED", True, True),
        ("SHIP WITH FALLBACK", False, True),
        ("DO NOT SHIP", False, False),
    ],
)
def test_no_saving_is_named_for_what_a_verdict_forbids(
    told: Summary, tmp_path: Path, decision: str, alone: bool, together: bool
) -> None:
    project = Project(tmp_path)
    ledger_with(project, 30)
    told = told.model_copy(update={"verdict": told.verdict.model_copy(update={"decision": decision})})
    write_json(project.summary("small"), told.model_dump(mode="json"))
    bill = run(project, CostConfig(student_host=StudentHost(input=1, output=1)), [TEACHER], name="small")
    ways = {o.routing: o for o in bill.options[1:]}
    assert (ways[""].saving_usd is not None, ways["tried first"].saving_usd is not None) == (alone, together)
    assert all((o.not_allowed == "") == (o.saving_usd is not None) for o in bill.options)
    write_json(project.calibration("small"), calibration("small", coverage=0.9).model_dump(mode="json"))
    certified = run(project, CostConfig(student_host=StudentHost(input=1, output=1)), [TEACHER], name="small")
    assert next(o for o in certified.options if o.routing == "tried first").saving_usd is not None


def test_the_seconds_of_both_come_from_measured_ones(tmp_path: Path) -> None:
    assert latencies(Project(tmp_path), [], "openai/x", "small", 0.7) == []
    rows = [("small", 0.1), ("ceiling", 1.0)] * 30 + [("small", 0.2), ("ceiling", 3.0)] * 2
    predictions = [
        Prediction(
            id=f"p{n}", prompt_id=f"q{n}", model=model, text="x", finish_reason="stop", output_tokens=1, latency_s=s
        )
        for n, (model, s) in enumerate(rows)
    ]
    path = Project(tmp_path).predictions("small")
    path.parent.mkdir(parents=True)
    write_records(path, predictions)
    told = {each.way: (each.p50_s, each.p95_s) for each in latencies(Project(tmp_path), [], "openai/x", "small", 0.7)}
    assert told["teacher"] == (1.0, 3.0) and told["small"] == (0.1, 0.2)
    assert told["both, tried first"] == (pytest.approx(0.1), pytest.approx(1.1))
    alone = latencies(Project(tmp_path), [], "openai/x", "small", 1.0)[-1]
    assert (alone.p50_s, alone.p95_s) == (0.1, 0.2)
