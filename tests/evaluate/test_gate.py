"""The gate for CI, the count of looks at a test set, and evaluations that need not be done again: by the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from distil.cli.evaluate import command
from distil.config import load_config
from distil.errors import GateNotReached, UserError
from distil.evaluate import looks
from distil.evaluate.gate import parse_gate, passes
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.schemas.decision import DECISIONS
from distil.runs.schemas.looks import Look
from distil.runs.schemas.summary import read_summary
from distil.stage_states import step_state
from tests.tiny import write_tiny_splits

CONFIG = """
prompts: {path: prompts.jsonl}
teachers: [{model: recorded/none.jsonl}]
evaluate: {metrics: [exact_match, field_agreement, truncated], ceiling: false}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "task")
    write_tiny_splits(made, train=0, validation=0, test=40)
    made.config.write_text(CONFIG)
    for name, right in (("good", 40), ("half", 20), ("none", 0)):
        rows = [
            {"prompt_id": e.prompt_id, "text": e.answer if number < right else "no"}
            for number, e in enumerate(read_examples(made.split("test")))
        ]
        (made.root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


def run(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--project", str(project.root)])


def evaluate(project: Project, *names: str, more: tuple[str, ...] = ()) -> Result:
    answers = [word for name in names for word in ("--answers", f"{name}.jsonl")]
    return run(project, *answers, *more)


@pytest.mark.parametrize("text", ["SHIP WITH FALLBACK", "ship-with-fallback", " Ship_With  fallback "])
def test_a_gate_is_a_verdict_in_any_spelling(text: str) -> None:
    assert parse_gate(text) == "SHIP WITH FALLBACK"


def test_a_wrong_gate_is_explained() -> None:
    with pytest.raises(UserError, match="Did you mean 'SHIP'"):
        parse_gate("shp")
    with pytest.raises(UserError, match="would let every verdict through"):
        parse_gate("do not ship")


def test_no_verdict_below_the_gate_passes() -> None:
    passing = {gate: {d for d in DECISIONS if passes(d, gate)} for gate in DECISIONS[1:]}
    assert passing == {
        "NOT DECIDED": {"NOT DECIDED", "SHIP WITH FALLBACK", "SHIP"},
        "SHIP WITH FALLBACK": {"SHIP WITH FALLBACK", "SHIP"},
        "SHIP": {"SHIP"},
    }


def test_a_gate_prints_the_result_before_it_fails(project: Project) -> None:
    result = evaluate(project, "none", more=("--gate", "ship", "--json"))
    assert isinstance(result.exception, GateNotReached)
    assert result.exception.exit_code == 4
    assert json.loads(result.stdout)["name"] == "none"
    assert "none is " in str(result.exception)


def test_a_gate_is_read_before_any_work(project: Project) -> None:
    result = evaluate(project, "good", more=("--gate", "shipp"))
    assert isinstance(result.exception, UserError)
    assert not project.stage("evaluate").exists()


def test_students_evaluated_together_are_all_counted(project: Project) -> None:
    result = evaluate(project, "good", "half", more=("--json",))
    assert [summary["name"] for summary in json.loads(result.stdout)] == ["good", "half"]
    for name in ("good", "half"):
        assert read_summary(project.summary(name)).looks.corrected_for == 2
        assert looks.outdated(project, name) is None
    assert [look.name for look in read_records(project.looks, Look)] == ["good", "half"]


def test_the_same_answers_twice_are_one_student(project: Project) -> None:
    evaluate(project, "good")
    evaluate(project, "good", more=("--force",))
    (project.root / "renamed.jsonl").write_text((project.root / "good.jsonl").read_text())
    evaluate(project, "renamed")
    summary = read_summary(project.summary("renamed"))
    assert (summary.looks.students, summary.looks.runs) == (1, 3)


def test_another_student_makes_an_older_verdict_stale(project: Project) -> None:
    config = load_config(project)
    evaluate(project, "good")
    assert step_state(project, config, "evaluate", "good").state == "done"
    evaluate(project, "half")
    step = step_state(project, config, "evaluate", "good")
    assert step.state == "stale"
    assert step.why == "2 students have been evaluated on its test prompts, and its verdict is corrected for 1"
    evaluate(project, "good")
    assert step_state(project, config, "evaluate", "good").state == "done"


def test_a_baseline_is_no_candidate(project: Project) -> None:
    looks.note(project, name="hard", test_set="t", student="a", candidate=False)
    looks.note(project, name="sft", test_set="t", student="b", candidate=True)
    looks.note(project, name="other", test_set="u", student="c", candidate=True)
    assert looks.looks(project, "t") == looks.looks(project, "t", now="b").model_copy(update={"runs": 1})
    assert looks.looks(project, "t", now="d", coming=["sft", "new"]).students == 3


def test_nothing_new_is_shown_again_at_once(project: Project) -> None:
    first = evaluate(project, "good")
    written = project.summary("good").stat().st_mtime_ns
    again = run(project, "good")
    assert again.stdout == first.stdout
    assert "good: nothing has changed since its last evaluation" in again.stderr
    assert project.summary("good").stat().st_mtime_ns == written
    changed = run(project, "good", "--set", "evaluate.margin=0.2")
    assert "nothing has changed" not in changed.stderr
    (project.root / "good.jsonl").write_text((project.root / "half.jsonl").read_text())
    assert "nothing has changed" not in run(project, "good").stderr


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--as", "x"), "--as x names the student of --answers, which is missing"),
        (("good", "--answers", "good.jsonl"), "Give its name as --as good"),
        (("--answers", "good.jsonl", "--answers", "half.jsonl", "--as", "x"), "2 times --answers and 1 times --as"),
        (("--answers", "good.jsonl", "--answers", "good.jsonl"), "Two of the students would be called 'good'"),
        (("--answers", "good.jsonl", "--as", "../x"), "expected a name of letters"),
        (("--answers", "good.jsonl", "--md", "-", "--json"), "Both --json and --md - write to stdout"),
        ((), "has no student to evaluate. Train one: .* --answers FILE --as NAME"),
    ],
)
def test_options_that_do_not_fit_are_explained(project: Project, arguments: tuple[str, ...], what: str) -> None:
    result = run(project, *arguments)
    assert isinstance(result.exception, UserError)
    assert re.search(what, str(result.exception))


def test_a_summary_for_a_pull_request_goes_to_stdout(project: Project, tmp_path: Path) -> None:
    result = evaluate(project, "good", "half", more=("--md", "-", "--inspect", str(tmp_path / "log.json")))
    assert result.stdout.startswith("## good: ")
    assert "\n## half: " in result.stdout
    assert sorted(path.name for path in tmp_path.glob("log*")) == ["log-good.json", "log-half.json"]
