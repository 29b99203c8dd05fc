"""A cap shapes no result: a one-off cap makes no stage stale, and a higher one only an evaluation that had too little."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.config import Config, parse_config
from distil.runs.artifacts import Project
from distil.runs.manifest import stage_run
from distil.stage_states import step_state

DATA = {"task": "t", "prompts": {"path": "p.jsonl"}, "teachers": [{"model": "recorded/a.jsonl"}]}


def config_of(**sections: dict[str, float | None]) -> Config:
    return parse_config(DATA | sections, "distil.yaml")


@pytest.mark.parametrize("stage", ["curate", "evaluate"])
def test_another_cap_makes_nothing_stale(tmp_path: Path, stage: str) -> None:
    project, section = Project(tmp_path), getattr(config_of(), stage)
    with stage_run(project, stage, section.model_dump(mode="json"), "s" if stage == "evaluate" else None):
        pass
    for settings, state in (({"budget_usd": 2}, "done"), ({"budget_usd": None}, "done"), ({"seed": 1}, "stale")):
        config = config_of(**{stage: settings})
        assert step_state(project, config, stage, "s" if stage == "evaluate" else None).state == state


@pytest.mark.parametrize(("stage", "name"), [("curate", None), ("evaluate", "s")])
def test_a_higher_cap_continues_what_the_lower_one_stopped(tmp_path: Path, stage: str, name: str | None) -> None:
    project, config = Project(tmp_path), config_of(**{stage: {"budget_usd": 2}})
    with stage_run(project, stage, getattr(config, stage).model_dump(mode="json"), name) as run:
        run.notes["complete"] = False
    assert step_state(project, config, stage, name).state == "done"
    assert step_state(project, config_of(**{stage: {"budget_usd": 1}}), stage, name).state == "done"
    for more in (3, None):
        step = step_state(project, config_of(**{stage: {"budget_usd": more}}), stage, name)
        assert step.state == "stale" and f"{stage}.budget_usd is higher now" in step.why


def test_a_look_of_until_is_not_continued_by_run(tmp_path: Path) -> None:
    """Its budget was that of the rounds: what it did not pay for is asked by who asks for it."""
    project, config = Project(tmp_path), config_of(evaluate={"budget_usd": 2})
    with stage_run(project, "evaluate", config.evaluate.model_dump(mode="json"), "s") as run:
        run.notes |= {"complete": False, "planned": True}
    step = step_state(project, config_of(evaluate={"budget_usd": 9}), "evaluate", "s")
    assert step.state == "done" and "`distil evaluate s`" in step.why
