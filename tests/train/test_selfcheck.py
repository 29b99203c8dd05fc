"""The self-check finds each of the bugs that it is there for."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from distil.errors import WorkFailed
from distil.train import selfcheck, stage
from distil.train import student as student_module
from tests.train.conftest import Bench
from tests.train.test_stage import quick


def test_all_checks_pass_on_tensors_and_on_a_project(bench: Bench) -> None:
    assert all(check.ok for check in selfcheck.run(bench.project))
    config = SimpleNamespace(train=quick(method="logits"), student=bench.student, teachers=[bench.teacher])
    checks = {check.name: check for check in selfcheck.run(bench.project, config)}
    assert all(check.ok for check in checks.values()), checks
    assert "【" in checks["answer and end token train, nothing else"].detail
    assert not bench.project.stage("train", ".selfcheck").exists() and not bench.project.students()
    assert "two processes learn what one learns" in checks
    assert "cutting a step differently changes nothing" in checks and "the vocabularies fit" in checks


def test_a_student_named_relative_to_the_project_is_checked(bench: Bench) -> None:
    shutil.copytree(bench.student.model, bench.project.root / "mine")
    student = bench.student.model_copy(update={"model": "mine"})
    config = SimpleNamespace(train=quick(), student=student, teachers=[bench.teacher])
    assert all(check.ok for check in selfcheck.run(bench.project, config))


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


def test_a_loss_that_depends_on_how_a_step_is_cut_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = student_module.objective

    def mean(model: Any, task: Any, batch: Any) -> Any:
        out = original(model, task, batch)
        return {name: value / len(batch.examples) for name, value in out.items()}

    monkeypatch.setattr(student_module, "objective", mean)
    config = SimpleNamespace(train=quick(), student=bench.student, teachers=[bench.teacher])
    failed = [check.name for check in selfcheck.run(bench.project, config) if not check.ok]
    assert failed == ["cutting a step differently changes nothing", "two processes learn what one learns"]


def test_an_answer_that_does_not_end_is_found(bench: Bench) -> None:
    from distil.train.data import Tokenised
    from tests.tiny import tiny_tokenizer

    endless = Tokenised("x", [5, 6, 7], [-100, 6, 7], 1)
    assert not selfcheck._what_trains(tiny_tokenizer(), endless).ok
    assert selfcheck._what_trains(tiny_tokenizer(), Tokenised("x", [5, 6, 2], [-100, 6, 2], 1)).ok
    assert torch.is_grad_enabled()
