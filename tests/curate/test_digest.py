"""What is said about the evidence: each reason with its count and two examples, on one line each, nothing secret or raw."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from distil.cli.curate import reason_lines
from distil.curate.config import CurateConfig
from distil.curate.stage import CurateResult, run
from distil.doctor import data
from distil.doctor.evidence import Evidence as Seen
from distil.records import Answer
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.schemas.evidence import Evidence
from tests.curate.material import answer, distinct_text, project_with, prompt

KEY = "AKIA" + "Z7QK3M5N2P8R4T6W"
REST = "Copying a game breaks the law in most countries, and it takes income from the people who made it, so buy it."


def curated(folder: Path, texts: list[str], **settings: object) -> tuple[Project, CurateResult, list[Answer]]:
    prompts = [prompt(distinct_text(number)) for number in range(len(texts))]
    answers = [answer(p, text) for p, text in zip(prompts, texts, strict=True)]
    project = project_with(folder, prompts, answers)
    return project, run(project, CurateConfig.model_validate({"test": 0} | settings)), answers


def test_each_reason_has_its_count_and_two_examples(tmp_path: Path) -> None:
    texts = ["I'm sorry, but I can't help with that."] * 3 + [
        f"As an AI language model, I have no opinions. However, {REST}"
    ]
    texts += [f"the mail {n} of jane.doe{n}@example.org is there" for n in range(2)] + [f"fine {n}" for n in range(6)]
    project, result, answers = curated(tmp_path, texts)
    found = {(reason.kind, reason.name): reason for reason in result.reasons}
    assert found["dropped", "refusal"].count == 3 and len(found["dropped", "refusal"].examples) == 2
    assert found["corrected", "boilerplate"].count == 1
    assert found["suspicious", "personal_data"].count == 2
    rows = {row.answer_id: row for row in read_records(project.evidence, Evidence)}
    edited = rows[answers[3].id]
    assert edited.edits == ["boilerplate"] and edited.original == texts[3] and edited.dropped is None
    kept = {e.answer_id: e.answer for e in read_examples(project.split("train"))}
    kept |= {e.answer_id: e.answer for e in read_examples(project.split("validation"))}
    assert kept[answers[3].id] == REST
    assert rows[answers[4].id].suspicious == ["personal_data"] and rows[answers[0].id].dropped == "refusal"


def test_a_secret_is_counted_and_never_shown(tmp_path: Path) -> None:
    _, result, _ = curated(tmp_path, [f"use {KEY} for it", *(f"fine {n}" for n in range(5))])
    (reason,) = [reason for reason in result.reasons if reason.name == "secrets"]
    assert reason.count == 1 and reason.examples[0].text == "" and KEY not in result.model_dump_json()


@pytest.mark.parametrize("columns", [60, 120])
def test_the_lines_fit_and_move_no_cursor(columns: int, tmp_path: Path) -> None:
    texts = [
        "I'm sorry, but I can't help with \x1b[31mthat\x1b]0;title\x07 \u202eat all, and never will, not even on Sundays."
    ]
    texts += [
        "很抱歉，我无法满足您的请求，也不能提供这方面的任何帮助，请您谅解并且联系相关的专业人士。" * 2,
        *(f"fine {n}" for n in range(5)),
    ]
    _, result, _ = curated(tmp_path, texts)
    lines = [line for line, _ in reason_lines(result.reasons, columns)]
    assert len(lines) == 4 and all(cell_len(line) <= columns for line in lines)
    assert "refusal  2  “" in lines[1] and lines[2].startswith(" " * 14)
    assert all(line.isprintable() for line in lines)


def test_the_doctor_counts_neither_lost_votes_nor_few_suspicions(tmp_path: Path) -> None:
    prompts = [prompt(distinct_text(number)) for number in range(40)]
    answers = [answer(p, f"{who} {p.id}", teacher=who) for p in prompts for who in ("a", "b", "c")]
    project = project_with(tmp_path, prompts, answers)
    run(project, CurateConfig(test=0))
    found = data.much_dropped(Seen(project))
    assert found.level == "ok" and found.seen == "0 of 40 answers were dropped. 80 more were not chosen."
    assert data.suspicious(Seen(project)).level == "ok"


def test_the_doctor_names_what_is_suspicious(tmp_path: Path) -> None:
    """A question back is suspicious; addresses and phone numbers are normal in many tasks."""
    asks = [f"I do not have enough context to say more about row {n} of it." for n in range(8)]
    project, _, _ = curated(tmp_path / "asks", asks + [f"fine {n}" for n in range(20)])
    found = data.suspicious(Seen(project))
    assert found.level == "warn" and "refusal 8" in found.seen and "enough context" in found.seen
    mails = [f"write to jane.doe{n}@example.org about it" for n in range(8)]
    project, _, _ = curated(tmp_path / "mails", mails + [f"fine {n}" for n in range(20)])
    found = data.suspicious(Seen(project))
    assert found.level == "ok" and "personal_data 8" in found.seen
