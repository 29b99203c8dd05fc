"""Training rows that repeat a benchmark's questions are found, however they are dressed, and nothing else is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.split.contamination import WIDTH, letters, windows
from distil.curate.stage import run
from distil.errors import UserError
from distil.records import Message, Prompt, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_lines, read_records
from distil.runs.manifest import stage_state
from tests.curate.material import answer, distinct_text, project_with, prompt

QUESTIONS = [
    "A baker sells 12 loaves at 3 dollars each and 5 cakes at 10 dollars each. How much does she take in on that day?",
    "If a train leaves at 9:40 and travels for 3 hours and 35 minutes, at what time does it arrive at the far end?",
    "Who painted the ceiling?",
    "这位面包师每天卖出十二个面包和五个蛋糕,每个面包三美元,每个蛋糕十美元,她一天一共能收入多少美元呢?",
]


def project_of(folder: Path, prompts: list[Prompt], benchmark: str = "bench.jsonl") -> Project:
    project = project_with(folder, prompts, [answer(p, f"result {n}") for n, p in enumerate(prompts)])
    lines = [{"question": text, "answer": "#### 3"} for text in QUESTIONS]
    (folder / benchmark).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return project


def curate(project: Project, *files: str) -> dict[str, str]:
    """Prompt id -> reason of what is dropped as contamination."""
    run(project, CurateConfig(filters=[], test=0, validation=0, contamination=list(files)))
    return {v.prompt_id: v.reason for v in read_records(project.dropped, Verdict) if v.filter == "contamination"}


def test_questions_of_a_benchmark_are_dropped_from_training(tmp_path: Path) -> None:
    dressed = [
        prompt(f"Think step by step.\n\n{QUESTIONS[0].upper().replace(' ', '  ')}"),
        Prompt.make([
            Message(role="user", content="An example, please."),
            Message(role="assistant", content=f"Sure: {QUESTIONS[1]}"),
            Message(role="user", content="Thanks! And the answer is?"),
        ]),
        prompt("who painted the ceiling"),
        prompt("请回答:" + QUESTIONS[3]),
    ]  # fmt: skip
    others = [prompt(distinct_text(n)) for n in range(10)]
    others.append(prompt("Who painted the ceiling of the room in which the pope is chosen, and for whom did he do it?"))
    project = project_of(tmp_path, [*dressed, *others])
    reasons = curate(project, "bench.jsonl")
    assert set(reasons) == {p.id for p in dressed}
    assert "bench.jsonl, line 1" in reasons[dressed[0].id] and "A baker sells" in reasons[dressed[0].id]
    assert {e.prompt_id for e in read_examples(project.split("train"))} == {p.id for p in others}
    assert stage_state(project, "curate")[0] == "done"
    (tmp_path / "bench.jsonl").write_text('{"question": "Another one?"}\n')
    assert stage_state(project, "curate")[0] == "stale"


def test_test_rows_are_left_alone(tmp_path: Path) -> None:
    held_out = prompt(QUESTIONS[0], split="test")
    project = project_of(tmp_path, [held_out, *(prompt(distinct_text(n)) for n in range(5))])
    assert curate(project, "bench.jsonl") == {}
    assert [e.prompt_id for e in read_examples(project.split("test"))] == [held_out.id]


def test_the_form_of_a_benchmark_is_no_contamination(tmp_path: Path) -> None:
    form = (
        "Answer the following multiple choice question. The last line of your answer must be one letter of A, B, C, D. "
    )
    prompts = [prompt(form + distinct_text(100 + n)) for n in range(5)]
    project = project_of(tmp_path, prompts)
    lines = [json.dumps({"prompt": form + distinct_text(n)}) for n in range(40)]
    (tmp_path / "bench.jsonl").write_text("\n".join(lines))
    assert curate(project, "bench.jsonl") == {}


def test_a_benchmark_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    project = project_of(tmp_path, [prompt("a question")])
    with pytest.raises(UserError, match=r"curate\.contamination"):
        curate(project, "missing.jsonl")
    (tmp_path / "odd.jsonl").write_text('{"score": 3}\n')
    with pytest.raises(UserError, match=r"odd\.jsonl, line 1.*found no prompt"):
        curate(project, "odd.jsonl")


def test_windows_are_equal_where_the_texts_are() -> None:
    rng = random.Random(0)
    text = "".join(rng.choices("abcdef", k=200))
    found = windows(text)
    assert found.size == 200 - WIDTH + 1 and len(set(found.tolist())) == found.size
    assert windows(text[17:90]).tolist() == found[17 : 90 - WIDTH + 1].tolist()
    assert windows(text[: WIDTH - 1]).size == 0
    assert letters("Ça va, 3 × 4?") == "çava34"


def test_planted_questions_of_gsm8k_are_all_found(tmp_path: Path, data_dir: Callable[[str], Path]) -> None:
    path = data_dir("gsm8k/test.jsonl")
    texts = [row["question"] for _, row in read_lines(path)]
    planted = [prompt(f"Solve it.\n{text}") for text in texts[:300:3]]
    others = [prompt(row["prompt"]) for _, row in read_lines(data_dir("alpaca_eval/gpt4.jsonl"))][:300]
    project = project_of(tmp_path, [*planted, *others])
    assert set(curate(project, str(path))) == {p.id for p in planted}
