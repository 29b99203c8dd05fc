"""Comparing students: what is shown agrees with its p value, several at once, two projects, and what can't be paired."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.evaluate import compare, stage
from distil.evaluate.compare import _outcome
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.given import elsewhere
from distil.models.config import StudentConfig
from distil.records import Example
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.summary import MetricInfo
from tests.tiny import write_tiny_splits

COUNT = 60
METRICS = ["exact_match", "field_agreement", "rouge_l", "truncated"]


def evaluated(project: Project, name: str, right: Callable[[int], bool], metrics: list[str] = METRICS) -> None:
    """Evaluates a student whose answers equal the teacher's where `right` says so."""
    if not project.split("test").exists():
        write_tiny_splits(project, train=0, validation=0, test=COUNT)
    rows = [
        {"prompt_id": e.prompt_id, "text": e.answer if right(number) else "no"}
        for number, e in enumerate(read_examples(project.split("test")))
    ]
    path = project.root / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage.run(
        project,
        EvaluateConfig(metrics=metrics, ceiling=False, set_apart={"wording": "unseen"}),
        name=name,
        teachers=[TeacherConfig(model="recorded/none.jsonl")],
        student=StudentConfig(),
        answers=elsewhere(str(path), project),
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "task")
    evaluated(made, "good", lambda i: i < 57)
    evaluated(made, "close", lambda i: i >= 5)
    evaluated(made, "bad", lambda i: i < 30)
    return made


def test_two_students_are_paired(project: Project) -> None:
    forward, back = compare.pair(project, "good", "bad"), compare.pair(project, "bad", "good")
    assert forward.differences[0].difference.mean == pytest.approx(27 / 60)
    assert back.differences[0].difference.mean == pytest.approx(-27 / 60)
    assert (forward.outcome, back.outcome) == ("better", "worse")
    assert forward.sentence.startswith("good is better than bad: +0.450 ")
    assert back.sentence.startswith("bad is worse than good: -0.450 ")
    assert compare.run([project], ["bad", "good"]).students == ["good", "bad"]


def test_a_sentence_never_contradicts_its_p_value(project: Project) -> None:
    pair = compare.pair(project, "good", "close")
    assert pair.differences[0].p_holm is not None and pair.differences[0].p_holm > 0.05
    assert pair.outcome == "open"
    assert pair.sentence.startswith("No difference between good and close is shown: +0.033 ")
    assert f"p {pair.differences[0].p_holm:.3g}" in pair.sentence


@given(
    st.floats(-1, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 1)),
    st.sampled_from(["higher", "lower"]),
)
def test_better_needs_interval_and_p_value(mean: float, down: float, up: float, p: float | None, better: str) -> None:
    interval = Interval(mean=mean, low=mean - down, high=mean + up, n=9)
    row = Difference(metric="m", versus="b", difference=interval, p=None, p_holm=p)
    outcome = _outcome(row, MetricInfo(label="m", against="teacher", better=better), 0.95)  # type: ignore[arg-type]
    assert interval.low is not None and interval.high is not None
    if outcome == "open":
        assert p is None or p >= 0.05 or interval.low <= 0 <= interval.high
    else:
        assert p is not None and p < 0.05
        assert (outcome == "better") == ((interval.low > 0) == (better == "higher"))


def test_p_values_of_several_are_corrected_over_pairs(project: Project) -> None:
    three = compare.run([project], ["bad", "good", "close"])
    assert three.students == ["good", "close", "bad"]
    assert [(pair.a, pair.b) for pair in three.pairs] == [("good", "close"), ("good", "bad"), ("close", "bad")]
    plain = {pair.b: pair.differences[0].p for pair in three.pairs if pair.a == "good"}
    corrected = {pair.b: pair.differences[0].p_holm for pair in three.pairs if pair.a == "good"}
    assert corrected["close"] == plain["close"]  # the largest of them
    assert plain["bad"] is not None and corrected["bad"] == pytest.approx(3 * plain["bad"])
    assert three.sentence.startswith("Best of 3 students: good (")
    assert (
        "better than bad and is not shown to be better than close (p values corrected over 3 pairs)" in three.sentence
    )
    assert "expect a little less on new ones" in three.sentence


def test_students_of_two_projects_are_paired_by_prompt(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    evaluated(other, "good", lambda i: i < 20)
    found = compare.run([project, other], ["good"])
    assert found.students == ["task/good", "other/good"]
    assert (found.shared_prompts, found.notes) == (COUNT, [])
    assert found.pairs[0].outcome == "better"
    found = compare.run([project, other], ["good", "bad"])
    assert set(found.students) == {"task/good", "other/good", "bad"}


def test_other_teachers_answers_are_said(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    write_tiny_splits(other, train=0, validation=0, test=COUNT)
    rows = list(read_examples(other.split("test")))
    turn = rows[0].messages[-1].model_copy(update={"content": "{}"})
    write_records(
        other.split("test"), [rows[0].model_copy(update={"messages": [*rows[0].messages[:-1], turn]}), *rows[1:40]]
    )
    evaluated(other, "x", lambda i: i < 20)
    notes = compare.run([project, other], ["good", "x"]).notes
    assert notes[0] == "Compared on the 40 prompts that all have; the largest test set has 60."
    assert notes[1].startswith("The projects have different teacher's answers to 1 of the prompts")


def test_prompts_set_apart_do_not_count(tmp_path: Path) -> None:
    project = Project(tmp_path / "task")
    write_tiny_splits(project, train=0, validation=0, test=COUNT)

    def marked(number: int, example: Example) -> Example:
        return example.model_copy(update={"fields": {"wording": "unseen" if number < 20 else "known"}})

    write_records(project.split("test"), [marked(*row) for row in enumerate(read_examples(project.split("test")))])
    evaluated(project, "a", lambda i: i >= 20)
    evaluated(project, "b", lambda i: True)
    found = compare.run([project], ["a", "b"])
    assert found.shared_prompts == 40
    assert found.pairs[0].differences[0].difference.mean == 0
    assert found.notes == ["Prompts that evaluate.set_apart names are left out."]


def test_what_can_not_be_compared_is_explained(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Evaluated: bad, close, good. Did you mean 'good'"):
        compare.run([project], ["bad", "gold"])
    with pytest.raises(UserError, match=r"needs two students, found only 'bad'\. Evaluated: bad, close, good"):
        compare.run([project], ["bad", "bad"])
    other = Project(tmp_path / "other")
    write_tiny_splits(other, train=COUNT, validation=0, test=COUNT)
    evaluated(other, "x", lambda i: True)
    with pytest.raises(UserError, match="bad and x were evaluated on different test prompts"):
        compare.run([project, other], ["bad", "x"])
    evaluated(project, "length", lambda i: True, ["length_ratio"])
    with pytest.raises(UserError, match=r"different metrics .* and none that can decide is common"):
        compare.run([project], ["bad", "length"])
