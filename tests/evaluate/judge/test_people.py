"""People beside the judge: agreement by the texts that they saw, and a correction that covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from distil.evaluate.judge import Pair, people
from distil.evaluate.judge.pairs import settle
from distil.evaluate.judge.people import pair_id, prediction_powered, summarize
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.schemas.judge import Preference
from tests.evaluate.judge.replies import SETTINGS, verdict
from tests.tiny import tiny_examples

PAIRS = [Pair(example, "student text", example.answer) for example in tiny_examples(60, "test")]


def said(pair: Pair, preferred: str) -> Preference:
    prompt_id = pair.example.prompt_id
    return Preference.model_validate(
        {
            "pair_id": pair_id(prompt_id, pair.student, pair.teacher),
            "prompt_id": prompt_id,
            "preferred": preferred,
            "reason": "r",
        }
    )


def test_agreement_counts_the_marked_pairs_that_were_judged() -> None:
    values = {pair.example.prompt_id: 1.0 for pair in PAIRS[:50]}
    marks = [said(pair, "student") for pair in PAIRS[:9]] + [said(PAIRS[9], "teacher"), said(PAIRS[55], "teacher")]
    found = summarize(PAIRS, values, marks)
    assert found is not None and (found.marked, found.agreement.mean, found.corrected) == (10, 0.9, None)
    assert found.agreement.low is not None and found.agreement.low < 0.7
    assert summarize(PAIRS, values, []) is None


def test_a_mark_does_not_carry_over_to_another_text() -> None:
    values = {pair.example.prompt_id: 1.0 for pair in PAIRS}
    marks = [said(pair._replace(student="something else"), "teacher") for pair in PAIRS]
    assert summarize(PAIRS, values, marks) is None


def test_people_and_their_correction_are_in_the_details() -> None:
    slots = ["A", "B"] * 60
    marks = [said(pair, "student" if index % 4 else "teacher") for index, pair in enumerate(PAIRS[:40])]
    summary = settle(PAIRS, [verdict(slot) for slot in slots], SETTINGS, student="me", preferences=marks).summary
    assert summary.people is not None and summary.people.corrected is not None
    assert summary.people.corrected.mean == pytest.approx(0.75)
    line = summary.details[-1]
    assert line.startswith("People judged 40 of these pairs too and agree with the judge in 75%")
    assert "corrected by them the student wins 75.0%" in line


def test_a_biased_judge_is_corrected_and_covered() -> None:
    """The judge calls 30% of the lost pairs won; people's marks on 60 of 400 pairs take that back."""
    inside, plain = [], []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        person = (draw.random(400) < 0.4).astype(float)
        judge = np.where((person == 0) & (draw.random(400) < 0.3), 1.0, person)
        found = prediction_powered(judge, judge[:60], person[:60])
        inside.append(found.low <= 0.4 <= found.high)
        plain.append(judge.mean())
    assert np.mean(inside) >= 0.93
    assert np.mean(plain) > 0.55


def test_agreement_on_all_marked_pairs_proves_no_certainty() -> None:
    """A judge wrong in 5% of the pairs, 30 marks: often none of them shows it."""
    inside = []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        person = (draw.random(1000) < 0.6).astype(float)
        judge = np.where(draw.random(1000) < 0.05, 1.0, person)
        found = prediction_powered(judge, judge[:30], person[:30])
        inside.append(found.low <= 0.6 <= found.high)
    assert np.mean(inside) >= 0.93


def test_what_people_said_is_read_from_the_project(tmp_path: object) -> None:
    project = Project(str(tmp_path))
    assert people.preferences(project) == []
    write_records(project.people, [said(PAIRS[0], "tie")])
    assert people.preferences(project) == [said(PAIRS[0], "tie")]
