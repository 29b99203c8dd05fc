"""The jobs from Python: one line each, also inside a running event loop, and the two scripts of examples/."""

from __future__ import annotations

import asyncio
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import distil
from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.until.run import Until
from tests.active import test_rounds as active
from tests.conftest import ROOT
from tests.pipeline.test_whole_loop import make_project
from tests.until.test_run import learning_project, looked

QUICK = {"curate.test": 8, "curate.near_duplicates": None, "train.epochs": 1, "train.learning_rate": 1e-3}
MORE = {"evaluate": {"metrics": ["exact_match", "field_accuracy"], "ceiling": False, "latency_prompts": 1}}


def test_importing_distil_loads_nothing_and_every_job_is_there() -> None:
    code = (
        "import sys, distil; loaded = [m for m in sys.modules if m.startswith('distil.')]; assert not loaded, loaded\n"
        "assert {'Project', 'collect', 'curate', 'train', 'evaluate', 'serve', 'plan', 'cost'} <= set(dir(distil))\n"
        "assert all(callable(getattr(distil, name)) for name in distil.__all__)\n"
        "import distil.collect.stage, distil.plan\n"  # the packages stay packages
        "assert callable(distil.collect) and distil.plan.make and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_jobs_work_inside_a_running_loop_as_in_a_notebook(tmp_path: Path) -> None:
    project = make_project(tmp_path, rows=24)

    async def cell() -> tuple[int, str]:
        collected = distil.collect(project, {"collect": {"budget_usd": 5}}, limit=20)
        return collected.answers, distil.curate(str(project.root), QUICK).rows()[0][0]

    answers, _ = asyncio.run(cell())
    assert answers == 20 and project.split("train").exists()
    assert distil.status(project)[0].state == "done"


INTERRUPTED = """
import asyncio, os, signal, threading, time
from distil import loops
from distil.errors import UserError

async def long_work():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("kept what was done")
        raise

def job():
    try:
        loops.run(long_work())
    except asyncio.CancelledError:
        raise UserError("stopped") from None

def interrupt():
    while not loops._running:
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

async def cell():
    threading.Thread(target=interrupt, daemon=True).start()
    loops.beside(job)

loop = asyncio.new_event_loop()  # without asyncio.run's own handling of Ctrl-C, as in a notebook
try:
    loop.run_until_complete(cell())
except UserError as error:
    print(error, loops._running)
"""


def test_a_ctrl_c_beside_a_running_loop_reaches_the_job() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False, timeout=50)
    assert done.stdout.split("\n")[:2] == ["kept what was done", "stopped {}"], done.stderr


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: distil.collect("nowhere"), "distil.init\\('nowhere'"),
        (lambda p: distil.collect(p, {"collect.budgt_usd": 1}), "budget_usd"),
        (lambda p: distil.train(p, {"train.epochs": "many"}), "train.epochs"),
        (lambda p: distil.train(p), "distil collect|distil curate"),
        (lambda p: distil.evaluate(p, name="smal"), "no trained student 'smal'"),
        (lambda p: distil.init(p.root / "x", template="triag"), "triage"),
        (lambda p: distil.until(p, float("nan")), "budget_usd: found nan, expected an amount of dollars"),
        (lambda p: distil.until(p, -1), "budget_usd: found -1"),
        (lambda p: distil.collect_actively(p, limit=5), "5 prompts are too few for 4 rounds"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, call: Callable[[Project], object], said: str) -> None:
    project = make_project(tmp_path, rows=6)
    with pytest.raises(UserError, match=said):
        call(project)


def test_settings_of_a_new_project_are_written(tmp_path: Path) -> None:
    project = distil.init(
        tmp_path / "p", teacher="openai/gpt-5-mini", settings={"train": {"method": "logits", "epochs": 2}}
    )
    text = project.config.read_text(encoding="utf-8")
    assert "method: logits" in text and "epochs: 2" in text
    assert distil.init(tmp_path / "p", teacher="anthropic/other").config.read_text(encoding="utf-8") == text


def test_the_script_for_an_api_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_project(tmp_path / "files", rows=30)
    script = ROOT / "examples" / "student_of_an_api.py"
    assert len([line for line in script.read_text().split('"""')[2].splitlines() if line]) <= 14
    monkeypatch.chdir(tmp_path)
    folder = "student-of-an-api"
    words = [f"recorded/{made.root / 'answers.jsonl'}", str(made.root / "tiny"), str(made.root / "prompts.jsonl")]
    distil.init(folder, teacher=words[0], student=words[1], prompts=words[2], settings=QUICK | MORE)
    monkeypatch.setattr(sys, "argv", [str(script), *words])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    assert "NOT DECIDED" in printed or "DO NOT SHIP" in printed
    manifest = json.loads((Project(tmp_path / folder).stage("train", "sft") / "manifest.json").read_text())
    assert manifest["config"]["epochs"] == 1


def test_rounds_from_python_are_those_of_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = learning_project(tmp_path, monkeypatch, rows=120)
    monkeypatch.setattr(Until, "_train", lambda self: None)
    monkeypatch.setattr(Until, "_evaluate", looked)
    monkeypatch.setattr("distil.pipeline.run_missing", lambda *words, **options: [])
    seen: list[int] = []
    found = distil.until(project, 5, name="small", on_round=lambda one: seen.append(one.number))
    assert found.outcome == "proven" and seen == [1, 2, 3] and found.plan.student == "small"
    assert distil.until(project, 5, name="small") == found  # shown again
    assert [step.state for step in distil.status(project)][:2] == ["done", "done"]


def test_active_rounds_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, _ = active.project_of(tmp_path)
    active.Student(monkeypatch)
    found = distil.collect_actively(project, rounds=2, limit=60)
    assert (found.asked, len(found.rounds), active.calls(project)) == (60, 2, 60)
