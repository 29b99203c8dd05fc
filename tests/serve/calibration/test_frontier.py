"""What each share of answers by the student comes to, and what `distil calibrate` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from distil.cli.main import main
from distil.records import Usage
from distil.runs.jsonl import read_examples, write_json, write_records
from distil.runs.manifest import stage_run
from distil.serve.calibration import calibrate
from distil.serve.calibration.acceptance import Given, Rule
from distil.serve.calibration.decide import Student, Unlabeled, decide
from distil.serve.calibration.frontier import Waiting, frontier
from distil.serve.calibration.scored import Scored
from distil.serve.config import ServeConfig
from distil.serve.wire import ChatReply
from tests.report.sample import COST
from tests.serve.calibration.test_calibrate import example, project_with, section_for
from tests.serve.running import StudentServer


def test_the_frontier_and_its_bill(tmp_path: Path) -> None:
    """From few to all answers by the student: bad, good overall, dollars, seconds; what is not known is left open."""
    project = project_with(tmp_path)
    with StudentServer() as student:
        bare = calibrate.run(project, section_for(student), name="s").frontier
        options = [{**option, "name": "s alone"} for option in COST["options"][1:2]]
        write_json(project.cost, COST | {"options": options})
        priced = calibrate.run(project, section_for(student), name="s")
    assert [round(point.share, 1) for point in bare] == [n / 10 for n in range(1, 11)]
    assert all(point.usd_per_month is None and point.p50_s is None for point in bare)
    assert bare[3].bad == 0.0 and bare[3].low == 0.0 < bare[3].high < 0.2
    assert bare[-1].bad == pytest.approx(0.5, abs=0.02) and bare[-1].quality == pytest.approx(0.5, abs=0.02)
    assert bare[0].quality == 1.0  # the teacher's answers are the measure
    assert [p.usd_per_month for p in priced.frontier] == pytest.approx([5.84 + (1 - p.share) * 28.08 for p in bare])
    assert priced.attempt == 1 and priced.frontier_prompts == 80


def test_each_test_prompt_is_judged_once(tmp_path: Path) -> None:
    """And only those that could be judged are counted, in the check and in the frontier."""
    asked = list[int]()

    def judge(given: Sequence[Given]) -> list[bool]:
        asked.append(len(given))
        return [False] * len(given)

    def rows(first: int, count: int, side: str) -> Scored:
        made = [example(first + n, (n + 1) / (count + 1), side, right=True) for n in range(count)]
        replies = [ChatReply("yes", "stop", Usage(output_tokens=1)) for _ in made]
        return Scored(made, replies, [(n + 1) / (count + 1) for n in range(count)])

    labeled, held_out, apart = rows(0, 120, "validation"), rows(1_000, 40, "test"), rows(2_000, 7, "test")
    section, student = ServeConfig(risk=0.1), Student("s", "m")
    rule = Rule("judge", "prose", 1.0, judge=judge, judged="bad")
    made, _ = decide(labeled, Unlabeled(held_out, apart), student, section, [], rule=rule, similarity=None)
    assert made.threshold is not None and asked == [120, 40, 7]
    references = [
        e.model_copy(update={"reference": "yes" if n < 30 else None}) for n, e in enumerate(held_out.examples)
    ]
    labeled = labeled._replace(examples=[e.model_copy(update={"reference": "yes"}) for e in labeled.examples])
    some, by_reference = held_out._replace(examples=references), Rule("reference", "label", 1.0)
    made, _ = decide(labeled, Unlabeled(some, apart), student, section, [], rule=by_reference, similarity=None)
    assert made.test is not None and made.test.prompts == made.frontier_prompts == 30
    assert made.frontier and made.apart is None


def test_seconds_of_the_frontier_add_up() -> None:
    """The teacher's come after the student's, where it answers."""
    rows = [example(n, (n + 1) / 41, "test", right=True) for n in range(40)]
    scored = Scored(rows, [], [(n + 1) / 41 for n in range(40)])
    points = frontier(scored, [False] * 40, [False] * 40, None, Waiting([0.1], [2.0]))
    assert [(points[n].p50_s, points[n].p95_s) for n in (0, 5, 9)] == [
        (pytest.approx(2.1), pytest.approx(2.1)),
        (pytest.approx(0.1), pytest.approx(2.1)),
        (pytest.approx(0.1), pytest.approx(0.1)),
    ]
    assert frontier(scored, [False] * 19, [False] * 19) == []  # too few prompts


def test_prompts_set_apart_refute_nothing(tmp_path: Path) -> None:
    """They are requests of another kind, and reported as such."""
    project = project_with(tmp_path)
    other = [example(20_000 + n, 0.55 + n / 200, "test", right=n % 3 > 0) for n in range(60)]
    other = [row.model_copy(update={"fields": {"wording": "unseen"}}) for row in other]
    write_records(project.split("test"), [*read_examples(project.split("test")), *other])
    with StudentServer() as student:
        section = section_for(student)
        assert calibrate.run(project, section, name="s").refuted
        apart = calibrate.run(project, section, name="s", is_apart=lambda e: e.fields.get("wording") == "unseen")
    assert not apart.refuted and apart.threshold is not None
    assert apart.test is not None and apart.test.prompts == 80
    assert apart.apart is not None and apart.apart.prompts == 60 and apart.apart.bad >= 19


def test_the_command_says_first_whether_it_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ends with 4 where it did not."""
    config = {"task": "t", "prompts": {"path": "p.jsonl"}, "teachers": [{"model": "openai/gpt-5-mini"}]}
    (tmp_path / "distil.yaml").write_text(json.dumps(config))
    with StudentServer() as student:
        settings = ["--set", f"serve.engine={student.url}#student", "--set", "serve.risk=0.1"]
        for below, first, code in (
            (0.5, "CERTIFIED: s answers about 5", 0),
            (2.0, "NOT CERTIFIED: the teacher answers", 4),
        ):
            project = project_with(tmp_path, bad_below=below)
            with stage_run(project, "train", {}, "s"):
                project.model("s").mkdir(parents=True, exist_ok=True)
            typed = ["distil", "calibrate", "s", "--project", str(tmp_path), *settings]
            with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
                patched.setattr("sys.argv", typed)
                main()
            stdout = capsys.readouterr().out
            assert stdout.startswith(first) and ended.value.code == code
            assert "What the test prompts show (80;" in stdout
            assert "the dollars: distil cost" in stdout
