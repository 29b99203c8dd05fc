"""What single texts and tokens get in a training: the divergence by who wrote the text, and the rules for rows."""

from __future__ import annotations

from typing import Any

import pytest

from distil.errors import UserError
from distil.ids import content_id
from distil.models.load import load_tokenizer
from distil.models.render import special_ids
from distil.objectives.rowwise import RowRules
from distil.objectives.settings import LABELS_ONLY
from distil.records import Message, Prompt
from distil.runs.jsonl import write_records
from distil.train import stage
from distil.train.examples import Tokenized
from distil.train.job import LATER, TrainJob
from distil.train.loss import loss_on_policy, loss_settings, row_rules
from distil.train.setup import load_student
from distil.train.signal.sources import NoSource
from distil.train.start import labels_alone, sft_epochs, untuned_start
from distil.train.trainer import DistilTrainer
from distil.train.writers import make_rollouts
from tests.train.conftest import Bench
from tests.train.test_stage import lines, quick

ON_POLICY: dict[str, Any] = {"method": "on_policy", "rollout_tokens": 6, "temperature": 1.0, "validation_examples": 0}


def losses(bench: Bench, name: str) -> list[float]:
    return [line["loss"] for line in lines(bench, name) if "loss" in line]


def test_what_texts_and_rows_get_reaches_the_loss(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The student's own texts have their own divergence and no label; the rules hold for all texts."""
    seen: set[tuple[bool, str, float, RowRules]] = set()
    original = DistilTrainer.forward

    def noting(self: DistilTrainer, model: Any, batch: Any, **options: Any) -> Any:
        def spy(task: Any, batch: Any) -> Any:
            seen.add((batch.rollout, task.settings.divergence, task.settings.label_weight, task.rules))
            return model(task=task, batch=batch)

        return original(self, spy, batch, **options)

    monkeypatch.setattr(DistilTrainer, "forward", noting)
    rules: dict[str, Any] = {"forward_kl_above": 0.8, "teacher_top_k": 8, "mask_special_tokens": True}
    section = quick(**ON_POLICY, divergence="skew_kl", divergence_on_policy="skew_reverse_kl", **rules)
    stage.run(bench.project, section, bench.student, name="both", teacher=bench.teacher, max_steps=2)
    special = tuple(sorted(special_ids(load_tokenizer(bench.student.model))))
    expected = RowRules(0.8, 8, special)
    assert special and seen == {(False, "skew_kl", 0.3, expected), (True, "skew_reverse_kl", 0.0, expected)}
    assert all(loss > 0 for loss in losses(bench, "both"))


def test_the_student_draws_from_its_nucleus(bench: Bench) -> None:
    student = load_student(bench.student, quick())
    examples = [Tokenized("a", [1, 2, 3], [-100, 2, 3], 1)]
    rollouts = make_rollouts(quick(**ON_POLICY, rollout_top_p=0.9), student, examples, NoSource())
    assert rollouts is not None and rollouts.sampling.top_p == 0.9


def test_answers_first_is_sft_and_then_the_method(bench: Bench) -> None:
    """The first steps are those of sft at the same rate."""
    common = {"epochs": 2, "validation_examples": 0, "schedule": "constant"}
    stage.run(bench.project, quick(**common), bench.student, name="sft")
    both = quick(**{**ON_POLICY, **common}, sft_epochs=1.0)
    stage.run(bench.project, both, bench.student, name="both", teacher=bench.teacher)
    first, then = losses(bench, "both")[:3], losses(bench, "both")[3:]
    assert first == losses(bench, "sft")[:3] and then != losses(bench, "sft")[3:]
    found = [line for line in lines(bench, "both") if "loss" in line]
    assert all(line["distill"] == 0 for line in found[:3]) and all(line["distill"] > 0 for line in found[3:])


def test_a_step_without_an_answer_teaches_nothing_at_first(bench: Bench) -> None:
    prompts = [Prompt.make([Message(role="user", content=f"My order {number} is late")]) for number in range(24)]
    write_records(bench.project.prompts, prompts)
    section = quick(**ON_POLICY, sft_epochs=1.0, batch_size=1, rollout_unanswered=True)
    stage.run(bench.project, section, bench.student, name="few", teacher=bench.teacher, max_steps=6)
    assert 0.0 in losses(bench, "few") and any(losses(bench, "few"))


def test_sft_epochs_must_leave_some() -> None:
    assert sft_epochs(quick(sft_epochs=9.0)) == 0.0
    with pytest.raises(UserError, match="would not begin"):
        sft_epochs(quick(method="logits", sft_epochs=2.0))


def test_a_trial_within_the_labels_says_so(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Three steps are an epoch here: with two, no text of the student is ever corrected."""
    section = quick(**ON_POLICY, epochs=2, sft_epochs=1.0)
    assert labels_alone(section, 3, 4) is None and labels_alone(section, 3, None) is None
    assert labels_alone(quick(sft_epochs=1.0), 3, 2) is None  # sft is labels alone anyway
    said = str(labels_alone(section, 3, 3))
    assert "has 3 steps" in said and "on_policy does not begin" in said and "--max-steps 6, or" in said
    stage.run(bench.project, section, bench.student, name="trial", teacher=bench.teacher, max_steps=2)
    assert "--max-steps 2 ends within train.sft_epochs, which has 3 steps" in " ".join(capsys.readouterr().err.split())


def test_an_untuned_start_is_said(bench: Bench) -> None:
    on_policy = quick(**ON_POLICY)
    assert "sft_epochs=1" in str(untuned_start(on_policy, bench.student.model))
    assert untuned_start(quick(**ON_POLICY, sft_epochs=1.0), bench.student.model) is None
    assert untuned_start(quick(), bench.student.model) is None
    trained = bench.project.model("sft")
    trained.mkdir(parents=True)
    assert untuned_start(on_policy, str(trained)) is not None
    (trained.parent / "run.json").touch()
    assert untuned_start(on_policy, str(trained)) is None


def test_sft_has_no_rules() -> None:
    section = quick(forward_kl_above=0.8, mask_special_tokens=True, divergence_on_policy="jsd")
    assert loss_settings(section) == LABELS_ONLY and loss_on_policy(section) is None
    assert row_rules(section, [1]).masked == () and row_rules(section, [1]).forward_kl_above is None


def test_rules_need_the_same_tokens_on_both_sides() -> None:
    for rule in ({"forward_kl_above": 0.8}, {"teacher_top_k": 32}, {"mask_special_tokens": True}):
        section = quick(method="logits", cross_tokenizer="bytes", **rule)
        with pytest.raises(UserError, match="cross_tokenizer"):
            row_rules(section, [1])


def test_a_training_from_before_these_keys_goes_on(bench: Bench) -> None:
    """What a checkpoint depends on does not name them while they are at their defaults."""
    job = TrainJob(bench.project.root, "x", quick(), bench.student)
    assert not {f"train.{key}" for key in LATER} & job.identity([]).keys()
    touched = TrainJob(bench.project.root, "x", quick(teacher_top_k=8), bench.student)
    assert touched.identity([])["train.teacher_top_k"] == 8
    assert content_id("job", touched.identity([])) != content_id("job", job.identity([]))


def test_the_advised_start_is_shorter_than_the_training() -> None:
    for epochs in (0.5, 1.0, 3.0):
        section = quick(**ON_POLICY).model_copy(update={"epochs": epochs})
        said = str(untuned_start(section, "m"))
        advised = float(said.rpartition("train.sft_epochs=")[2])
        assert sft_epochs(section.model_copy(update={"sft_epochs": advised})) == advised > 0
