"""The looks at a test set: how many students, and what a plan of looks gives to each of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.calls.ledger.allowance import Allowance
from distil.calls.ledger.rows import IntentRow
from distil.calls.ledger.store import Ledger
from distil.evaluate.looks import alike, looks, note, remember
from distil.runs.artifacts import Project
from distil.runs.schemas.decision import Looks


def look(project: Project, student: str, share: float | None = None, name: str = "sft") -> None:
    note(project, name=name, test_set="t", student=student, candidate=True, share=share)


def test_the_students_of_a_plan_count_as_one_and_divide_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for student, share in (("a", 0.2), ("b", 0.2), ("c", 0.4)):
        look(project, student, share)
    assert [looks(project, "t", now=student).comparisons for student in "abc"] == [5, 5, 2.5]
    assert looks(project, "t", now="c").correction.startswith("at 40.0% of the error")
    look(project, "other", name="other")
    seen = {student: looks(project, "t", now=student) for student in ("a", "b", "c", "other")}
    assert seen["c"].corrected_for == 2 and seen["c"].students == 4
    assert seen["other"].comparisons == 2 and seen["other"].correction == "corrected for 2 students"
    assert sum(1 / found.comparisons for found in seen.values()) <= 1
    assert looks(project, "t", now="d", share=0.1).comparisons == 20  # one of the plan, before it is looked at


def test_shares_of_several_plans_are_scaled_to_one_error(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for number in range(4):
        look(project, f"student {number}", 0.8)
    every = [looks(project, "t", now=f"student {number}") for number in range(4)]
    assert sum(1 / found.comparisons for found in every) == pytest.approx(1)


def test_a_plan_does_not_hide_a_look_before_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    look(project, "a")
    assert looks(project, "t", now="a", share=0.8).comparisons == 2.5  # one without a plan, and the plan
    look(project, "a", 0.8)
    assert looks(project, "t", now="b", share=0.1).comparisons == 20


def test_without_a_plan_nothing_has_changed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    look(project, "a")
    assert looks(project, "t", now="b", coming=["c"]) == Looks(students=3, runs=3, corrected_for=3)
    assert Looks(students=1, runs=1, corrected_for=1).correction == ""


def test_a_sum_of_dollars_begins_where_it_is_told(tmp_path: Path) -> None:
    project = Project(tmp_path)
    allowance = Allowance(project.ledger, 2.0)
    assert (allowance.spent(), allowance.left(), allowance.cap("collect", 5.0)) == (0.0, 2.0, 2.0)
    assert Allowance(project.ledger, 2.0, before=-1.5).left() == 0.5
    assert Allowance(project.ledger, 2.0, before=-3.0).left() == 0.0
    assert allowance.cap("judge", 5.0, configured=0.5) == 0.5


def test_an_open_batch_makes_no_sum_larger(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with Ledger(project.ledger) as ledger:
        ledger.start()
        ledger.intend([IntentRow("call_1", "collect", "m", "e", "batch", 0, ledger.run, 1.5, "2026-01-01T00:00:00Z")])
    allowance = Allowance(project.ledger, 2.0)
    assert allowance.left() == 0.5  # it may turn out to cost less; then there is more left, never more than the sum
    with Ledger(project.ledger) as ledger:
        ledger.start()
        ledger.fail([("call_1", "it has expired")])
    assert allowance.left() == 2.0


def test_prompts_of_which_half_are_the_same_are_one_test(tmp_path: Path) -> None:
    project, ids = Project(tmp_path), [f"p{number}" for number in range(300)]
    sets = {"whole": ids[:200], "less": ids[1:200], "more": ids, "drawn again": ids[140:300], "few": ids[:29]}
    for name, prompts in sets.items():
        remember(project, name, prompts)
    remember(project, "whole", [])  # what is known stays
    assert alike(project, "whole") == {"whole", "less", "more"}
    assert alike(project, "more") == {"whole", "less", "more", "drawn again"}
    assert alike(project, "few") == {"few"} and alike(project, "unknown") == {"unknown"}


def test_the_same_student_on_fewer_prompts_is_another_look(tmp_path: Path) -> None:
    project, ids = Project(tmp_path), [f"p{number}" for number in range(100)]
    for name, prompts in (("t", ids), ("less", ids[5:])):
        remember(project, name, prompts)
    look(project, "a", 0.4)
    assert looks(project, "less", now="a", share=0.8).comparisons == pytest.approx((0.4 + 0.8) / 0.8)
    assert looks(project, "less", now="a") == Looks(students=2, runs=2, corrected_for=2)
    assert looks(project, "t", now="a").comparisons == 2.5  # at the same prompts it stays the same look
