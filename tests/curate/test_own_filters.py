"""Filters of the user's own Python file, thresholds, and names that are switched on and off."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.evidence.filters import DEFAULT, choose_filters
from distil.curate.stage import run
from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.manifest import stage_state
from distil.runs.schemas.evidence import Evidence
from tests.curate.material import answer, distinct_text, project_with, prompt

OWN = """
def too_formal(prompt, answer):
    return "speaks to a king" if "Majesty" in answer.text else None

def shouting(prompt, answer):
    return sum(c.isupper() for c in answer.text) / max(1, len(answer.text))

def breaks(prompt, answer):
    return prompt.fields["channel"]

def odd(prompt, answer):
    return ["reason"]
"""


def project(folder: Path, texts: list[str]) -> Project:
    prompts = [prompt(distinct_text(i)) for i in range(len(texts))]
    (folder / "mine.py").write_text(OWN)
    return project_with(folder, prompts, [answer(p, t) for p, t in zip(prompts, texts, strict=True)])


def rows(made: Project) -> dict[str, Evidence]:
    return {row.answer_id: row for row in read_records(made.evidence, Evidence)}


def test_names_are_added_to_the_default_ones_and_taken_out() -> None:
    assert set(choose_filters("default").active) == set(DEFAULT)
    assert set(choose_filters(["default", "personal_data"]).active) == {*DEFAULT, "personal_data"}
    assert set(choose_filters(["default", "-refusal"]).active) == set(DEFAULT) - {"refusal"}
    assert not choose_filters([]).active
    with pytest.raises(UserError, match=r"'-refusl'.*Did you mean 'refusal'"):
        choose_filters(["default", "-refusl"])


def test_a_threshold_moves_a_filter() -> None:
    assert choose_filters(["refusal"], {"refusal": 0.9}).active["refusal"].threshold == 0.9
    with pytest.raises(UserError, match=r"curate\.thresholds: found 'refusals', unknown here. Did you mean 'refusal'"):
        choose_filters("default", {"refusals": 0.9})
    with pytest.raises(UserError, match=r"not among curate\.filters"):
        choose_filters("default", {"personal_data": 2})


def test_a_function_of_ones_own_drops_with_its_reason(tmp_path: Path) -> None:
    made = project(tmp_path, ["Your Majesty, it is here.", "It is here.", "IT IS OVER THERE", "There it is"])
    filters = ["default", "mine.py:too_formal", "mine.py:shouting"]
    assert run(made, CurateConfig(test=0, filters=filters)).dropped == {"too_formal": 1, "shouting": 1}
    found = {row.own["shouting"].value for row in rows(made).values() if "shouting" in row.own}
    assert max(found) > 0.8 and len(rows(made)) == 4
    relaxed = CurateConfig(test=0, filters=filters, thresholds={"shouting": 0.95})
    assert run(made, relaxed).dropped == {"too_formal": 1}
    assert stage_state(made, "curate")[0] == "done"
    (tmp_path / "mine.py").write_text(OWN + "# another rule")
    assert stage_state(made, "curate")[0] == "stale"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("mine.py:breaks", "mine.py, line 9: KeyError: 'channel'. This happened in breaks for answer_"),
        ("mine.py:odd", "odd in mine.py returned a list for answer_"),
        ("mine.py:too_formel", "has no function 'too_formel'.*Did you mean 'too_formal'"),
        ("mine.py", "Name the function in it too: mine.py:my_function"),
        ("their.py:x", "their.py is not there"),
        ("bad.py:x", "bad.py, line 2: "),
        ("worse.py:x", "worse.py, line 1: ZeroDivisionError"),
    ],
)
def test_faults_of_a_file_of_ones_own_are_named(entry: str, message: str, tmp_path: Path) -> None:
    made = project(tmp_path, ["It is here.", "There it is"])
    (tmp_path / "bad.py").write_text("import re\ndef x(:\n")
    (tmp_path / "worse.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match=message):
        run(made, CurateConfig(test=0, filters=["default", entry]))


CHECK = """
def wrong_sum(prompt, answer):
    wanted = sum(int(word) for word in prompt.messages[-1].text.split() if word.isdigit())
    return None if answer.text == f"It is {wanted}." else "the sum is wrong"
"""


def test_of_several_samples_the_first_that_passes_is_taken(tmp_path: Path) -> None:
    """Rejection sampling: also held-out prompts have one answer, and a prompt with none that passes is left out."""
    (tmp_path / "check.py").write_text(CHECK)
    wrong = {0: (0, 2), 1: (0, 1), 2: (), 3: (0, 1, 2, 3)}  # question modulo 4 -> samples that are wrong
    asked = [prompt(f"What are {i} and {i * i + 17} together?") for i in range(24)]
    answers = [
        answer(each, f"It is {i + i * i + 17 + (sample in wrong[i % 4])}.", sample=sample)
        for i, each in enumerate(asked)
        for sample in range(4)
    ]
    made = project_with(tmp_path, asked, answers)
    run(made, CurateConfig(filters=["default", "check.py:wrong_sum"], test=4, validation=0.2, near_duplicates=None))
    rows = [row for side in ("train", "validation", "test") for row in read_examples(made.split(side))]
    sample_of = {each.id: each.sample for each in answers}
    found = {row.prompt_id: sample_of[str(row.answer_id)] for row in rows}
    first = {0: 1, 1: 2, 2: 0}
    assert found == {each.id: first[i % 4] for i, each in enumerate(asked) if i % 4 != 3} and len(rows) == 18
    assert {row.split for row in rows} == {"train", "validation", "test"}
