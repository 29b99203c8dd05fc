"""The rounds of `distil until` on the page: every figure of every look, how they ended, and what comes next."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.errors import UserError
from distil.report import page
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json, write_records
from distil.runs.manifest import stage_state
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.until import UntilPlan, UntilRound, UntilSummary
from tests.report.sample import make_project
from tests.report.test_page import read

PLAN = UntilPlan(
    target="SHIP", budget_usd=40, before_usd=0, student="sft", settings="x", test_set="t",
    sizes=(700, 1200, 2200), shares=(0.2, 0.2, 0.4),
)  # fmt: skip


def look(number: int, worse: float, half: float, decision: str) -> UntilRound:
    asked = PLAN.sizes[number - 1]
    return UntilRound.model_validate(
        {
            "plan": 0,
            "number": number,
            "asked": asked,
            "rows": asked - 310,
            "independent": 200,
            "usd": asked / 100,
            "usd_per_prompt": 0.01,
            "seconds": 61.0,
            "share": PLAN.shares[number - 1],
            "corrected_for": 2,
            "name": "accuracy on <references>",
            "student": Interval(mean=0.95 - worse, low=0.95 - worse - 0.04, high=0.95 - worse + 0.03, n=200),
            "other": Interval(mean=0.95, low=0.91, high=0.97, n=200),
            "shortfall": Interval(mean=worse, low=worse - half, high=worse + half, n=200),
            "margin": 0.05,
            "bar": 0.005,
            "improved": True,
            "decision": decision,
            "sentence": "up to 6.1 points worse is possible.",
            "last": number == 3,
            "next_steps": ["distil doctor"],
        }
    )


ROUNDS = [
    look(1, 0.21, 0.06, "DO NOT SHIP"),
    look(2, 0.06, 0.05, "NOT DECIDED"),
    look(3, -0.002, 0.04, "SHIP"),
]


def write_rounds(project: Project, count: int = 3, *, over: bool = True) -> None:
    """The files of `distil until` after so many rounds."""
    write_json(project.until_plan, PLAN.model_dump(mode="json"))
    older = ROUNDS[0].model_copy(update={"plan": 7, "asked": 4321})  # of another plan
    write_records(project.until_rounds, [older, *ROUNDS[:count]])
    if over:
        ended = UntilSummary(
            plan=PLAN,
            rounds=ROUNDS[:count],
            outcome="proven" if count == 3 else "out of reach",
            sentence=f"It ended after {count} looks.",
            usd=22.0,
            enough_usd=None,
            next_steps=["distil calibrate sft", "distil serve sft"],
        )
        write_json(project.until, ended.model_dump(mode="json"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", train=40, test=40, students=("sft",))


def section(project: Project) -> str:
    _, _, text = read(page.build(project))
    assert "How it was bought" in text
    return text.partition("How it was bought")[2].partition("What it costs")[0]


def test_every_look_is_shown_with_its_figures(project: Project) -> None:
    write_rounds(project)
    text = section(project)
    assert "SHIP: it is proven. It ended after 3 looks." in text
    assert "1 of 3 700 390 $7.00 74.0% 70.0–77.0 0.5 points 10.0%" in text
    assert "2 of 3 1,200 890 $12.00 89.0%" in text and "6 points worse" in text
    assert "0.2 points better SHIP" in text and "21 points worse DO NOT SHIP" in text and "4,321" not in text
    assert "accuracy on <references>" in text and "The budget was $40.00." in text
    assert "distil calibrate sft" in text and "distil serve sft" in text
    markup = project.report.read_text()
    assert markup.count('class="loss broken"') >= 1 and "Round 3: " in markup and 'href="#rounds"' in markup


def test_how_it_ended_short_is_said(project: Project) -> None:
    write_rounds(project, 2)
    assert "SHIP: it is out of reach for the money. It ended after 2 looks." in section(project)


def test_rounds_under_way_say_how_to_go_on(project: Project) -> None:
    write_rounds(project, 3)
    page.build(project)
    write_rounds(project, 1, over=False)  # the summary is that of a plan before
    assert stage_state(project, "report")[0] == "stale"
    text = section(project)
    assert "1 of 3 rounds are done." in text and "distil until SHIP --budget 40 --as sft" in text


def test_what_was_not_measured_is_a_dash(project: Project) -> None:
    write_rounds(project, 1, over=False)
    blind = ROUNDS[0].model_copy(update={"shortfall": None, "name": None, "student": None, "other": None, "bar": None})
    write_records(project.until_rounds, [blind])
    assert "$7.00 – – 10.0%" in " ".join(section(project).split())


def test_without_rounds_there_is_no_section(project: Project) -> None:
    write_json(project.until_plan, PLAN.model_dump(mode="json"))
    page.build(project)
    assert "How it was bought" not in project.report.read_text()


def test_a_broken_file_of_rounds_is_named(project: Project) -> None:
    write_rounds(project)
    project.until.write_text('{"plan": 1}')
    with pytest.raises(UserError, match=r"until.*summary\.json.*distil until SHIP"):
        page.build(project)
