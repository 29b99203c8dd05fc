"""The rounds on a tiny student and a recorded teacher: what is asked, paid and looked at, and that a stop loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner, Result

from distil.calls.ledger.store import Ledger
from distil.cli.main import cli
from distil.config import load_config
from distil.curate import stage as curate
from distil.errors import GateNotReached, UserError
from distil.pipeline import run_missing
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_json, read_records
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.looks import Look
from distil.runs.schemas.summary import read_summary
from distil.runs.schemas.until import read_plan, read_rounds
from distil.stage_states import step_state
from distil.until import rounds
from distil.until.run import Until
from tests.pipeline.test_whole_loop import make_project

# a student that gets better with its training rows: half right with 40 of them, all right from 80 on
LEARNS = """
from pathlib import Path

def right(case):
    if case.teacher is None:
        return int(case.prompt_id[-4:], 16) % 50 > 0
    rows = len((Path(__file__).parent / "work/curate/train.jsonl").read_text().splitlines())
    return int(case.prompt_id[-6:-2], 16) % 80 < rows

right.deciding = True
"""


def learning_project(folder: Path, monkeypatch: pytest.MonkeyPatch, *, rows: int = 240, **evaluate: object) -> Project:
    """Every fourth of the prompts is a test prompt; of 240, rounds have 45, 90 and 180 to learn from."""
    monkeypatch.setattr(rounds, "LEAST_NEW", rows * 3 // 16)
    project = make_project(folder, rows=rows)
    lines = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    for number, row in enumerate(lines):
        row.pop("group")
        row |= {"split": "test"} if number % 4 == 0 else {}
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (folder / "mine.py").write_text(LEARNS)
    config = yaml.safe_load(project.config.read_text())
    config["curate"]["validation"] = 0.05
    config["teachers"][0]["sampling"]["max_tokens"] = 4
    config["train"] |= {"epochs": 0.5, "validation_examples": 0}
    config["evaluate"] = {
        "metrics": ["mine.py:right"], "ceiling": False, "baseline": False, "latency_prompts": 0, "margin": 0.2
    } | evaluate  # fmt: skip
    project.config.write_text(yaml.safe_dump(config))
    return project


def interval(mean: float) -> Interval:
    return Interval(mean=mean, low=mean - 0.05, high=mean + 0.05, n=60)


def looked(self: Until, share: float) -> SimpleNamespace:
    """Half right in the first round, all right in the second."""
    worse = (0.5, 0.3, 0.0)[len(self.done)]
    test = SimpleNamespace(
        label="right", student=interval(1 - worse), other=interval(1.0), shortfall=interval(worse), margin=0.2
    )
    verdict = SimpleNamespace(decision="NOT DECIDED" if worse else "SHIP", sentence="so it is.", next_steps=[])
    looks = SimpleNamespace(share=share, corrected_for=1)
    return SimpleNamespace(clusters=60, deciding=test, verdict=verdict, differences=[], primary="right", looks=looks)


def until(project: Project, *words: str, budget: str = "5") -> Result:
    command = ["until", "SHIP", "--budget", budget, "--project", str(project.root), *words]
    return CliRunner().invoke(cli, command)


def paid(project: Project) -> tuple[float, int]:
    with Ledger(project.ledger) as ledger:
        return ledger.spent(), sum(1 for _ in ledger.calls())


def test_rounds_go_on_until_the_verdict_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = learning_project(tmp_path, monkeypatch)
    planned = json.loads(until(project, "--dry-run", "--json").stdout)
    assert planned["sizes"] == [105, 150, 240] and not project.answers.exists()
    train, stopped = Until._train, []

    def interrupted(self: Until) -> None:
        if len(self.done) == 1 and not stopped:
            stopped.append(paid(project))
            raise KeyboardInterrupt
        train(self)

    monkeypatch.setattr(Until, "_train", interrupted)
    done = until(project)
    assert "Stopped in round 2 of 3" in str(done.exception) and "until SHIP --budget 5" in str(done.exception)
    assert [(r.number, r.decision) for r in read_rounds(project.until_rounds)] == [(1, "DO NOT SHIP")]
    done = until(project, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["outcome"] == "proven" and [r["asked"] for r in found["rounds"]] == [105, 150]
    assert paid(project) == stopped[0] and paid(project)[1] == 150  # nothing twice, and no answer too many
    assert {look.share for look in read_records(project.looks, Look)} == {r["share"] for r in found["rounds"]}
    assert len({look.test_set for look in read_records(project.looks, Look)}) == 1
    check_nothing_is_left(project, found)


def check_nothing_is_left(project: Project, found: dict[str, object]) -> None:
    """The student is the project's, and evaluate says what `until` said."""
    files = {path: path.stat().st_mtime_ns for path in project.stage("train").rglob("*")}
    assert run_missing(project, load_config(project)) == []
    announced = read_summary(project.summary("sft")).verdict
    asked = CliRunner().invoke(cli, ["evaluate", "--force", "--json", "--project", str(project.root)])
    again = json.loads(asked.stdout)
    assert (again["verdict"]["decision"], again["verdict"]["sentence"]) == (announced.decision, announced.sentence)
    assert "planned looks" in announced.sentence and again["looks"]["share"] == pytest.approx(0.8 * 45 / 180)
    shown = json.loads(until(project, "--json").stdout)
    assert shown["sentence"] == found["sentence"]
    assert files == {path: path.stat().st_mtime_ns for path in project.stage("train").rglob("*")}


def test_the_cap_holds_and_the_money_s_end_is_the_last_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = learning_project(tmp_path, monkeypatch)
    monkeypatch.setattr(Until, "_train", lambda self: None)
    monkeypatch.setattr(Until, "_evaluate", looked)
    monkeypatch.setattr("distil.pipeline.run_missing", lambda *words, **options: [])
    done = until(project, "--json", budget="0.0022")
    spent, calls = paid(project)
    assert isinstance(done.exception, GateNotReached) and 0 < spent <= 0.0022 and 60 < calls < 105, done.output
    found = json.loads(done.stdout)
    assert found["outcome"] == "not proven" and len(found["rounds"]) == 1 and found["rounds"][0]["last"]
    assert found["rounds"][0]["share"] == pytest.approx(0.8)  # what it spends is all that was planned
    assert step_state(project, load_config(project), "collect").state == "done"
    tests = {example.prompt_id for example in read_examples(project.split("test"))}
    done = until(project, "--json", budget="0.0022")
    assert (
        paid(project) == (spent, calls) and json.loads(done.stdout)["plan"]["number"] == 0
    )  # shown again, or looked again
    done = until(project, "--json", budget="0.003")  # more money: another plan, on the same test prompts
    found = json.loads(done.stdout)
    assert spent < paid(project)[0] <= 0.003
    assert sum(r["share"] for r in found["rounds"]) <= 0.16 + 1e-9 and found["plan"]["number"] == 1
    assert tests == {example.prompt_id for example in read_examples(project.split("test"))}


def test_too_few_test_prompts_are_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = learning_project(tmp_path, monkeypatch, margin=0.02)
    done = until(project)
    assert isinstance(done.exception, UserError) and "can't prove" in str(done.exception)
    assert not project.stage("train").exists()
    assert read_plan(project.until_plan) is not None and not project.until.exists()


@pytest.mark.parametrize("words", [["DO NOT SHIP", "--budget", "1"], ["SHIP WITH FALLBACK", "--budget", "1"]])
def test_another_target_is_refused(words: list[str], tmp_path: Path) -> None:
    make_project(tmp_path, rows=4)
    done = CliRunner().invoke(cli, ["until", *words, "--project", str(tmp_path)])
    assert isinstance(done.exception, UserError) and "--accept fallback" in str(done.exception)


def test_new_prompts_do_not_join_closed_test_prompts(tmp_path: Path) -> None:
    project = make_project(tmp_path, rows=48)  # groups of two
    lines = (tmp_path / "prompts.jsonl").read_text().splitlines(keepends=True)
    config = load_config(project)
    (tmp_path / "prompts.jsonl").write_text("".join(lines[::2]))
    for stage in ("prompts", "collect", "curate"):
        assert CliRunner().invoke(cli, [*_command(stage), "--project", str(tmp_path)]).exit_code == 0
    tests = {example.prompt_id for example in read_examples(project.split("test"))}
    (tmp_path / "prompts.jsonl").write_text("".join(lines))
    for stage in ("prompts", "collect"):
        assert CliRunner().invoke(cli, [*_command(stage), "--project", str(tmp_path)]).exit_code == 0
    result = curate.run(project, config.curate, closed=True)
    assert {example.prompt_id for example in read_examples(project.split("test"))} == tests
    assert result.dropped["leak"] == len(tests) and result.train > 24 - len(tests)
    curate.run(project, config.curate)
    assert len(list(read_examples(project.split("test")))) == 2 * len(tests)


def _command(stage: str) -> list[str]:
    return ["prompts", "load"] if stage == "prompts" else [stage]


def test_a_damaged_file_of_rounds_names_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = learning_project(tmp_path, monkeypatch)
    project.until_plan.parent.mkdir(parents=True)
    project.until_plan.write_text('{"target": "SHIP"}')
    done = until(project)
    assert isinstance(done.exception, UserError) and "plan.json" in str(done.exception)
    assert read_json(project.until_plan) == {"target": "SHIP"}


@pytest.mark.parametrize("budget", ["abc", "nan", "inf", "-3"])
def test_a_budget_is_an_amount_of_dollars(budget: str, tmp_path: Path) -> None:
    done = until(Project(tmp_path), budget=budget)
    assert done.exit_code == 2 and f"found '{budget}', expected an amount of dollars, such as 40" in done.output
