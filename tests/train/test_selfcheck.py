"""The self-check finds each of the bugs that it looks for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch

from distil.errors import WorkFailed
from distil.objectives import native, rows
from distil.train import objective as objective_module
from distil.train import selfcheck, stage
from distil.train.check_project import check_project
from distil.train.config import TrainConfig
from distil.train.job import TrainJob
from tests.train.conftest import Bench
from tests.train.test_stage import quick


def job(bench: Bench, section: TrainConfig) -> TrainJob:
    return TrainJob(bench.project.root, "x", section, bench.student, bench.teacher)


def test_all_checks_pass_on_tensors_and_on_a_project(bench: Bench) -> None:
    assert all(check.ok for check in selfcheck.check_objectives())
    checks = {check.name: check for check in check_project(job(bench, quick(method="logits")))}
    assert all(check.ok for check in checks.values()), checks
    assert "【" in checks["only the answer and its end token are learned"].detail
    assert not bench.project.stage("train", ".selfcheck").exists() and not bench.project.students()
    assert "two processes learn what one learns" in checks
    assert "cutting a step differently changes nothing" in checks and "the vocabularies fit" in checks


def test_a_student_named_relative_to_the_project_is_checked(bench: Bench) -> None:
    shutil.copytree(bench.student.model, bench.project.root / "mine")
    student = bench.student.model_copy(update={"model": "mine"})
    assert all(check.ok for check in check_project(replace(job(bench, quick()), student=student)))


def test_a_loss_without_its_factor_of_temperature_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = selfcheck.fused_linear_distillation

    def wrong(*args: Any, **kwargs: Any) -> Any:
        done = original(*args, **kwargs)
        return type(done)(done.total / 4, done.distill, done.label, done.count)

    monkeypatch.setattr(selfcheck, "fused_linear_distillation", wrong)
    failed = [check.name for check in selfcheck.check_objectives() if not check.ok]
    assert failed == ["fused loss equals its formula", "gradients equal finite differences"]
    with pytest.raises(WorkFailed, match="Nothing was trained"):
        stage.run(bench.project, quick(), bench.student, name="x")


@pytest.mark.parametrize(("switch", "kind"), [("0", "tensor operations"), ("1", "compiled")])
def test_the_rows_that_train_are_checked_and_named(switch: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.SWITCH, switch)
    if native.native_rows(torch.float32, 2.0, None) is None:
        kind = "tensor operations"
    check = {check.name: check for check in selfcheck.check_objectives()}["rows of logits are right in float32"]
    assert check.ok and check.detail.startswith(kind)


def test_rows_that_are_wrong_in_float32_alone_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = rows.TensorRows.dense

    def wrong(self: Any, logits: Any, *args: Any) -> Any:
        result = original(self, logits, *args)
        return result if logits.dtype == torch.float64 else (result[0] * 1.001, result[1])

    monkeypatch.setenv(native.SWITCH, "0")
    monkeypatch.setattr(rows.TensorRows, "dense", wrong)
    assert [check.name for check in selfcheck.check_objectives() if not check.ok] == [
        "rows of logits are right in float32"
    ]


def test_a_loss_that_depends_on_how_a_step_is_cut_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = objective_module.objective

    def mean(model: Any, task: Any, batch: Any) -> Any:
        out = original(model, task, batch)
        return {name: value / len(batch.examples) for name, value in out.items()}

    monkeypatch.setattr(objective_module, "objective", mean)
    failed = [check.name for check in check_project(job(bench, quick())) if not check.ok]
    assert failed == ["cutting a step differently changes nothing", "two processes learn what one learns"]


def test_a_prompt_that_is_not_asked_is_found() -> None:
    from distil.train.examples import Tokenized, tokenize
    from tests.tiny import tiny_examples, tiny_tokenizer

    (example, *_), _ = tokenize(tiny_tokenizer(), tiny_examples(1), max_length=None)
    assert selfcheck._asked_prompt(tiny_tokenizer(), [example]).ok
    other = replace(example, input_ids=[5, *example.input_ids[1:]])
    found = selfcheck._asked_prompt(tiny_tokenizer(), [example, other])
    assert not found.ok and example.id in found.detail
    assert selfcheck._asked_prompt(
        tiny_tokenizer(), [Tokenized("x", [5], [-100], 1)]
    ).ok  # a text without its conversation


def test_an_answer_that_does_not_end_is_found(bench: Bench) -> None:
    from distil.train.examples import Tokenized
    from tests.tiny import tiny_tokenizer

    endless = Tokenized("x", [5, 6, 7], [-100, 6, 7], 1)
    assert not selfcheck._learned_tokens(tiny_tokenizer(), endless).ok
    assert selfcheck._learned_tokens(tiny_tokenizer(), Tokenized("x", [5, 6, 2], [-100, 6, 2], 1)).ok
    assert torch.is_grad_enabled()
