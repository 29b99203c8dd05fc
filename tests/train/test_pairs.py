"""method: dpo: which pairs are made of the student's own answers, and what a training on them does."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.fit import in_pairs
from distil.models.config import StudentConfig
from distil.models.load import load_tokenizer
from distil.objectives.targets import IGNORED
from distil.records import Sampling
from distil.train import pairs, stage
from distil.train.batches import MicroBatch
from distil.train.config import TrainConfig
from distil.train.examples import Tokenized, load_examples, tokenize
from distil.train.job import TrainJob
from distil.train.loss import loss_settings
from distil.train.pairs import make_pairs, pair_batches, require_one_process, with_log_probs
from distil.train.peak import Texts
from distil.train.rate import learning_rate
from distil.train.rollouts import Writer
from distil.train.setup import load_student, prepare
from distil.train.start import sft_epochs, untuned_start
from tests.train.conftest import Bench
from tests.train.test_stage import lines, quick

DPO: dict[str, Any] = {"method": "dpo", "rollout_tokens": 6, "validation_examples": 4}


def found(bench: Bench, name: str, key: str = "loss") -> list[float]:
    return [line[key] for line in lines(bench, name) if key in line]


def examples(bench: Bench) -> list[Tokenized]:
    return tokenize(load_tokenizer(bench.student.model), load_examples(bench.project.split("train")), max_length=None)[
        0
    ]


def test_the_loss_starts_at_ln_2_and_falls(bench: Bench) -> None:
    """The student moves from the answers that it gave itself to the teacher's."""
    result = stage.run(bench.project, quick(**DPO, epochs=3), bench.student, name="dpo")
    losses = found(bench, "dpo")
    assert result.steps == 9 and losses[0] == pytest.approx(math.log(2), abs=1e-4) and losses[-1] < 0.6
    assert found(bench, "dpo", "preferred")[-1] == 1.0 and "label" not in lines(bench, "dpo")[0]
    assert found(bench, "dpo", "eval_loss")[-1] < math.log(2) and "agreement" not in lines(bench, "dpo")[0]


def test_how_pairs_are_cut_does_not_change_the_loss(bench: Bench) -> None:
    for name, more in (("plain", {}), ("cut", {"packing": False, "micro_batch_tokens": 64})):
        section = quick(**{**DPO, "validation_examples": 0}, **more)
        stage.run(bench.project, section, bench.student, name=name, max_steps=2)
    assert found(bench, "cut") == pytest.approx(found(bench, "plain"), abs=1e-4)


def test_lora_prefers_too_and_its_reference_is_the_start(bench: Bench) -> None:
    student = bench.student.model_copy(update={"adapter": "lora", "lora_rank": 4})
    stage.run(bench.project, quick(**DPO), student, name="lora")
    losses = found(bench, "lora")
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4) and losses[-1] < losses[0]


def test_a_resumed_training_has_the_same_pairs(bench: Bench) -> None:
    """It reads them, and writes others only for another start or other settings."""
    job = TrainJob(bench.project.root, "x", quick(**DPO), bench.student).placed()
    first = prepare(job).trainer.examples
    assert all(e.before < 0 and e.rejected is not None and e.rejected.before < 0 for e in first)
    file = job.folder / "checkpoints" / "own_answers.json"
    kept = json.loads(file.read_text())
    kept["texts"] = {id_: [70, 71, 2] for id_ in kept["texts"]}  # as another device would have written
    file.write_text(json.dumps(kept))
    again = prepare(job).trainer.examples
    assert all(e.rejected is not None and e.rejected.input_ids[-3:] == [70, 71, 2] for e in again)
    assert job.identity(again) == job.identity(again) != job.identity(first)
    other = prepare(replace(job, section=quick(**DPO, seed=1))).trainer.examples
    assert not any(e.rejected is not None and e.rejected.input_ids[-3:] == [70, 71, 2] for e in other)


def test_own_answers_that_were_written_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the third part, the next run writes that one and those after it, and has the same texts."""
    monkeypatch.setattr(pairs, "PART", 2)
    given = [Tokenized(f"e{n}", [1, 40 + n, 2], [IGNORED, IGNORED, 2], 2) for n in range(7)]
    asked: list[list[int]] = []

    def write(prompts: list[list[int]], sampling: Sampling, seed: int, *, dies_at: int = 99) -> list[list[int]]:
        if seed >= dies_at:
            raise KeyboardInterrupt
        asked.extend(prompts)
        return [[seed, prompt[-1]] for prompt in prompts]

    def own(writer: Writer, name: str) -> dict[str, list[int]]:
        return pairs.own_answers(writer, given, Sampling(), 3, tmp_path / f"{name}.json", "s")

    whole = own(write, "whole")
    assert [prompt[-1] for prompt in asked] == [40 + n for n in range(7)] and len(
        {seed for seed, _ in whole.values()}
    ) == 4
    with pytest.raises(KeyboardInterrupt):
        own(partial(write, dies_at=7), "killed")
    asked.clear()
    assert own(write, "killed") == whole and [prompt[-1] for prompt in asked] == [44, 45, 46]


def test_pairs_that_say_the_same_are_left_out(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """So are empty answers; earlier answers of a conversation do not count."""
    student, given = load_student(bench.student, quick()), examples(bench)[:4]
    answers = [[i for i in e.labels if i != IGNORED] for e in given]
    texts = [answers[0], [], [70, 71, 2], [*answers[3][:3], 2]]
    pairs = make_pairs(student, given, {e.id: text for e, text in zip(given, texts, strict=True)}, "examples")
    assert [e.id for e in pairs] == [given[2].id, given[3].id]
    worse = pairs[0].rejected
    assert worse is not None and worse.input_ids[given[2].prompt_length :] == [70, 71, 2]
    assert worse.learned == 3 and pairs[0].learned == len(answers[2])
    assert "2 pairs of 4 examples" in capsys.readouterr().err


def test_both_answers_of_a_pair_share_a_pass() -> None:
    def pair(number: int, prompt: int, better: int, worse: int) -> Tokenized:
        def text(size: int) -> Tokenized:
            ids = list(range(prompt + size))
            return Tokenized(f"p{number}", ids, [IGNORED] * prompt + ids[prompt:], prompt)

        better_side, worse_side = text(better), text(worse)
        return Tokenized(
            f"p{number}", better_side.input_ids, better_side.labels, prompt, rejected=worse_side, before=-1.0
        )

    pairs = [pair(number, 3 + number % 4, 2 + number % 3, 1 + number % 5) for number in range(9)]
    for packing in (True, False):
        batches = pair_batches(pairs, 48, packing=packing, pad_id=0)
        assert len(batches) > 1 and sum(batch.units for batch in batches) == 9
        for batch in batches:
            ids = [example.id for example in batch.examples]
            assert batch.pairs and ids[0::2] == ids[1::2] and _tokens(batch) <= 48
    with_values = with_log_probs(pairs, {e.id: [-2.0, -3.0] for e in pairs})
    assert all(e.before == -2.0 and e.rejected is not None and e.rejected.before == -3.0 for e in with_values)


def _tokens(batch: MicroBatch) -> int:
    return batch.input_ids.numel()


def test_early_stopping_needs_validation_pairs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = make_pairs
    monkeypatch.setattr(
        "distil.train.setup.make_pairs", lambda s, e, t, label: [] if "validation" in label else real(s, e, t, label)
    )
    with pytest.raises(UserError, match="needs validation pairs"):
        prepare(TrainJob(bench.project.root, "x", quick(**DPO, early_stopping=1), bench.student))


def test_a_student_that_equals_its_teacher_has_nothing_to_prefer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.train.setup.make_pairs", lambda *_: [])
    with pytest.raises(UserError, match="nothing is left to prefer"):
        stage.run(bench.project, quick(**DPO), bench.student, name="none")


def test_what_dpo_can_not_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="one process, and 2"):
        require_one_process(quick(method="dpo", processes=2))
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="one process, and 4"):
        require_one_process(quick(method="dpo"))
    with pytest.raises(UserError, match="name a trained student"):
        sft_epochs(quick(method="dpo", sft_epochs=1.0))


def test_dpo_has_a_tenth_of_the_rate_and_two_texts() -> None:
    section = TrainConfig(method="dpo")
    whole = learning_rate(section.model_copy(update={"method": "sft"}), StudentConfig(model="m"), 10**9)
    tenth = learning_rate(section, StudentConfig(model="m"), 10**9)
    assert tenth.value == pytest.approx(whole.value / 10, rel=0.05) and "a tenth" in tenth.why
    assert in_pairs(Texts(100.0, 300)) == Texts(200.0, 600)
    assert loss_settings(section).label_weight == 1.0 and "work/train/sft" in str(untuned_start(section, "m"))
