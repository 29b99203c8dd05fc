"""Filters, metrics and judges of the user's own, from the command line and from Python, with the code of docs/extending.md."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import distil
from distil.cli.main import cli
from distil.records import Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from tests.conftest import ROOT
from tests.pipeline.test_whole_loop import make_project
from tests.wire.openai import OpenAIServer

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(def .*?)```", PAGE, flags=re.DOTALL)
CODE = "\n".join([*BLOCKS, "def brevity(case):\n    return len(case.answer) <= 80\n"])
FILTERS, METRICS = ["default", "mine.py:too_formal"], ["mine.py:brevity", "mine.py:verdict"]
FAST: dict[str, object] = {"evaluate.ceiling": False, "evaluate.latency_prompts": 0, "evaluate.baseline": False}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("own"), rows=40)
    (made.root / "mine.py").write_text(CODE, encoding="utf-8")
    rows = [json.loads(line) for line in (made.root / "answers.jsonl").read_text().splitlines()]
    for row in rows[:6]:
        row["output"] = f"Dear customer, {row['output']}"
    (made.root / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    theirs = [{**row, "output": "wrong, all of it" if at % 2 else row["output"]} for at, row in enumerate(rows)]
    (made.root / "theirs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in theirs))
    distil.collect(made)
    return made


def run(project: Project, *words: str, **settings: object) -> Result:
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    return CliRunner().invoke(cli, [*words, "--project", str(project.root), *options], catch_exceptions=False)


def dropped(project: Project) -> int:
    return sum("opens like a letter" in str(row) for row in read_records(project.dropped, Verdict))


def test_a_filter_works_from_both_sides(project: Project) -> None:
    distil.curate(project, {"curate.filters": FILTERS, "curate.near_duplicates": None})
    assert dropped(project) == 6
    done = run(project, "curate", **{"curate.filters": ["default"], "curate.near_duplicates": None})
    assert done.exit_code == 0 and dropped(project) == 0
    done = run(project, "curate", **{"curate.filters": FILTERS, "curate.near_duplicates": None})
    assert done.exit_code == 0 and dropped(project) == 6


def test_a_metric_and_a_judge_of_your_own_work_from_both_sides(project: Project) -> None:
    run(project, "curate", **{"curate.near_duplicates": None})
    settings = {**FAST, "evaluate.metrics": METRICS}

    async def cell() -> Any:
        return distil.evaluate(project, settings, answers=project.root / "theirs.jsonl", name="theirs")

    summary = asyncio.run(cell())
    assert summary.primary == "verdict" and 0 < summary.models["theirs"]["verdict"].mean < 1
    assert summary.models["theirs"]["brevity"].mean == 1.0
    words = ["evaluate", "--answers", str(project.root / "theirs.jsonl"), "--as", "theirs", "--force", "--json"]
    shown = json.loads(run(project, *words, **settings).stdout)
    assert shown["models"]["theirs"]["verdict"]["mean"] == summary.models["theirs"]["verdict"].mean


def test_a_judge_behind_a_server_of_your_own_is_asked(project: Project) -> None:
    run(project, "curate", **{"curate.near_duplicates": None})
    with OpenAIServer(key=None, models=("mine",), answer=lambda body: '{"reason": "same", "winner": "tie"}') as server:
        judge = {"model": f"{server.url}#mine", "price": {"input": 0, "output": 0}}
        settings = {**FAST, "evaluate.metrics": ["exact_match"], "evaluate.judge": judge, "evaluate.limit": 4}
        summary = distil.evaluate(project, settings, answers=Path("theirs.jsonl"), name="theirs")
        assert server.posts("/chat/completions")
    assert summary.judge is not None
