"""A run that dies at any step goes on with the same rounds; how the rounds end, in words. Training and looks are made up here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distil.calls.ledger.store import Ledger
from distil.config import load_config
from distil.errors import BudgetReached, UserError
from distil.pipeline import run_stage
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_json, read_records, write_json, write_records
from distil.runs.schemas.decision import Decision
from distil.runs.schemas.until import UntilPlan, UntilRound, read_plan, read_rounds
from distil.until import run as until
from distil.until.ending import ended, over
from distil.until.money import costs
from distil.until.run import Until
from distil.until.wish import Wish
from tests.until.test_run import interval, learning_project, looked

STEPS = ("_first_answers", "_collect", "_curate", "_train", "_evaluate")
WISH = Wish("SHIP", 5.0, "sft")


def dies_once(step: Callable[..., object], key: tuple[str, int], died: list[tuple[str, int]]) -> Callable[..., object]:
    def wrapped(self: Until, *words: object) -> object:
        result = step(self, *words)
        at = (key[0], len(self.done))
        if at not in died:
            died.append(at)
            raise SystemExit(9)
        return result

    return wrapped


def test_a_run_that_dies_anywhere_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, died = learning_project(tmp_path, monkeypatch, rows=120), list[tuple[str, int]]()
    monkeypatch.setattr(Until, "_train", lambda self: None)
    monkeypatch.setattr(Until, "_evaluate", looked)
    monkeypatch.setattr(until.pipeline, "run_missing", lambda *words, **options: [])
    for step in STEPS:
        monkeypatch.setattr(Until, step, dies_once(getattr(Until, step), (step, 0), died))
    config, found, tests = load_config(project), None, set[frozenset[str]]()
    run_stage(project, config, "prompts", None)
    while found is None:
        try:
            found = Until(project, config, WISH).run()
        except SystemExit:
            if project.split("test").exists():
                tests.add(frozenset(example.prompt_id for example in read_examples(project.split("test"))))
    assert len(died) == len(STEPS) + 2 * 4 and len(tests) == 1
    assert [(r.number, r.asked, r.last) for r in found.rounds] == [(1, 52, False), (2, 75, False), (3, 120, True)]
    assert found.outcome == "proven" and found.rounds == read_rounds(project.until_rounds)
    plan = read_plan(project.until_plan)
    assert plan == found.plan and sum(r.share for r in found.rounds) == pytest.approx(0.8)
    with Ledger(project.ledger) as ledger:
        assert sum(1 for _ in ledger.calls()) == 120 and ledger.spent() <= found.usd + 1e-12


PLAN = UntilPlan(
    target="SHIP", budget_usd=40, before_usd=0, student="sft", settings="x",
    sizes=(400, 600, 1000, 1800, 3400), shares=(0.1, 0.1, 0.1, 0.2, 0.3),
)  # fmt: skip


def rounds(*worse: float, decision: Decision = "DO NOT SHIP", last: bool = False) -> list[UntilRound]:
    made = []
    for number, mean in enumerate(worse, start=1):
        asked = PLAN.sizes[number - 1]
        made.append(
            UntilRound(
                plan=0,
                number=number,
                asked=asked,
                rows=asked - 250,
                independent=200,
                usd=asked / 100,
                usd_per_prompt=0.01,
                seconds=60,
                share=0.1,
                name="right",
                student=interval(1 - mean),
                other=interval(1),
                shortfall=interval(mean),
                margin=0.05,
                improved=True,
                decision=decision,
                sentence="It is so.",
                last=last and number == len(worse),
            )
        )
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return learning_project(tmp_path, monkeypatch)


def test_a_flat_student_ends_before_the_money_does(project: Project) -> None:
    config, flat = load_config(project), rounds(0.42, 0.401, 0.395)
    assert not over(PLAN, flat[:2], 0.95) and over(PLAN, flat, 0.95)
    found = ended(PLAN, flat, config, 10.0, 5000)
    assert found.outcome == "out of reach" and found.enough_usd is None
    assert found.sentence.startswith("SHIP is not reachable for $40.00, with 90% certainty: 1,000 answers for $10.00")
    assert "No amount of answers is expected to be enough" in found.sentence


def planned(project: Project, found: list[UntilRound], **changed: object) -> Wish:
    """Writes the files of a plan with these rounds; the wish that goes on with it."""
    run_stage(project, load_config(project), "prompts", None)
    wish = WISH._replace(budget_usd=40.0)
    settings = Until(project, load_config(project), wish)._settings()
    plan = PLAN.model_copy(update={"settings": settings, "test_set": "t", **changed})
    write_json(project.until_plan, plan.model_dump(mode="json"))
    write_records(project.until_rounds, found)
    return wish


def test_more_money_after_out_of_reach_is_another_plan(project: Project) -> None:
    flat = [one.model_copy(update={"asked": one.asked // 10, "independent": 20}) for one in rounds(0.42, 0.401, 0.395)]
    sizes = tuple(size // 10 for size in PLAN.sizes)
    wish, config = planned(project, flat, looked_at={"t": 1}, sizes=sizes), load_config(project)
    assert Until(project, config, wish).plan.id == 0
    again = Until(project, config, wish._replace(budget_usd=100.0))
    assert (again.plan.id, again.plan.number, again.done) == (1, 1, [])


def test_a_plan_that_died_while_it_looked_has_looked(project: Project) -> None:
    wish = planned(project, [], looked_at={"t": 1})
    other = Until(project, load_config(project), wish._replace(student="other"))
    assert (other.plan.id, other.plan.number) == (1, 1)


def test_how_answers_are_bought_is_no_other_plan(project: Project) -> None:
    wish, config = planned(project, []), load_config(project)
    cheaper = [
        teacher.model_copy(update={"price": teacher.price and teacher.price.model_copy(update={"input": 0.5})})
        for teacher in config.teachers
    ]
    bought = config.model_copy(
        update={"teachers": cheaper, "collect": config.collect.model_copy(update={"budget_usd": 1.0, "hedge": 4.0})}
    )
    assert Until(project, bought, wish).plan.id == 0
    hotter = config.model_copy(update={"collect": config.collect.model_copy(update={"samples": 2})})
    assert Until(project, hotter, wish).plan.id == 1


def test_the_end_runs_nothing_that_costs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = planned(project, rounds(0.3, last=True), looked_at={"t": 1})
    ran: list[str] = []
    monkeypatch.setattr(until.pipeline, "run_stage", lambda project, config, stage, name: ran.append(stage))
    found = Until(project, load_config(project), wish).run()
    assert found.outcome == "not proven" and ran == ["cost", "report"]
    assert read_json(project.until) == found.model_dump(mode="json")  # also where the run before died in between


def test_what_is_answered_already_has_its_price(project: Project) -> None:
    config = load_config(project)
    for stage in ("prompts", "collect"):
        run_stage(project, config, stage, None)
    prompts = list(read_records(project.prompts, Prompt))
    found = costs(project, config, prompts, len(prompts))
    with Ledger(project.ledger) as ledger:
        assert found.per_prompt == pytest.approx(ledger.spent("collect") / len(prompts), rel=0.2)


def test_what_would_be_enough_is_said_in_dollars(project: Project) -> None:
    config, falling = load_config(project), rounds(0.30, 0.17, 0.10, 0.06, last=True)
    assert over(PLAN, falling, 0.95)
    found = ended(PLAN, falling, config, 18.0, 3000)
    assert found.outcome == "not proven" and found.enough_usd is not None and 20 < found.enough_usd < 400
    assert "are expected to be enough. There are 3,000 prompts" in found.sentence


def test_a_fallback_is_enough_only_where_it_is_accepted(project: Project) -> None:
    some = rounds(0.3, decision="SHIP WITH FALLBACK")
    assert not over(PLAN, some, 0.95)
    accepted = PLAN.model_copy(update={"target": "SHIP WITH FALLBACK"})
    assert over(accepted, some, 0.95)
    found = ended(accepted, some, load_config(project), 4.0, 5000)
    assert found.outcome == "proven" and found.next_steps[0] == "distil calibrate sft"


def test_missing_evidence_ends_it_at_once(project: Project) -> None:
    blind = [rounds(0.3, decision="NOT DECIDED")[0].model_copy(update={"shortfall": None, "name": None})]
    assert over(PLAN, blind, 0.95)
    found = ended(PLAN, blind, load_config(project), 4.0, 5000)
    assert found.outcome == "undecidable" and found.sentence.startswith("No number of answers decides this")


def test_a_budget_that_was_too_small_is_raised_and_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = learning_project(tmp_path, monkeypatch, rows=120)
    monkeypatch.setattr(Until, "_train", lambda self: None)
    monkeypatch.setattr(Until, "_evaluate", looked)
    monkeypatch.setattr(until.pipeline, "run_missing", lambda *words, **options: [])
    config = load_config(project)
    run_stage(project, config, "prompts", None)
    assert Until(project, config, WISH._replace(budget_usd=0.0001)).forecast().usd[-1] <= 0.0001
    with pytest.raises(BudgetReached, match=r"spent in round 1: \$0 of \$0, .* raise it: --budget 0\.0") as nothing:
        Until(project, config, WISH._replace(budget_usd=0)).run()
    assert "budget_usd" not in str(nothing.value)
    with pytest.raises(UserError, match=r"can't prove .*a first round has 52: --budget (0\.\d+)") as few:
        Until(project, config, WISH._replace(budget_usd=0.0005)).run()
    enough = float(str(few.value).rpartition(" ")[2])
    assert not project.stage("train").exists() and read_rounds(project.until_rounds) == []
    found = Until(project, config, WISH._replace(budget_usd=enough)).run()
    assert found.rounds[0].asked >= 52 and found.usd <= enough and found.plan.number == 0
    assert sum(r.share for r in found.rounds) <= 0.8 + 1e-9


def test_caps_of_the_config_hold_where_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = learning_project(tmp_path, monkeypatch, rows=120)
    monkeypatch.setattr(Until, "_train", lambda self: None)
    monkeypatch.setattr(Until, "_evaluate", looked)
    monkeypatch.setattr(until.pipeline, "run_missing", lambda *words, **options: [])
    config = load_config(project)
    run_stage(project, config, "prompts", None)
    low = config.model_copy(update={"collect": config.collect.model_copy(update={"budget_usd": 0.0019})})
    wish = WISH._replace(keep_caps=True)
    found = Until(project, low, wish).run()
    with Ledger(project.ledger) as ledger:
        assert 0.0014 < ledger.spent("collect") <= 0.0019
    assert found.rounds[-1].last and found.outcome == "not proven"
    assert wish.command == "distil until SHIP --budget 5 --keep-caps --as sft"
    Until(project, low, WISH._replace(budget_usd=6.0)).run()
    with Ledger(project.ledger) as ledger:
        assert ledger.spent("collect") > 0.0019  # without it, the budget takes their place
