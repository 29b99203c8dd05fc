"""Choosing by a judge over a real wire on loopback: scores, one payment, the cap, replies that say nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.config import parse_config
from distil.curate.config import CurateConfig
from distil.curate.judge import Judge
from distil.curate.stage import run
from distil.errors import UserError
from distil.pipeline import curation_judge
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.evidence import Evidence
from distil.runs.schemas.notes import CurateNotes
from tests.curate.material import answer, distinct_text, project_with, prompt
from tests.wire.openai import OpenAIServer

GOOD, BAD = "A careful answer that says what was asked for.", "Whatever, it does not matter much to anybody."
CHOICE = CurateConfig(choose="judge", test=0, validation=0)


def scores(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    return json.dumps({"reason": "because", "score": 5 if GOOD in text else 2})


def project_of(folder: Path, texts: Sequence[str] = (BAD, GOOD)) -> Project:
    prompts = [prompt(distinct_text(i)) for i in range(4)]
    collected = [
        answer(p, f"{text} {i}", teacher=f"t{k}") for i, p in enumerate(prompts) for k, text in enumerate(texts)
    ]
    return project_with(folder, prompts, collected)


def judge_of(project: Project, server: OpenAIServer, budget_usd: float | None = None, **changes: Any) -> Judge:
    settings: dict[str, Any] = {"price": Price(input=1.0, output=1.0), "attempts": 1} | changes
    model = TeacherConfig(model=f"{server.url}#gpt-4o-mini", **settings)
    return Judge(project.ledger, model, budget_usd=budget_usd)


def test_the_best_score_is_trained_on_and_paid_for_once(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    with OpenAIServer(key=None, answer=scores) as server:
        run(project, CHOICE, judge=judge_of(project, server))
        manifest = read_manifest(project, "curate")
        run(project, CHOICE, judge=judge_of(project, server))
        assert len(server.answered) == 8
    assert {row.teacher for row in read_examples(project.split("train"))} == {"t1"}
    found = [row.judge for row in read_records(project.evidence, Evidence)]
    assert [each and each.value for each in found] == [0.25, 1.0] * 4 and found[0] and found[0].detail == "because"
    assert manifest is not None and manifest.usd > 0
    again = read_manifest(project, "curate")
    assert again is not None and again.usd == 0
    with Ledger(project.ledger) as ledger:
        assert {total.purpose for total in ledger.totals()} == {"curate"}


def test_a_judge_that_says_nothing_chooses_nothing(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    said_nothing = pytest.raises(UserError, match="gave a score to 0 of 8 answers, the other replies could not be read")
    with OpenAIServer(key=None, answer=lambda body: "Both are fine, I think.") as server, said_nothing:
        run(project, CHOICE, judge=judge_of(project, server))
    assert not project.split("train").exists()


def test_the_cap_is_its_own_and_names_its_setting(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    with OpenAIServer(key=None, answer=scores) as server:
        with pytest.raises(UserError, match=r"curate\.budget_usd"):
            run(project, CHOICE, judge=judge_of(project, server, budget_usd=0.0))
        assert not server.answered


def test_what_a_cap_left_unscored_is_noted(tmp_path: Path) -> None:
    """Eight of nine answers have a score from before, which is enough to choose by; a higher cap may ask for the ninth."""
    project = project_of(tmp_path)
    with OpenAIServer(key=None, answer=scores) as server:
        run(project, CHOICE, judge=judge_of(project, server))
        before = read_manifest(project, "curate")
        prompts = list(read_records(project.prompts, Prompt))
        more = answer(prompts[-1], f"{GOOD} and more", teacher="t2")
        write_records(project.answers, [*read_records(project.answers, Answer), more])
        run(project, CHOICE, judge=judge_of(project, server, budget_usd=0.0))
        assert len(server.answered) == 8
    after = read_manifest(project, "curate")
    assert before is not None and CurateNotes.of(before).complete
    assert after is not None and not CurateNotes.of(after).complete


def test_which_judge_is_asked(tmp_path: Path) -> None:
    """curate.judge, else for `judge` that of the evaluation; `best` never spends what nobody asked it to."""
    own, other = {"model": "openai/gpt-5"}, {"model": "anthropic/claude-sonnet-4-5"}
    for curate, expected in (
        ({"choose": "first", "judge": own}, None),
        ({"choose": "judge", "judge": own}, "openai/gpt-5"),
        ({"choose": "judge"}, "anthropic/claude-sonnet-4-5"),
        ({"choose": "best"}, None),
        ({"choose": "best", "judge": own}, "openai/gpt-5"),
    ):
        data = {
            "prompts": {"path": "p.jsonl"},
            "teachers": [{"model": "recorded/a.jsonl"}],
            "evaluate": {"judge": other},
            "curate": curate,
        }
        found = curation_judge(Project(tmp_path), parse_config(data, "test"))
        assert (found and found.model.model) == expected
