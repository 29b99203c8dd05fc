"""The stage `curate` from files to files: what is kept, what is dropped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from distil.curate.config import CurateConfig
from distil.curate.evidence.found import Found
from distil.curate.select import read_collected
from distil.curate.stage import run
from distil.errors import UserError
from distil.records import Answer, Prompt, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_lines, read_records
from distil.runs.manifest import read_manifest, stage_state
from tests.curate.material import answer, distinct_text, project_with, prompt


def dropped(project: Project) -> dict[str, Verdict]:
    return {v.answer_id: v for v in read_records(project.dropped, Verdict)}


def many(count: int, **fields: Any) -> tuple[list[Prompt], list[Answer]]:
    prompts = [prompt(distinct_text(i), **fields) for i in range(count)]
    return prompts, [answer(p, f"answer to {p.messages[-1].text}") for p in prompts]


def test_every_answer_is_an_example_or_dropped(tmp_path: Path) -> None:
    prompts, answers = many(40)
    answers[3] = answer(prompts[3], "cut", finish="length")
    answers[5] = answer(prompts[5], "")
    answers[7] = answer(prompts[7], "I'm sorry, but I can't help with that.")
    project = project_with(tmp_path, [*prompts, prompt("nobody answered this one")], answers)
    result = run(project, CurateConfig(test=8))
    kept = [e for side in ("train", "validation", "test") for e in read_examples(project.split(side))]
    gone = dropped(project)
    assert {e.answer_id for e in kept} | set(gone) == {a.id for a in answers}
    assert not {e.answer_id for e in kept} & set(gone)
    assert Counter(v.filter for v in gone.values()) == {"truncated": 1, "empty": 1, "refusal": 1} == result.dropped
    assert result.unanswered == 1 and result.test == 8
    manifest = read_manifest(project, "curate")
    assert manifest is not None
    assert manifest.notes["dropped"] == result.dropped and manifest.notes["max_similarity"] is not None
    assert stage_state(project, "curate")[0] == "done"


def test_examples_are_chat_lines_with_metadata(tmp_path: Path) -> None:
    prompts, answers = many(6, system="Be brief.", reference="right", group="g")
    project = project_with(tmp_path, prompts, answers)
    run(project, CurateConfig(test=0, validation=0))
    _, line = next(iter(read_lines(project.split("train"))))
    assert [m["role"] for m in line["messages"]] == ["system", "user", "assistant"]
    example = next(iter(read_examples(project.split("train"))))
    assert (example.reference, example.group, example.teacher) == ("right", "g", "recorded/t")


def test_what_broke_off_is_never_an_example(tmp_path: Path) -> None:
    prompts, answers = many(6)
    for row, word in ((1, "error"), (2, "abort"), (3, "a word of tomorrow")):
        answers[row] = answer(prompts[row], '{"events": [{"title": "partial', finish=word)
    project = project_with(tmp_path, prompts, answers)
    result = run(project, CurateConfig(test=0, filters=[]))
    assert result.dropped == {"fault": 3}
    assert "error" in dropped(project)[answers[1].id].reason


def test_thinking_is_in_the_examples_only_on_request(tmp_path: Path) -> None:
    prompts, answers = many(6)
    answers = [a.model_copy(update={"reasoning": "Hm."}) for a in answers[:5]] + answers[5:]
    project = project_with(tmp_path, prompts, answers)
    for wanted in ("drop", "full"):
        run(project, CurateConfig(test=0, validation=0, reasoning=wanted))
        turns = [example.messages[-1] for example in read_examples(project.split("train"))]
        assert sum(turn.reasoning_content == "Hm." for turn in turns) == (5 if wanted == "full" else 0)
        assert all("Hm." not in turn.text for turn in turns)


def test_repeated_rows_are_dropped_unless_answers_differ(tmp_path: Path) -> None:
    texts = [f"Where is the {w} that I ordered with you three weeks ago?" for w in ("parcel", " Parcel", "parcels")]
    prompts = [prompt(t) for t in texts]
    same = project_with(tmp_path / "same", prompts, [answer(p, "It is on its way.") for p in prompts])
    run(same, CurateConfig(test=0, validation=0))
    assert Counter(v.filter for v in dropped(same).values()) == {"duplicate": 1, "near_duplicate": 1}
    other = project_with(tmp_path / "other", prompts, [answer(p, w) for p, w in zip(prompts, "abc", strict=True)])
    run(other, CurateConfig(test=0, validation=0, contradictions="keep"))
    assert not dropped(other)


def test_a_near_duplicate_of_a_fixed_test_prompt_is_dropped(tmp_path: Path) -> None:
    held_out = prompt("The blue kettle leaks water after two days", split="test")
    leaking = prompt("The blue kettle leaks water after two days!")
    prompts, answers = many(10)
    everything = [*answers, answer(held_out, "a"), answer(leaking, "b")]
    project = project_with(tmp_path, [*prompts, held_out, leaking], everything)
    result = run(project, CurateConfig())
    assert result.test == 1 and result.dropped == {"leak": 1}
    (verdict,) = dropped(project).values()
    assert verdict.prompt_id == leaking.id and held_out.id in verdict.reason and "near-duplicate" in verdict.reason


def test_one_answer_per_prompt_is_chosen(tmp_path: Path) -> None:
    """The verdicts of the others name the winner."""
    question = prompt("What is the intent?")
    texts = ['{"intent": "a"}', '{"intent": "b"}', '{ "intent": "b" }']
    answers = [answer(question, t, teacher=f"t{i}") for i, t in enumerate(texts)]
    for how, judge, expected in (
        ("first", None, 0),
        ("agreement", None, 1),
        ("judge", lambda pairs: [Found(float(p.answer.text == texts[2])) for p in pairs], 2),
    ):
        project = project_with(tmp_path / how, [question], answers)
        run(project, CurateConfig(choose=how, test=0, validation=0), judge=judge)
        (example,) = read_examples(project.split("train"))
        assert example.answer_id == answers[expected].id
        assert Counter(v.filter for v in dropped(project).values()) == {"choose": 2}
    project = project_with(tmp_path / "order", [question], answers)
    run(project, CurateConfig(test=0, validation=0), teachers=["t2", "t1", "t0"])
    assert next(iter(read_examples(project.split("train")))).answer_id == answers[2].id


def test_choosing_by_a_judge_needs_one(tmp_path: Path) -> None:
    prompts, answers = many(2)
    with pytest.raises(UserError, match=r"curate\.choose is judge, and there is none"):
        run(project_with(tmp_path, prompts, answers), CurateConfig(choose="judge"))
    with pytest.raises(ValidationError, match="`score` is called `judge` now"):
        CurateConfig.model_validate({"choose": "score"})


def test_missing_inputs_and_empty_results_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Run `distil collect` first"):
        run(Project(tmp_path), CurateConfig())
    prompts, _ = many(3)
    project = project_with(tmp_path, prompts, [answer(p, "x", finish="length") for p in prompts])
    with pytest.raises(UserError, match=r"All 3 answers were dropped \(truncated 3; for example: cut off at 500"):
        run(project, CurateConfig())
    assert read_manifest(project, "curate") is None


def test_the_files_do_not_depend_on_the_order_of_the_answers(tmp_path: Path) -> None:
    prompts, answers = many(50)
    one = project_with(tmp_path / "one", prompts, answers)
    two = project_with(tmp_path / "two", prompts, answers[::-1])
    for project in (one, two):
        run(project, CurateConfig(test=10))
    for side in ("train", "validation", "test"):
        assert one.split(side).read_bytes() == two.split(side).read_bytes()


def test_real_gpt4_answers_are_mostly_kept(tmp_path: Path, data_dir: Callable[[str], Path]) -> None:
    rows = [fields for _, fields in read_lines(data_dir("alpaca_eval/gpt4.jsonl"))]
    prompts = [prompt(row["prompt"]) for row in rows]
    answers = [answer(p, row["output"]) for p, row in zip(prompts, rows, strict=True)]
    project = project_with(tmp_path, prompts, answers)
    result = run(project, CurateConfig())
    assert result.train + result.validation + result.test + sum(result.dropped.values()) == 805
    assert result.test == 200
    assert result.max_similarity is not None and result.max_similarity < 0.85
    assert sum(result.dropped.values()) < 40
    assert Sampling() == answers[0].sampling


def test_what_is_equal_in_many_records_is_there_once(tmp_path: Path) -> None:
    prompts, answers = many(3)
    read_prompts, read_answers = read_collected(project_with(tmp_path, prompts, answers))
    assert (read_prompts, read_answers) == (prompts, answers)
    assert read_answers[0].sampling is read_answers[2].sampling
    assert read_answers[1].prompt_id is read_prompts[1].id
    copy = read_answers[0].model_copy(update={"reasoning": "Hm."})
    assert "reasoning" in copy.model_fields_set and "reasoning" not in read_answers[0].model_fields_set
