"""A subset of the training rows: diverse, balanced, the same in any order, and with a reason for what is left out."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil.curate.config import CurateConfig
from distil.curate.diverse import pick, text_vectors, topics
from distil.curate.keep import share_out
from distil.curate.shingles import shingle_rows
from distil.curate.stage import run
from distil.errors import UserError
from distil.records import Verdict
from distil.runs.jsonl import read_examples, read_records
from tests.curate.material import WORDS, answer, project_with, prompt

TOPICS = ("my parcel with the {} has not arrived", "the {} in my account is wrong", "how do I send the {} back")


def asked(count: int, topic: int) -> list[str]:
    rng = random.Random(topic)
    return [f"{rng.choice(WORDS)}: {TOPICS[topic].format(rng.choice(WORDS))} {n}" for n in range(count)]


def kept_of(folder: Path, texts: list[tuple[str, str]], **settings: object) -> tuple[list[str], list[Verdict]]:
    """Answers of the training rows, and what was left out."""
    prompts = [prompt(text) for text, _ in texts]
    project = project_with(folder, prompts, [answer(p, text) for p, (_, text) in zip(prompts, texts, strict=True)])
    run(project, CurateConfig.model_validate({"test": 20, "near_duplicates": None, **settings}))
    left_out = [v for v in read_records(project.dropped, Verdict) if v.filter in ("keep", "balance")]
    assert len(list(read_examples(project.split("test")))) == 20  # held-out rows are never cut
    return [example.answer for example in read_examples(project.split("train"))], left_out


LABELED = [(text, name) for topic, name, count in ((0, "late", 100), (1, "money", 40), (2, "return", 12))
           for text in asked(count, topic)]  # fmt: skip


def test_so_many_rows_are_kept(tmp_path: Path) -> None:
    rows, left_out = kept_of(tmp_path, LABELED, keep=30)
    assert len(rows) == 30 and {v.filter for v in left_out} == {"keep"}
    assert "30 of" in left_out[0].reason
    again = LABELED.copy()
    random.Random(1).shuffle(again)
    assert Counter(kept_of(tmp_path / "again", again, keep=30)[0]) == Counter(rows)
    assert len(kept_of(tmp_path / "more", LABELED, keep=10_000)[1]) == 0


def test_labels_in_balance(tmp_path: Path) -> None:
    rows, left_out = kept_of(tmp_path, LABELED, keep=30, balance="label", validation=0)
    counts = Counter(rows)
    assert sum(counts.values()) == 30 and max(counts.values()) - min(counts.values()) <= 2
    assert any("'late'" in v.reason and "curate.balance" in v.reason for v in left_out)
    counts = Counter(kept_of(tmp_path / "median", LABELED, balance="label", validation=0)[0])
    assert counts["late"] == counts["money"] > counts["return"] > 0


class OneTopicPerName:
    """An embedder whose vectors of the texts of a topic are close to each other."""

    def prepare(self, texts: list[str]) -> None:
        pass

    def vectors(self, texts: list[str]) -> np.ndarray:
        rng = np.random.default_rng(0)
        topic = [next(i for i, word in enumerate(("parcel", "account", "send")) if word in text) for text in texts]
        made = np.eye(8)[topic] + 0.05 * rng.normal(size=(len(texts), 8))
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def test_topics_in_balance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.curate.keep.embedder", OneTopicPerName)
    monkeypatch.setattr("distil.curate.diverse._topic_count", lambda rows: 3)
    texts = [(text, f"{name} {number}") for number, (text, name) in enumerate(LABELED)]
    rows, left_out = kept_of(tmp_path, texts, keep=21, balance="cluster", validation=0)
    assert Counter(text.split()[0] for text in rows) == {"late": 7, "money": 7, "return": 7}
    assert "cluster " in left_out[0].reason


def test_answers_that_are_no_labels_are_named(tmp_path: Path) -> None:
    texts = [(text, f"{name} {number}") for number, (text, name) in enumerate(LABELED)]
    with pytest.raises(UserError, match=r"curate\.balance is label, but .* different answers.*balance: cluster"):
        kept_of(tmp_path, texts, balance="label")


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 50), min_size=1), st.integers(0, 300))
def test_shares_are_as_equal_as_groups_allow(sizes: dict[str, int], total: int) -> None:
    quotas = share_out(sizes, total)
    assert sum(quotas.values()) == min(total, sum(sizes.values()))
    cut = [quotas[name] for name in sizes if quotas[name] < sizes[name]]
    assert all(quotas[name] <= sizes[name] for name in sizes)
    assert not cut or max(quotas.values()) - min(cut) <= 1


def test_a_picked_subset_covers_more_than_a_random_one() -> None:
    texts = [text for topic, count in ((0, 500), (1, 60), (2, 20)) for text in asked(count, topic)]
    vectors = text_vectors(shingle_rows(texts))
    similarity = vectors @ vectors.T
    covered = similarity[:, pick(vectors, 20, 0)].max(axis=1).mean()
    rng = np.random.default_rng(0)
    at_random = [similarity[:, rng.permutation(len(texts))[:20]].max(axis=1).mean() for _ in range(20)]
    assert covered > max(at_random)


@pytest.mark.parametrize("count", [1, 7, 90, 250, 300])
def test_blocks_give_as_many_rows_as_asked_for(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.curate.diverse.BLOCK", 100)
    vectors = text_vectors(shingle_rows(asked(300, 0)))
    picked = pick(vectors, count, 0)
    assert len(set(picked.tolist())) == count and (np.diff(picked) > 0).all()


def test_texts_without_letters_have_vectors_too() -> None:
    vectors = text_vectors(shingle_rows(["", "abc", "abc def ghi"]))
    assert np.linalg.norm(vectors, axis=1).round(3).tolist() == [0, 1, 1] and len(topics(vectors, 0)) == 3
    assert text_vectors(shingle_rows(["", ""])).sum() == 0
