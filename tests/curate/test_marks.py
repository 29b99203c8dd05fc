"""A person's word on an answer overrules the filters, and a new mark makes the stage stale."""

from __future__ import annotations

from pathlib import Path

from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.records import Answer, Message, Prompt, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records, write_records
from distil.runs.manifest import stage_state


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

    marks = [
        Verdict(answer_id="answer_0", prompt_id=prompts[0].id, filter="person", keep=True, reason="a good refusal"),
        Verdict(answer_id="answer_5", prompt_id=prompts[5].id, filter="person", keep=False, reason="wrong"),
    ]
    write_records(project.marks, marks)
    assert stage_state(project, "curate")[0] == "stale"
    result = run(project, section)
    assert result.dropped == {"person": 1}
    assert [v.answer_id for v in read_records(project.dropped, Verdict)] == ["answer_5"]
