"""A person's word on an answer overrules the filters, an edited answer is trained on, and a new mark makes the stage stale."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.ids import now
from distil.records import Answer, Message, Prompt, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.manifest import stage_state
from distil.runs.marks import add_mark
from distil.runs.schemas.evidence import Evidence
from distil.runs.schemas.marks import Mark
from tests.curate.material import answer, distinct_text, project_with, prompt


def test_marks_overrule_the_filters(tmp_path: Path) -> None:
    project = Project(tmp_path)
    prompts = [
        Prompt.make([Message(role="user", content=f"what is number {n} of these {n * 31} things")]) for n in range(12)
    ]
    texts = ["As an AI language model, I cannot help with that."] + [f"it is thing {n * 17}" for n in range(1, 12)]
    answers = [
        Answer(
            id=f"answer_{n}",
            prompt_id=p.id,
            teacher="t",
            sampling=Sampling(),
            text=text,
            finish_reason="stop",
            call_id="c",
        )
        for n, (p, text) in enumerate(zip(prompts, texts, strict=True))
    ]
    write_records(project.prompts, prompts)
    write_records(project.answers, answers)
    section = CurateConfig(test=2)
    assert run(project, section).dropped == {"refusal": 1}
    assert stage_state(project, "curate")[0] == "done"

    add_mark(project.marks, word("answer_0", prompts[0].id, "good"))
    add_mark(project.marks, word("answer_5", prompts[5].id, "bad", reason="wrong"))
    assert stage_state(project, "curate")[0] == "stale"
    result = run(project, section)
    assert result.dropped == {"person": 1}
    (dropped,) = read_records(project.dropped, Verdict)
    assert (dropped.answer_id, dropped.reason) == ("answer_5", "wrong")


def word(
    answer_id: str,
    prompt_id: str,
    mark: Literal["good", "bad", "edited", "none"],
    text: str | None = None,
    reason: str = "",
) -> Mark:
    return Mark(answer_id=answer_id, prompt_id=prompt_id, mark=mark, text=text, reason=reason, created=now())


def test_an_edited_answer_is_trained_on(tmp_path: Path) -> None:
    asked = [prompt(distinct_text(n)) for n in range(6)]
    answers = [answer(p, f"answer {n} to {p.id}", teacher=t) for n, p in enumerate(asked) for t in ("a", "b")]
    project = project_with(tmp_path, asked, answers)
    second = answers[1]
    assert (second.prompt_id, second.teacher) == (asked[0].id, "b")
    add_mark(project.marks, word(second.id, asked[0].id, "edited", "What it should have said."))
    run(project, CurateConfig(test=0, validation=0))
    (example,) = [e for e in read_examples(project.split("train")) if e.prompt_id == asked[0].id]
    assert (example.answer, example.answer_id) == ("What it should have said.", second.id)
    evidence = {row.answer_id: row for row in read_records(project.evidence, Evidence)}
    assert evidence[second.id].edits == ["person"] and evidence[second.id].original == second.text
    lost = {v.answer_id: v.reason for v in read_records(project.dropped, Verdict)}
    assert second.id in lost[answers[0].id]


def test_a_mark_that_is_taken_back_counts_no_more(tmp_path: Path) -> None:
    asked = [prompt(distinct_text(n)) for n in range(3)]
    answers = [answer(p, f"answer to {p.id}") for p in asked]
    project = project_with(tmp_path, asked, answers)
    add_mark(project.marks, word(answers[0].id, asked[0].id, "bad"))
    add_mark(project.marks, word(answers[0].id, asked[0].id, "none"))
    assert run(project, CurateConfig(test=0)).dropped == {}
