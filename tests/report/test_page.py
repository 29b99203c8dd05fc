"""The page: whole, in parts, with nothing, and never running what an answer says."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from distil.config import parse_config
from distil.config_file import write_config
from distil.errors import UserError
from distil.report import page
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json
from distil.runs.manifest import stage_state
from distil.runs.schemas.cost import CostSummary
from tests.report.sample import COST, calibration, make_project, write_cost, write_data

EVIL = '"></script><script>alert("x")</script><img src=x onerror=alert(1)>'
VOID = {"meta", "line", "circle", "rect", "polyline", "br", "img", "input"}


class Tags(HTMLParser):
    """Collects tags and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def read(path: Path) -> tuple[str, Tags, str]:
    html = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return html, tags, " ".join(" ".join(tags.text).split())


def test_the_judge_s_sentence_and_details_are_shown(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=60, test=60, students=("sft",))
    path = project.stage("evaluate", "sft") / "summary.json"
    judge = {"model": "m", "pairs": 60, "read": 33, "replies": {"asked": 120}, "usable": False}
    said = {"sentence": "The judge (m) read 33 of 60 pairs.", "details": ["The longer answer won 80% of them."]}
    write_json(path, {**read_json(path), "judge": {**judge, **said}})
    assert "The judge (m) read 33 of 60 pairs. The longer answer won 80% of them." in read(page.build(project))[2]


def test_a_finished_project_is_one_file_with_the_verdict_first(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=600, test=150)
    write_cost(project)
    html, tags, text = read(page.build(project))
    assert not re.search(r'(?:src|href)="(?!#)', html)
    assert not re.search(r"url\(|@import|https?://(?!openai)", html)
    for words in ("SHIP", "logits can ", "teacher again", "logits − teacher", "baseline (references only)"):
        assert words in text, words
    assert text.index("Fields right") < text.index("What it costs")
    assert tags.seen.count("section") == 7
    assert "$5.84" in text and "genai-prices 0.2.3" in text
    assert stage_state(project, "report")[0] == "done"
    assert len(html) < 400_000


def test_answers_are_shown_as_text_and_never_run(tmp_path: Path) -> None:
    """public-bugs 27: anthropics/skills #1394, senrigan #48 (in answers, names, labels; HTML, attributes, embedded JSON)."""
    project = make_project(tmp_path / "p", train=40, test=40, students=("sft",), right={"sft": 0.3}, evil=EVIL)
    project.config.write_text(
        write_config(
            parse_config(
                {"task": EVIL, "prompts": {"path": "p.jsonl"}, "teachers": [{"model": "openai/gpt-4o-mini"}]}, "x"
            )
        ),
        encoding="utf-8",
    )
    html, tags, _ = read(page.build(project))
    assert EVIL not in html
    assert tags.seen.count("script") == 2  # the packed answers (plain text) and the program of the page
    assert "script-src 'sha256-" in html
    assert "img" not in tags.seen
    assert "default-src 'none'" in html


def test_a_calibrated_fallback_shows_its_promise(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=40, students=("sft",))
    write_json(project.calibration("sft"), calibration("sft").model_dump(mode="json"))
    html, _, text = read(page.build(project))
    assert "With 95% confidence, at most 5% are bad." in text
    assert "Bad answers of sft by the share of the requests that it answers itself" in html  # the curve's label
    assert "estimated on 40 test prompts" in text and "allowed: 5%" in text
    bare = calibration("sft").model_copy(update={"frontier": []})
    write_json(project.calibration("sft"), bare.model_dump(mode="json"))
    assert "estimated on" not in read(page.build(project))[2]
    assert "the student would answer 29 itself, and 1 of those answers are bad" in text
    assert "No fallback threshold" not in text


def test_an_empty_folder_says_what_to_type_first(tmp_path: Path) -> None:
    project = Project(tmp_path / "empty")
    project.root.mkdir()
    _, _, text = read(page.build(project))
    assert "NO VERDICT YET" in text
    assert "What to type next distil collect" in text


def test_collected_data_alone_gives_a_page_with_funnel_and_cost(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    write_data(project, 40, 10)
    write_cost(project)
    _, _, text = read(page.build(project))
    assert "What to type next distil train" in text
    assert "1,234" in text and "I can't say" in text  # a reason with its count and an example
    assert "teacher only" in text
    assert "No student has been evaluated." in text


def test_the_first_screen_shows_the_best_distilled_student(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=60, right={"baseline": 0.99, "sft": 0.7, "logits": 0.9})
    _, _, text = read(page.build(project))
    assert re.search(r"(SHIP|SHIP WITH FALLBACK|DO NOT SHIP|NOT DECIDED) logits ", text)


def test_the_page_goes_stale_and_broken_files_are_named(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=40, students=("sft",))
    page.build(project)
    summary = project.stage("evaluate", "sft") / "summary.json"
    summary.write_text("{", encoding="utf-8")
    assert stage_state(project, "report")[0] == "stale"
    with pytest.raises(UserError, match=r"summary\.json"):
        page.build(project)


def test_the_samples_cost_has_the_shape_of_the_cost_stage() -> None:
    assert CostSummary.model_validate(COST).break_even_coverage == COST["break_even_coverage"]


def test_answers_evaluated_without_a_test_split_are_all_shown(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=40, students=("sft",))
    project.split("test").unlink()
    html, _, text = read(page.build(project))
    assert 'id="payload"' in html
    assert "All 40 test prompts" in text


def test_a_bill_of_another_student_is_left_out_and_named(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=60, students=("sft",))
    write_cost(project)  # of the student logits
    _, _, text = read(page.build(project))
    assert "Run distil cost sft" in text
    assert "$5.84" not in text


def test_prompts_set_apart_are_shown_as_not_counted(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=60, students=("sft",))
    path = project.summary("sft")
    interval = {"mean": 0.7, "low": 0.6, "high": 0.8, "n": 12}
    change = {"mean": -0.2, "low": -0.3, "high": -0.1, "n": 12}
    part = {
        "field": "wording",
        "name": "unseen",
        "prompts": 12,
        "set_apart": True,
        "student": interval,
        "other": interval,
    }
    write_json(
        path,
        {
            **read_json(path),
            "set_apart": 12,
            "slices": [{**part, "difference": change, "p": None, "p_corrected": None}],
        },
    )
    _, _, text = read(page.build(project))
    assert "Not counted for the verdict" in text
    assert "wording: unseen" in text and "−20 points" in text
    assert "12 more are set apart" in text
