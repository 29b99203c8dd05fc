"""Where one form makes many rows near-duplicates, they are split by what differs, and it is said."""

from __future__ import annotations

import json
from pathlib import Path

from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.records import Example
from distil.runs.jsonl import read_examples
from tests.curate.material import answer, distinct_text, project_with, prompt

FORMS = (
    "What is the weather forecast for {} on day {} of next month, please answer briefly and politely, with the temperature",
    "Book me a table in the best restaurant of {} for {} people tonight, near the central station if there is one, with a view",
    "Translate the name of the city {} and the number {} into French, German and Spanish, and give all of them in one table",
)
CITIES = ("Paris", "Rome", "Oslo", "Lima", "Cairo")


def test_three_templates_are_split_by_what_differs(tmp_path: Path) -> None:
    prompts = [prompt(form.format(city, n)) for form in FORMS for city in CITIES for n in range(1, 13)]
    answers = [answer(p, json.dumps({"number": n})) for n, p in enumerate(prompts)]
    project = project_with(tmp_path, prompts, answers)
    result = run(project, CurateConfig(test=40))
    assert result.test > 30 and result.train > 80 and not result.dropped.get("leak")
    assert any("One template glues the data together: 60 prompts" in note for note in result.warnings)
    assert result.max_similarity is not None and result.max_similarity > 0.85  # what train and test share is said

    def asked(example: Example) -> str:
        return example.messages[-2].text

    test = [asked(e) for e in read_examples(project.split("test"))]
    assert all(any(text.startswith(form[:20]) for text in test) for form in FORMS)
    assert not set(test) & {asked(e) for e in read_examples(project.split("train"))}


def test_a_few_near_duplicates_are_no_template(tmp_path: Path) -> None:
    prompts = [prompt(distinct_text(n)) for n in range(200)] + [prompt(FORMS[0].format("Paris", n)) for n in range(20)]
    answers = [answer(p, f"{n} degrees") for n, p in enumerate(prompts)]
    project = project_with(tmp_path, prompts, answers)
    result = run(project, CurateConfig(test=60))
    assert not any("template" in note for note in result.warnings)
    where = {
        side
        for side in ("train", "test")
        if any("Paris" in e.messages[0].text for e in read_examples(project.split(side)))
    }
    assert len(where) <= 1
