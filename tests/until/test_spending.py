"""What the looks of a plan may spend, as `distil evaluate` counts it: both rooms agree, whatever was looked at before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.config import Config, load_config
from distil.errors import UserError
from distil.evaluate import looks, stage
from distil.evaluate.given import elsewhere
from distil.evaluate.stage import Planned
from distil.evaluate.stats import least_groups
from distil.records import Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from distil.runs.schemas.active import ActiveRound
from distil.runs.schemas.summary import Summary
from distil.until import outlook, spending
from distil.until.ending import ended, goals_of
from tests.evaluate.test_gate import CONFIG
from tests.tiny import write_tiny_splits
from tests.until.test_stops import PLAN, rounds

SHARE = 0.4


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """100 test prompts, and the answers of three students to them."""
    made = Project(tmp_path / "task")
    write_tiny_splits(made, train=0, validation=0, test=100)
    made.config.write_text(CONFIG)
    for name, right in (("good", 100), ("half", 50), ("none", 0)):
        rows = [
            {"prompt_id": e.prompt_id, "text": e.answer if number < right else "no"}
            for number, e in enumerate(read_examples(made.split("test")))
        ]
        (made.root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


def look(project: Project, name: str, share: float | None = None, **changes: object) -> Summary:
    config = load_config(project)
    return stage.run(
        project,
        config.evaluate.model_copy(update=changes),
        name=name,
        teachers=config.teachers,
        student=config.student,
        answers=elsewhere(str(project.root / f"{name}.jsonl"), project),
        planned=None if share is None else Planned(share, None),
    )


def drop_tests(project: Project, count: int) -> None:
    lines = project.split("test").read_text().splitlines(keepends=True)
    project.split("test").write_text("".join(lines[count:]))


def paid(project: Project, config: Config) -> float:
    """By what `until` expects the error to be divided."""
    plan = PLAN.model_copy(update={"test_set": spending.known_tests(project, config)})
    return 1 / spending.divided(project, config, plan, [SHARE])[0]


@pytest.mark.parametrize("announced", [1, 4])
def test_until_expects_what_evaluate_divides_by(project: Project, announced: int) -> None:
    config = load_config(project)
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"students": announced})})
    assert paid(project, config) == pytest.approx(announced / SHARE)  # nobody looked before
    look(project, "good")
    look(project, "half", students=announced)
    expected = paid(project, config)
    assert expected == pytest.approx(max(3, announced) / SHARE)
    assert look(project, "none", SHARE, students=announced).looks.comparisons == pytest.approx(expected)


def test_a_test_prompt_less_begins_no_other_error(project: Project) -> None:
    config = load_config(project)
    look(project, "good")
    drop_tests(project, 1)
    assert paid(project, config) == pytest.approx(2 / SHARE)
    found = look(project, "half", SHARE).looks
    assert (found.comparisons, found.students) == (pytest.approx(2 / SHARE), 2)
    again = look(project, "good").looks  # on other prompts it is another look
    assert (again.corrected_for, again.students) == (3, 3)
    assert "3 students" in str(looks.outdated(project, "half"))


def test_a_limit_is_a_look_at_a_part(project: Project) -> None:
    assert look(project, "good", limit=60).looks.corrected_for == 1
    assert look(project, "half").looks.corrected_for == 2
    assert look(project, "none", limit=20).looks.corrected_for == 1  # too few to decide anything
    assert paid(project, load_config(project)) == pytest.approx(3 / SHARE)


def test_plans_before_are_those_of_prompts_like_these(project: Project) -> None:
    config = load_config(project)
    whole = spending.known_tests(project, config)
    assert whole is not None
    plan = PLAN.model_copy(update={"looked_at": {whole: 2, "another": 5}})
    drop_tests(project, 3)
    assert spending.plans_before(project, plan, spending.known_tests(project, config)) == 2
    drop_tests(project, 60)
    assert spending.plans_before(project, plan, spending.known_tests(project, config)) == 2  # a part of the whole
    assert spending.plans_before(project, plan, None) == 0


def test_looks_before_are_in_what_can_be_proven(project: Project) -> None:
    config = load_config(project)
    test_set = spending.known_tests(project, config)
    spending.require_provable(project, config, "SHIP", [0.3, 0.5], test_set, "More.")
    for student in "abcdefgh":
        looks.note(project, name=student, test_set=test_set or "", student=student, candidate=True)
    with pytest.raises(
        UserError, match=r"100 independent .* after looks at 8 other students.*are the least.*More\."
    ) as few:
        spending.require_provable(project, config, "SHIP", [0.3, 0.5], test_set, "More.")
    assert f"{least_groups(0.05, confidence=0.95, comparisons=9 / 0.5)} are the least" in str(few.value)
    spending.require_provable(project, config, "SHIP WITH FALLBACK", [0.3, 0.5], test_set, "More.")


def test_the_bar_of_looks_to_come_is_theirs(project: Project) -> None:
    alone = rounds(0.3, 0.2)
    beside = [one.model_copy(update={"corrected_for": 4}) for one in alone]
    for found, students in ((alone, 1), (beside, 4)):
        expected = [outlook.bar(200, 0.05, students / share, 0.95) for share in PLAN.shares[2:]]
        assert [goal.bar for goal in goals_of(PLAN, found, 0.95)] == [bar for bar in expected if bar is not None]
    assert len(goals_of(PLAN, beside, 0.95)) < len(goals_of(PLAN, alone, 0.95)) or (
        goals_of(PLAN, beside, 0.95)[0].bar < goals_of(PLAN, alone, 0.95)[0].bar
    )
    falling = rounds(0.30, 0.17, 0.10, 0.06, last=True)
    more = [one.model_copy(update={"corrected_for": 4}) for one in falling]
    usd = [ended(PLAN, found, load_config(project), 18.0, 3000).enough_usd for found in (falling, more)]
    assert usd[0] is not None and (usd[1] is None or usd[1] > usd[0])


def test_advice_after_active_rounds_names_what_helps(project: Project) -> None:
    prompts = [Prompt.make([Message(role="user", content=f"question {i}")]) for i in range(9)]
    assert spending.advice(project, prompts, used=False).startswith("Raise curate.test")
    assert "--set curate.seed=1" in spending.advice(project, prompts, used=True)
    one = ActiveRound(number=1, how="random", asked=4, limit=9, below=0.25, seed=0)
    write_records(project.active_rounds, [one])
    said = spending.advice(project, prompts, used=False)
    assert "Raise curate.test" not in said and "25% may be test prompts" in said and "`split: test`" in said
    marked = [*prompts, prompts[0].model_copy(update={"split": "test"})]
    assert spending.advice(project, marked, used=True).startswith("Raise curate.test")


def test_more_test_prompts_are_named_for_the_look_they_take(project: Project) -> None:
    """What would prove the margin is computed for one look more, also where students are announced."""
    (project.root / "mine.py").write_text("def right(case):\n    return case.answer != 'no'\nright.deciding = True\n")
    rows = [
        {"prompt_id": e.prompt_id, "text": "no" if number < 3 else e.answer}
        for number, e in enumerate(read_examples(project.split("test")))
    ]
    (project.root / "almost.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [look(project, "almost", metrics=["mine.py:right"], students=students) for students in (1, 2, 9)]
    assert [one.looks.corrected_for for one in found] == [1, 2, 9]
    needed = [one.verdict.needed_prompts or 0 for one in found]
    assert 100 < needed[0] == needed[1] < needed[2]
