"""Who chose to buy few answers is not charged for all by `distil run`: what rounds asked is what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from distil.active.run import run as collect_actively
from distil.cli.main import cli
from distil.config import load_config
from distil.errors import Interrupted, UserError
from distil.pipeline import run_missing, run_stage
from distil.runs.artifacts import Project
from distil.stage_states import step_state
from distil.until.run import Until
from distil.until.wish import Wish
from tests.active import test_rounds as active
from tests.until.test_run import learning_project, looked, paid

FREE = ("prompts", "collect", "curate")
WISH = Wish("SHIP", 5.0, "sft")


def stopped_until(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str = "_train", rows: int = 120) -> Project:
    """`distil until` that was stopped in its first round, before `step`."""
    project = learning_project(folder, monkeypatch, rows=rows)
    run_stage(project, load_config(project), "prompts", None)

    def stop(self: Until, *words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Until, step, stop)
        with pytest.raises(Interrupted):
            Until(project, load_config(project), WISH).run()
    return project


def add_prompts(project: Project, rows: int) -> None:
    for name, column in (("prompts.jsonl", {}), ("answers.jsonl", {"output": "yes"})):
        with (project.root / name).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": f"new number {i}"} | column) + "\n" for i in range(rows))


def test_run_after_a_stopped_until_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    before = paid(project)
    assert 0 < before[1] < 120
    ran = run_missing(project, load_config(project), only=FREE)
    assert paid(project) == before and [step.stage for step in ran] == []
    add_prompts(project, 3)
    ran = run_missing(project, load_config(project), only=FREE)
    assert paid(project) == before and [step.stage for step in ran] == ["prompts", "curate"]


def test_a_stop_before_the_first_manifest_holds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    (project.stage("collect") / "manifest.json").unlink()  # as after a kill while it asked
    before = paid(project)
    run_missing(project, load_config(project), only=FREE)
    assert paid(project) == before and project.split("train").exists()
    goes_on = Until(project, load_config(project), WISH)
    monkeypatch.setattr(Until, "_train", lambda self: None)
    monkeypatch.setattr(Until, "_evaluate", looked)
    monkeypatch.setattr("distil.pipeline.run_missing", lambda *words, **options: [])
    assert goes_on.run().rounds and (project.stage("collect") / "manifest.json").exists()


def test_run_says_what_was_left_and_what_asks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    monkeypatch.setattr("distil.pipeline.RUNNERS", {})  # nothing runs: this is about the words
    done = CliRunner().invoke(cli, ["run", "--project", str(project.root)])
    said = " ".join(done.output.split())
    assert "52 of 120 answers were asked for" in said and "`distil until SHIP --budget 5 --as sft` goes on" in said
    assert "`distil collect` asks the rest" in said
    shown = CliRunner().invoke(cli, ["status", "--json", "--project", str(project.root)])
    assert json.loads(shown.stdout)["next"] != "distil collect"


def test_run_after_finished_rounds_asks_no_new_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = active.project_of(tmp_path)
    active.Student(monkeypatch)
    collect_actively(project, config, rounds=2, limit=60)
    add_prompts(project, 5)
    run_missing(project, config, only=FREE)
    assert active.calls(project) == 60
    step = step_state(project, config, "collect")
    assert step.state == "done" and "60 of 125 answers were asked for" in step.why and "goes on" not in step.why


def test_run_between_active_rounds_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = active.project_of(tmp_path)
    active.Student(monkeypatch)

    def stop(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("distil.active.unsure.train", stop)
        collect_actively(project, config, rounds=3, limit=75)
    before = active.calls(project)
    run_missing(project, config, only=FREE)
    assert active.calls(project) == before < 75
    assert "`distil collect --active` goes on" in step_state(project, config, "collect").why
    assert collect_actively(project, config, rounds=3, limit=75).asked == 75 == active.calls(project)


def test_collect_asks_the_rest_and_run_is_free_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    assert CliRunner().invoke(cli, ["collect", "--project", str(tmp_path)]).exit_code == 0
    assert paid(project)[1] == 120
    before = paid(project)
    add_prompts(project, 4)
    run_missing(project, load_config(project), only=("prompts", "collect"))
    assert paid(project)[1] >= before[1] + 4


@pytest.mark.parametrize("option", [["--limit", "60"], ["--only", "failed"], ["--dry-run"]])
def test_a_part_of_the_rest_is_not_all(option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    CliRunner().invoke(cli, ["collect", *option, "--project", str(tmp_path)])
    before = paid(project)
    run_missing(project, load_config(project), only=("prompts", "collect"))
    assert paid(project) == before and before[1] < 120


def test_rounds_without_an_answer_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    project.answers.unlink()
    before = paid(project)
    with pytest.raises(UserError, match=r"no answer yet.*distil until SHIP --budget 5.*distil collect"):
        run_missing(project, load_config(project))
    assert paid(project) == before


def test_other_settings_are_not_asked_by_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    config = yaml.safe_load(project.config.read_text())
    config["collect"] = config.get("collect", {}) | {"samples": 2}
    project.config.write_text(yaml.safe_dump(config))
    before = paid(project)
    with pytest.raises(UserError, match=r"other settings: samples.*distil until SHIP.*distil collect"):
        run_missing(project, load_config(project))
    assert paid(project) == before


def test_a_damaged_file_of_who_asks_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = stopped_until(tmp_path, monkeypatch)
    (project.stage("collect") / "rounds.json").write_text('{"command": 3}')
    with pytest.raises(UserError, match=r"rounds\.json.*command.*distil collect"):
        step_state(project, load_config(project), "collect")
