"""The signal cache on disk: alignment, refusals, checksums, several writers, and what a kill leaves behind."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distil.errors import UserError
from distil.runs.signals.codec import SparseRows, encode
from distil.runs.signals.shards import (
    ShardWriter,
    merge_index,
    recover,
    stored_examples,
)
from distil.runs.signals.spec import SignalSpec, join_sets, row_count, token_hash, write_spec
from distil.runs.signals.store import SignalStore

SPEC = SignalSpec(
    kind="top_k",
    teacher="bundled/teacher",
    revision="abc",
    tokenizer="tok",
    template="tpl",
    vocab_size=1000,
    temperatures=(1.0, 2.0),
    k=3,
    dtype="float32",
)
TOKENS = [5, 6, 7, 8]
MASK = [False, False, True, True]


def one_row(first_id: int, spec: SignalSpec = SPEC) -> bytes:
    """Two rows of top-3 whose smallest id says whose they are."""
    ids = np.array([[first_id, first_id + 1, first_id + 2]] * 2)
    values = np.array([[0.0, -1.0, -2.0]] * 2, dtype=np.float32)
    shape = (2, len(spec.temperatures))
    return encode(SparseRows(ids, values, np.zeros(shape, np.float32), np.zeros(shape, np.float32)), spec.layout)


def build(folder: Path, examples: range, name: str = "w", shard_bytes: int = 400) -> None:
    write_spec(folder, SPEC)
    with ShardWriter(folder, name, shard_bytes) as writer:
        for i in examples:
            writer.add(f"example_{i}", 2, token_hash([*TOKENS, i], [*MASK, False]), one_row(i))


def opened(folder: Path) -> SignalStore:
    merge_index(folder)
    return SignalStore.open(folder, tokenizer="tok", template="tpl")


def test_examples_are_read_in_any_order_across_shards(tmp_path: Path) -> None:
    build(tmp_path, range(30))
    store = opened(tmp_path)
    assert len(list(tmp_path.glob("*.shard"))) > 3
    rows = store.read(["example_17", "example_0", "example_17", "example_29"], temperature=1.0)
    assert rows.ids is not None
    assert rows.ids[:, 0].tolist() == [17, 17, 0, 0, 17, 17, 29, 29]
    assert rows.row_counts.tolist() == [2, 2, 2, 2]
    assert [record.example_id for record in store.records()] == [f"example_{i}" for i in range(30)]
    assert [record.example_id for record in store.records(2)] == ["example_0", "example_29"]
    assert "example_3" in store and "example_30" not in store


def test_probabilities_and_tail_sum_to_one(tmp_path: Path) -> None:
    build(tmp_path, range(2))
    for temperature in (1.0, 2.0):
        rows = opened(tmp_path).read(["example_1"], temperature=temperature)
        assert rows.log_probs is not None and rows.log_tail is not None
        np.testing.assert_allclose(np.exp(rows.log_probs).sum(axis=1) + np.exp(rows.log_tail), 1, rtol=1e-6)
        np.testing.assert_allclose(np.exp(rows.log_tail), 0.5, rtol=1e-6)  # log-odds 0
        np.testing.assert_allclose(rows.log_probs[0, 0] - rows.log_probs[0, 2], 2 / temperature, rtol=1e-6)


def test_an_opened_store_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    build(tmp_path, range(3))
    store = opened(tmp_path)
    store.read(["example_1"], temperature=1.0)
    copy = pickle.loads(pickle.dumps(store))
    assert copy.read(["example_2"], temperature=1.0).ids[0, 0] == 2


def test_an_epoch_reads_its_own_set_of_draws(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"kind": "sampled", "temperatures": (2.0,), "draws": 50, "sets": 3})
    write_spec(tmp_path, spec)
    blocks = [
        encode(SparseRows(np.array([[i]]), np.array([[50.0]], np.float32), np.zeros((1, 1), np.float32)), spec.layout)
        for i in (11, 22, 33)
    ]
    with ShardWriter(tmp_path, "w", 1000) as writer:
        writer.add("example_a", 1, token_hash(TOKENS, MASK), join_sets(blocks))
    store = opened(tmp_path)
    seen = []
    for epoch in range(4):
        rows = store.read(["example_a"], temperature=2.0, epoch=epoch)
        assert rows.ids is not None and rows.weights is not None
        assert rows.weights.tolist() == [[1.0]]
        seen.append(int(rows.ids[0, 0]))
    assert seen == [11, 22, 33, 11]


def test_rows_are_answer_tokens_that_have_a_token_before_them() -> None:
    assert row_count([False, True, True, False, True]) == 3
    assert row_count([True, True]) == 1
    assert row_count([]) == 0


def test_another_tokenizer_or_template_is_refused(tmp_path: Path) -> None:
    build(tmp_path, range(2))
    merge_index(tmp_path)
    with pytest.raises(UserError, match=r"another tokenizer.*distil signals build"):
        SignalStore.open(tmp_path, tokenizer="other", template="tpl")
    with pytest.raises(UserError, match=r"another chat template.*distil signals build"):
        SignalStore.open(tmp_path, tokenizer="tok", template="other")


def test_other_token_ids_or_masks_are_refused(tmp_path: Path) -> None:
    build(tmp_path, range(3))
    store = opened(tmp_path)
    right = [(f"example_{i}", [*TOKENS, i], [*MASK, False]) for i in range(3)]
    assert store.require(right) == 6
    with pytest.raises(UserError, match=r"1 of 3 examples have other token ids.*example_1"):
        store.require([right[0], ("example_1", [9, *TOKENS], [*MASK, False]), right[2]])
    with pytest.raises(UserError, match="1 of 1 examples have other token ids"):
        store.require([("example_1", [*TOKENS, 1], [*MASK, True])])
    with pytest.raises(UserError, match=r"1 of 1 examples are not in the cache.*distil signals build.*too_long: drop"):
        store.require([("example_99", TOKENS, MASK)])
    with pytest.raises(UserError, match="example_99 is not in the cache"):
        store.read(["example_99"], temperature=1.0)


def test_an_unsupported_divergence_or_temperature_is_refused(tmp_path: Path) -> None:
    build(tmp_path, range(1))
    store = opened(tmp_path)
    store.allow(divergence="jsd", temperature=2.0)
    with pytest.raises(UserError, match=r"holds temperature 1, 2; training needs 3.*add 3 to signals.temperatures"):
        store.read(["example_0"], temperature=3.0)
    write_spec(tmp_path, SPEC.model_copy(update={"kind": "sampled", "temperatures": (2.0,), "draws": 50}))
    with pytest.raises(UserError, match=r"unbiased for forward_kl only.*reverse_kl"):
        SignalStore(tmp_path).allow(divergence="reverse_kl", temperature=2.0)


def test_a_missing_unfinished_or_damaged_cache_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cached distributions"):
        SignalStore.open(tmp_path / "nothing")
    build(tmp_path, range(2))
    with pytest.raises(UserError, match="goes on where it was"):
        SignalStore.open(tmp_path)
    merge_index(tmp_path)
    data = bytearray((tmp_path / "index.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "index.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"index.npy is damaged"):
        SignalStore.open(tmp_path)
    (tmp_path / "spec.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="format 99"):
        SignalStore.open(tmp_path)


def test_two_writers_make_one_cache(tmp_path: Path) -> None:
    write_spec(tmp_path, SPEC)
    with ShardWriter(tmp_path, "same", 300) as first, ShardWriter(tmp_path, "same", 300) as second:
        for i in range(20):
            writer = (first, second)[i % 2]
            writer.add(f"example_{i}", 2, token_hash([*TOKENS, i], [*MASK, False]), one_row(i))
        assert recover(tmp_path) == 0  # both are alive: nobody touches their open shards
    store = opened(tmp_path)
    assert len(store) == 20
    ids = [f"example_{i}" for i in reversed(range(20))]
    read = store.read(ids, temperature=1.0).ids
    assert read is not None and read[::2, 0].tolist() == list(reversed(range(20)))


WRITER = """
import sys, pathlib
from tests_signal_store import TOKENS, MASK, one_row
from distil.runs.signals.shards import ShardWriter
from distil.runs.signals.spec import token_hash
with ShardWriter(pathlib.Path(sys.argv[1]), "k", 500) as writer:
    for i in range(int(sys.argv[2]), 1_000_000):
        writer.add(f"example_{i}", 2, token_hash([*TOKENS, i], [*MASK, False]), one_row(i))
        print(i, flush=True)
"""


def test_every_record_that_was_reported_survives_kill_nine(tmp_path: Path) -> None:
    folder = tmp_path / "signals"
    write_spec(folder, SPEC)
    (tmp_path / "tests_signal_store.py").write_text(Path(__file__).read_text())
    command = [sys.executable, "-c", WRITER, str(folder), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(25)]
        process.send_signal(signal.SIGKILL)
        reported += [int(line) for line in process.stdout if line.endswith("\n")]
    part = next(folder.glob("*.part"), None)
    if part is not None:
        with part.open("ab") as file:
            file.write(b"Ds\x00\x01torn")  # as a cut between two writes would leave it
    recover(folder)
    assert not list(folder.glob("*.part"))
    kept = stored_examples(folder)
    assert set(kept) >= {f"example_{i}" for i in reported}
    with ShardWriter(folder, "k", 500) as writer:  # the next run goes on behind what is there
        writer.add("example_new", 2, token_hash(TOKENS, MASK), one_row(7))
    store = opened(folder)
    assert len(store) == len(kept) + 1
    assert store.require([(f"example_{i}", [*TOKENS, i], [*MASK, False]) for i in reported]) == 2 * len(reported)


def test_a_torn_record_is_dropped_and_an_empty_shard_removed(tmp_path: Path) -> None:
    write_spec(tmp_path, SPEC)
    build(tmp_path, range(3), shard_bytes=10_000)
    whole = next(tmp_path.glob("*.shard"))
    torn = whole.rename(whole.with_suffix(".part"))
    torn.write_bytes(torn.read_bytes()[:-3])
    (tmp_path / "z-00000.part").write_bytes(b"Ds")
    assert recover(tmp_path) == 1
    assert set(stored_examples(tmp_path)) == {"example_0", "example_1"}
    assert [path.name for path in tmp_path.glob("z*")] == []


def test_a_large_batch_is_read_in_one_go(tmp_path: Path) -> None:
    build(tmp_path, range(200), shard_bytes=100_000)
    ids = [f"example_{i % 200}" for i in range(2000)]
    rows = opened(tmp_path).read(ids, temperature=1.0)
    assert rows.row_counts.sum() == 4000
    assert rows.ids is not None and rows.ids[::2, 0].tolist() == [i % 200 for i in range(2000)]
