"""`distil signals` end to end on a tiny teacher: what is built is right, resumes, is checked, and is refused where it must be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from distil.errors import UserError, WorkFailed
from distil.models.config import StudentConfig
from distil.models.fingerprint import template_fingerprint, tokenizer_fingerprint
from distil.models.load import load
from distil.models.render import render
from distil.objectives.heads import OutputHead
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.manifest import stage_state
from distil.runs.signals.store import SignalStore
from distil.signals import stage
from distil.signals.config import SignalsConfig
from tests.tiny import CHATML_WITHOUT_MARKERS, save_tiny, tiny_model, tiny_tokenizer, write_tiny_splits


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("teacher"), seed=3))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    write_tiny_splits(made, train=8, validation=3)
    return made


def section(kind: str, **settings: object) -> SignalsConfig:
    return SignalsConfig.model_validate({"kind": kind, "batch_tokens": 200, **settings})


def rendered(project: Project, teacher: str) -> list[tuple[str, list[int], list[bool]]]:
    tokenizer = load(teacher).tokenizer
    return [
        (example.id, *render(tokenizer, example.messages))
        for split in ("train", "validation")
        for example in read_examples(project.split(split))
    ]


def exact_rows(teacher: str, token_ids: list[int], mask: list[bool]) -> torch.Tensor:
    """The teacher's logits at the answer rows, from its own forward pass."""
    with torch.inference_mode():
        logits = load(teacher).model(torch.tensor([token_ids])).logits[0]
    return logits[[t - 1 for t in range(1, len(token_ids)) if mask[t]]]


@pytest.mark.parametrize("kind", ["top_k", "sampled", "stratified", "hidden"])
def test_each_kind_gives_back_the_teachers_distributions(project: Project, teacher: str, kind: str) -> None:
    temperature = 1.5
    result = stage.build(
        project,
        section(kind, temperature=temperature, k=320 if kind == "stratified" else None, dtype="float32"),
        teacher=teacher,
        student=None,
    )
    data = rendered(project, teacher)
    store = SignalStore.open(project.signals)
    assert result.examples == len(data) == 11
    assert store.require(data) == result.tokens
    rows = store.read([data[5][0], data[0][0]], temperature=temperature)
    logits = torch.cat([exact_rows(teacher, *data[5][1:]), exact_rows(teacher, *data[0][1:])])
    p = torch.softmax(logits / temperature, -1).numpy()
    assert rows.row_counts.sum() == len(p)
    if kind == "hidden":
        weight, bias = store.head()
        assert rows.hidden is not None and bias is None
        np.testing.assert_allclose(rows.hidden @ weight.T, logits.numpy(), atol=2e-5)
        return
    assert rows.ids is not None and rows.entropy is not None
    np.testing.assert_allclose(rows.entropy, torch.special.entr(torch.from_numpy(p)).sum(-1).numpy(), rtol=2e-3)
    picked = np.take_along_axis(p, np.maximum(rows.ids, 0), axis=1)
    if kind == "top_k":
        assert rows.log_probs is not None
        np.testing.assert_allclose(np.exp(rows.log_probs), picked, rtol=1e-4)
    elif kind == "stratified":  # k covers the vocabulary, so the weights are the probabilities
        assert rows.weights is not None
        np.testing.assert_allclose(rows.weights, picked, rtol=5e-3)
    else:
        assert rows.weights is not None
        assert np.abs(np.where(rows.ids >= 0, rows.weights - picked, 0)).max() < 1 / 40 + 1e-6


def test_a_second_build_adds_what_is_new_and_repeats_nothing(project: Project, teacher: str) -> None:
    settings = section("sampled")
    first = stage.build(project, settings, teacher=teacher, student=None)
    before = {path.name: path.read_bytes() for path in project.signals.glob("*.shard")}
    write_tiny_splits(project, train=12, validation=3)
    second = stage.build(project, settings, teacher=teacher, student=None)
    assert (first.reused, second.reused, second.examples) == (0, 11, 15)
    assert all((project.signals / name).read_bytes() == data for name, data in before.items())
    assert stage_state(project, "signals", config=settings.model_dump(mode="json"))[0] == "done"
    write_tiny_splits(project, train=13, validation=3)
    assert stage_state(project, "signals")[0] == "stale"


def test_other_settings_are_refused_with_the_difference(project: Project, teacher: str) -> None:
    stage.build(project, section("sampled"), teacher=teacher, student=None)
    with pytest.raises(UserError, match=r"draws: 40 there, 30 now.*remove the folder"):
        stage.build(project, section("sampled", draws=30), teacher=teacher, student=None)
    with pytest.raises(UserError, match="kind: 'sampled' there, 'top_k' now"):
        stage.build(project, section("top_k"), teacher=teacher, student=None)


def test_other_weights_under_the_same_name_are_refused(project: Project, tmp_path: Path) -> None:
    teacher = str(save_tiny(tmp_path / "teacher", seed=1))
    stage.build(project, section("sampled"), teacher=teacher, student=None)
    save_tiny(tmp_path / "teacher", seed=2)
    with pytest.raises(UserError, match="revision"):
        stage.build(project, section("sampled"), teacher=teacher, student=None)


def test_shares_of_several_machines_make_the_same_cache_as_one(project: Project, teacher: str, tmp_path: Path) -> None:
    settings = section("stratified", draw="independent")
    for number in (1, 0):
        stage.build(project, settings, teacher=teacher, student=None, part=(number, 2))
    merged = stage.build(project, settings, teacher=teacher, student=None)
    assert merged.reused == 11
    other = Project(tmp_path / "other")
    write_tiny_splits(other, train=8, validation=3)
    stage.build(other, settings, teacher=teacher, student=None)
    ids = [example_id for example_id, *_ in rendered(project, teacher)]
    one, two = (SignalStore.open(p.signals).read(ids, temperature=1.0) for p in (project, other))
    assert np.array_equal(one.ids, two.ids)  # type: ignore[arg-type]
    np.testing.assert_allclose(one.weights, two.weights, rtol=1e-2)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="part 2 of 2 does not exist"):
        stage.build(project, settings, teacher=teacher, student=None, part=(2, 2))


def test_two_processes_write_one_cache(project: Project, teacher: str) -> None:
    result = stage.build(project, section("top_k", processes=2), teacher=teacher, student=None)
    assert len(list(project.signals.glob("part0-*.shard"))) == 1
    assert len(list(project.signals.glob("part1-*.shard"))) == 1
    assert result.examples == 11
    assert stage.verify(project).ok


BUILD = """
import sys, time
from distil.runs.artifacts import Project
from distil.signals import build
from distil.signals import stage
from distil.signals.config import SignalsConfig
def slow(write):
    def items(*a, **k):
        def advance(n):
            print("batch", flush=True)
            time.sleep(0.3)
        return write(*a, **{**k, "advance": advance})
    return items
stage.write_examples = slow(build.write_examples)
stage.build(Project(sys.argv[1]), SignalsConfig(kind="sampled", batch_tokens=60), teacher=sys.argv[2], student=None)
"""


def test_a_build_killed_with_kill_nine_goes_on_where_it_was(project: Project, teacher: str) -> None:
    command = [sys.executable, "-c", BUILD, str(project.root), teacher]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as run:
        assert run.stdout is not None
        for _ in range(3):
            assert run.stdout.readline() == "batch\n"
        run.send_signal(signal.SIGKILL)
    assert not (project.signals / "manifest.json").exists()
    with pytest.raises(UserError, match="goes on where it was"):
        stage.verify(project)
    result = stage.build(project, SignalsConfig(kind="sampled", batch_tokens=60), teacher=teacher, student=None)
    assert 3 <= result.reused < result.examples == 11
    assert stage.verify(project).ok
    assert not list(project.signals.glob("*.part"))


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_verify_finds_a_flipped_byte(project: Project, teacher: str, place: float) -> None:
    stage.build(project, section("stratified"), teacher=teacher, student=None)
    assert stage.verify(project).ok
    shard = next(project.signals.glob("*.shard"))
    data = bytearray(shard.read_bytes())
    data[int(len(data) * place)] ^= 4
    shard.write_bytes(data)
    found = stage.verify(project)
    assert not found.ok and len(found.faults) == 1
    assert shard.name in found.faults[0] and "run `distil signals build`" in str(found)
    shard.unlink()
    again = stage.build(project, section("stratified"), teacher=teacher, student=None)
    assert (again.reused, again.examples) == (0, 11)
    assert stage.verify(project).ok


def test_verify_finds_a_shard_that_is_gone_or_shorter(project: Project, teacher: str) -> None:
    stage.build(project, section("hidden"), teacher=teacher, student=None)
    shard = next(project.signals.glob("*.shard"))
    data = shard.read_bytes()
    shard.write_bytes(data[:-1])
    assert any("bytes" in fault for fault in stage.verify(project).faults)
    shard.unlink()
    assert any("gone" in fault for fault in stage.verify(project).faults)


def test_inspect_shows_figures_and_the_teachers_words(project: Project, teacher: str) -> None:
    built = stage.build(project, section("top_k", k=20), teacher=teacher, student=None)
    example_id, token_ids, mask = rendered(project, teacher)[0]
    seen = stage.inspect(project, example_id)
    assert seen.figures.bytes_per_token == pytest.approx(built.bytes_per_token)
    assert dict(seen.rows())["kind"] == "top_k"
    assert seen.figures.mass is not None and 0 < seen.figures.mass < 1
    assert "bytes a token" in str(built) and "mean mass covered" in str(seen)
    assert len(str(seen).splitlines()) == len(seen.rows()) + 2 + len(seen.positions)
    assert len(seen.positions) == sum(mask)
    top = [probability for _, probability in seen.positions[0].top]
    assert top == sorted(top, reverse=True)
    p = torch.softmax(exact_rows(teacher, token_ids, mask)[0], -1)
    assert top[0] == pytest.approx(float(p.max()), rel=1e-2)
    assert seen.positions[0].token == '{"'[: len(seen.positions[0].token)]
    assert "example_0" in str(stage.inspect(project))
    with pytest.raises(UserError, match="not in the cache"):
        stage.inspect(project, "example_nobody")


def test_a_student_with_other_tokens_is_refused(project: Project, teacher: str, tmp_path: Path) -> None:
    other = tmp_path / "student"
    tiny_model().save_pretrained(other)
    tiny_tokenizer(corpus=("zebra quagga okapi " * 9,)).save_pretrained(other)
    with pytest.raises(UserError, match="different tokenizers"):
        stage.build(project, section("sampled"), teacher=teacher, student=StudentConfig(model=str(other)))


def test_a_cache_for_another_tokenizer_or_template_is_refused(project: Project, teacher: str) -> None:
    stage.build(project, section("sampled"), teacher=teacher, student=None)
    ours = load(teacher).tokenizer
    known, shape = tokenizer_fingerprint(ours), template_fingerprint(ours)
    SignalStore.open(project.signals, tokenizer=known, template=shape)
    changed = tiny_tokenizer(template=CHATML_WITHOUT_MARKERS)
    with pytest.raises(UserError, match="another chat template"):
        SignalStore.open(project.signals, tokenizer=known, template=template_fingerprint(changed))
    with pytest.raises(UserError, match="another tokenizer"):
        SignalStore.open(
            project.signals, tokenizer=tokenizer_fingerprint(tiny_tokenizer(corpus=("zebra quagga",))), template=shape
        )


def test_examples_that_are_too_long_are_left_out_and_counted(project: Project, teacher: str) -> None:
    lengths = sorted(len(token_ids) for _, token_ids, _ in rendered(project, teacher))
    result = stage.build(project, section("sampled", max_length=lengths[5]), teacher=teacher, student=None)
    assert result.too_long == sum(length > lengths[5] for length in lengths)
    assert result.examples == 11 - result.too_long
    assert ("left out, too long", str(result.too_long)) in result.rows()


def test_the_trainings_temperature_is_what_a_cache_serves(project: Project, teacher: str, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    write_tiny_splits(other, train=2, validation=1)
    write_tiny_splits(project, train=2, validation=1)
    stage.build(project, section("sampled"), teacher=teacher, student=None, temperature=3.0)
    stage.build(other, section("top_k", temperatures=[1.0]), teacher=teacher, student=None, temperature=3.0)
    assert SignalStore.open(project.signals).spec.temperatures == (3.0,)
    assert SignalStore.open(other.signals).spec.temperatures == (1.0, 3.0)
    SignalStore.open(other.signals).allow(divergence="jsd", temperature=3.0)


def test_draw_sets_differ_and_an_epoch_reads_its_own(project: Project, teacher: str) -> None:
    stage.build(project, section("sampled", draw="independent", draw_sets=2, draws=10), teacher=teacher, student=None)
    ids = [example_id for example_id, *_ in rendered(project, teacher)]
    store = SignalStore.open(project.signals)
    sets = [store.read(ids, temperature=1.0, epoch=epoch) for epoch in range(3)]
    assert np.array_equal(sets[0].ids, sets[2].ids)  # type: ignore[arg-type]
    assert sets[0].ids is not None and sets[1].ids is not None
    assert sets[0].ids.shape != sets[1].ids.shape or not np.array_equal(sets[0].ids, sets[1].ids)
    assert stage.verify(project).ok


def test_a_hidden_cache_applies_scale_and_soft_cap(tmp_path: Path) -> None:
    from distil.signals.examples import TokenizedExample
    from distil.signals.teacher import LocalTeacher

    model = tiny_model(seed=4)
    teacher = LocalTeacher(model)
    item = TokenizedExample("e", [5, 6, 7, 8, 9], [False, False, True, True, True])
    teacher.check_head(item)
    teacher.head = OutputHead(teacher.head.weight, None, 2.0, 30.0)
    with pytest.raises(UserError, match="computes its logits in a way"):
        teacher.check_head(item)
    hidden = teacher.hidden_rows([item])[0].clone()
    raw = hidden @ model.get_output_embeddings().weight.detach().T
    torch.testing.assert_close(teacher.head.wide_logits(hidden), 30 * torch.tanh(2 * raw / 30))


def test_a_batch_that_does_not_fit_into_memory_is_halved(
    project: Project, teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.signals.examples import TokenizedExample
    from distil.signals.teacher import LocalTeacher

    sizes: list[int] = []
    whole = LocalTeacher.hidden_rows

    def crowded(self: LocalTeacher, items: list[TokenizedExample]) -> list[torch.Tensor]:
        sizes.append(len(items))
        if len(items) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, items)

    monkeypatch.setattr(LocalTeacher, "hidden_rows", crowded)
    limit = 2
    stage.build(project, section("top_k", batch_tokens=4000), teacher=teacher, student=None)
    assert max(sizes) == 11 and stage.verify(project).ok
    monkeypatch.setattr(LocalTeacher, "check_head", lambda self, item: None)
    limit = 0
    other = Project(tmp_path / "other")
    write_tiny_splits(other, train=2, validation=1)
    with pytest.raises(WorkFailed, match="does not fit into this device's memory"):
        stage.build(other, section("top_k"), teacher=teacher, student=None)


def test_a_split_that_was_never_made_is_named(tmp_path: Path, teacher: str) -> None:
    with pytest.raises(UserError, match=r"train.jsonl is not there. Run `distil curate`"):
        stage.build(Project(tmp_path), section("sampled"), teacher=teacher, student=None)


def test_a_second_build_at_the_same_time_is_refused(project: Project, teacher: str) -> None:
    from distil.runs.manifest import stage_run

    start = time.monotonic()
    with stage_run(project, "signals", {}), pytest.raises(UserError, match="Another `distil signals` is running"):
        stage.build(project, section("sampled"), teacher=teacher, student=None)
    assert time.monotonic() - start < 30
