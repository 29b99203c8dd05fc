"""A killed or interrupted training resumes bit for bit, in every family; checkpoints of another training are never lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.errors import Interrupted, UserError, WorkFailed
from distil.records import Message
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from distil.train import run, stage
from distil.train.callback import TrainingCallback
from distil.train.checkpoints import MARK, complete_checkpoints
from distil.train.config import TrainConfig
from distil.train.job import TrainJob
from distil.train.weights import FILE, read_weights, write_weights
from tests import warm
from tests.tiny import tiny_model, write_tiny_splits
from tests.train.conftest import Bench
from tests.train.families import RENAMED, save_family
from tests.train.test_stage import lines, quick, weights


def dropout_section(**changes: Any) -> TrainConfig:
    """Dropout (through LoRA) makes a resume depend on the state of the random generators."""
    return quick(epochs=3, checkpoint_steps=2, **changes)


def lora(bench: Bench) -> Any:
    return bench.student.model_copy(update={"adapter": "lora", "lora_rank": 4, "lora_dropout": 0.3})


KILLED = """
import os, signal, sys
from distil.runs.jsonl import read_json
from pathlib import Path
from distil.train.callback import TrainingCallback
from distil.train.job import TrainJob
from distil.train.run import train_student

on_step_end = TrainingCallback.on_step_end
def dies(self, args, state, control, **kwargs):
    if state.global_step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return on_step_end(self, args, state, control, **kwargs)
TrainingCallback.on_step_end = dies
train_student(TrainJob.from_json(read_json(Path(sys.argv[1]))))
"""


def test_a_killed_training_resumes_bit_for_bit(bench: Bench, tmp_path: Path) -> None:
    """The weights and the losses equal those of an uninterrupted training."""
    section = dropout_section()
    stage.run(bench.project, section, lora(bench), name="whole")
    job = TrainJob(bench.project.root, "killed", section, lora(bench))
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job.to_json()))
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    child = subprocess.run(
        [warm.executable(), "-c", KILLED, str(path)], env=environment, capture_output=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
    assert complete_checkpoints(job.folder / "checkpoints")[-1].name == "checkpoint-4"
    assert [line["step"] for line in lines(bench, "killed") if "loss" in line] == [1, 2, 3, 4, 5]
    result = stage.run(bench.project, section, lora(bench), name="killed")
    assert result.facts["resumed_from"] == "checkpoint-4"
    whole, resumed = (weights(bench.project.model(name)) for name in ("whole", "killed"))
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    histories = [
        [(line["step"], line["loss"]) for line in lines(bench, n) if "loss" in line] for n in ("whole", "killed")
    ]
    assert histories[0] == histories[1]


def test_an_incomplete_checkpoint_is_not_used(tmp_path: Path) -> None:
    for number, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if whole:
            (folder / MARK).touch()
    assert [path.name for path in complete_checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-10"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_the_next_run_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """So does SIGTERM, which Slurm, `docker stop` and `timeout` send."""
    section = quick(epochs=3)
    stage.run(bench.project, section, bench.student, name="whole")
    begin = TrainingCallback.on_step_begin

    def interrupting(self: TrainingCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            signal.raise_signal(number)
        begin(self, args, state, control, **kwargs)

    monkeypatch.setattr(TrainingCallback, "on_step_begin", interrupting)
    with pytest.raises(Interrupted, match="Stopped after step 4 of 9"):
        stage.run(bench.project, section, bench.student, name="stopped")
    assert not (bench.project.stage("train", "stopped") / "manifest.json").exists()
    monkeypatch.setattr(TrainingCallback, "on_step_begin", begin)
    result = stage.run(bench.project, section, bench.student, name="stopped")
    assert result.facts["resumed_from"] == "checkpoint-4" and result.steps == 9
    whole, resumed = (weights(bench.project.model(name)) for name in ("whole", "stopped"))
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


@contextmanager
def stopping_after(step: int) -> Iterator[None]:
    """Every training that begins inside is asked to stop, as by Ctrl-C, after `step`."""
    begin = TrainingCallback.on_step_begin

    def interrupting(self: TrainingCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.interrupted = self.interrupted or state.global_step == step - 1
        begin(self, args, state, control, **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(TrainingCallback, "on_step_begin", interrupting)
        yield


LEVERS: dict[str, dict[str, Any]] = {
    "dpo": {"method": "dpo", "rollout_tokens": 6},
    "answers first": {"method": "on_policy", "sft_epochs": 1.0, "rollout_tokens": 6, "rollout_teacher_top_k": 60},
}


@pytest.mark.parametrize("lever", LEVERS)
def test_pairs_and_answers_first_resume_bit_for_bit(bench: Bench, lever: str) -> None:
    """Answers first: stopped before they end."""
    section = quick(**LEVERS[lever])
    stage.run(bench.project, section, bench.student, name="whole", teacher=bench.teacher)
    with stopping_after(2):
        stage.run(bench.project, section, bench.student, name="stopped", teacher=bench.teacher)
    done = stage.run(bench.project, section, bench.student, name="stopped", teacher=bench.teacher)
    assert done.facts["resumed_from"] == "checkpoint-2" and done.steps == 6
    whole, resumed = (weights(bench.project.model(name)) for name in ("whole", "stopped"))
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    losses = [[(row["step"], row["loss"]) for row in lines(bench, n) if "loss" in row] for n in ("whole", "stopped")]
    assert losses[0] == losses[1]


def test_one_answer_per_epoch_resumes_bit_for_bit(bench: Bench) -> None:
    """12 prompts with two answers each: 3 steps of 4 an epoch, and the next epoch has the other answers."""
    examples = list(read_examples(bench.project.split("train")))
    others = [
        example.model_copy(
            update={
                "id": f"{example.id}b",
                "messages": [*example.prompt_messages, Message(role="assistant", content=f"b {i}")],
            }
        )
        for i, example in enumerate(examples)
    ]
    write_records(bench.project.split("train"), [*examples, *others])
    section = quick(epochs=2, answers="one_per_epoch")
    whole = stage.run(bench.project, section, bench.student, name="whole")
    assert whole.steps == 6 and stage.run(bench.project, quick(epochs=1), bench.student, name="all").steps == 6
    with stopping_after(4):
        stage.run(bench.project, section, bench.student, name="stopped")
    resumed = stage.run(bench.project, section, bench.student, name="stopped")
    assert resumed.facts["resumed_from"] == "checkpoint-4" and resumed.steps == 6
    kept = [weights(bench.project.model(name)) for name in ("whole", "stopped")]
    assert all(torch.equal(value, kept[1][key]) for key, value in kept[0].items())


@pytest.mark.parametrize("family", RENAMED)
def test_every_family_resumes_bit_for_bit(bench: Bench, tmp_path: Path, family: str) -> None:
    """transformers' own Trainer would go on from the base weights for these, without an error."""
    student = bench.student.model_copy(update={"model": str(save_family(family, tmp_path / family))})
    section = quick(epochs=1, validation_examples=0)
    stage.run(bench.project, section, student, name="whole")
    with stopping_after(2):
        stage.run(bench.project, section, student, name="stopped")
    result = stage.run(bench.project, section, student, name="stopped")
    assert result.facts["resumed_from"] == "checkpoint-2"
    base = weights(Path(student.model))
    whole, resumed = (weights(bench.project.model(name)) for name in ("whole", "stopped"))
    assert whole.keys() == resumed.keys() == base.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert any(not torch.equal(value, whole[key]) for key, value in base.items())
    losses = [[line["loss"] for line in lines(bench, n) if "loss" in line] for n in ("whole", "stopped")]
    assert losses[0] == losses[1]


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    model, checkpoint = tiny_model(), tmp_path / "x" / "checkpoints" / "checkpoint-2"
    write_weights(model, checkpoint)
    read_weights(tiny_model(seed=1), checkpoint)
    for other, says in (
        (tiny_model(layers=3), r"9 tensors are missing \(model\.layers\.2\."),
        (tiny_model(layers=1), "9 tensors are not in this model"),
        (tiny_model(vocab_size=300), r"1 tensors have another shape \(model\.embed_tokens\.weight\)"),
    ):
        before = {name: p.clone() for name, p in other.named_parameters()}
        with pytest.raises(WorkFailed, match=says + ".*distil train --as x --force"):
            read_weights(other, checkpoint)
        assert all(torch.equal(p, before[name]) for name, p in other.named_parameters())
    (checkpoint / FILE).unlink()
    with pytest.raises(WorkFailed, match=r"holds no weights\.pt"):
        read_weights(model, checkpoint)


def test_checkpoints_of_another_training_are_never_deleted(bench: Bench) -> None:
    """It is refused with what differs; --force puts them aside."""
    with stopping_after(3):
        stage.run(bench.project, quick(), bench.student, name="x")
    folder = bench.project.stage("train", "x")
    kept = sorted(path.name for path in folder.rglob("*"))
    for changes, says in (
        ({"learning_rate": 1e-3}, r"step 3\) .*train\.learning_rate was 0\.005 and is 0\.001.* --force"),
        ({"epochs": 4, "seed": 1}, r"train\.epochs was 2\.0 and is 4\.0; train\.seed was 0 and is 1"),
    ):
        with pytest.raises(UserError, match=says):
            stage.run(bench.project, quick(**changes), bench.student, name="x")
        assert sorted(path.name for path in folder.rglob("*")) == kept
    with pytest.raises(UserError, match=r"--max-steps was None and is 2"):
        stage.run(bench.project, quick(), bench.student, name="x", max_steps=2)
    write_tiny_splits(bench.project, train=11)
    with pytest.raises(UserError, match="the training examples was 12"):
        stage.run(bench.project, quick(), bench.student, name="x")
    result = stage.run(bench.project, quick(learning_rate=1e-3), bench.student, name="x", force=True)
    assert result.facts["resumed_from"] is None
    assert [line["step"] for line in lines(bench, "x") if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert complete_checkpoints(folder / "aside-1" / "checkpoints")[-1].name == "checkpoint-3"
    assert (folder / "aside-1" / "metrics.jsonl").read_text().count("loss") >= 3


def test_what_does_not_change_the_result_may_change_on_resume(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """As the advice after running out of memory says: smaller passes continue the same training."""
    stage.run(bench.project, quick(), bench.student, name="whole")
    with stopping_after(2):
        stage.run(bench.project, quick(), bench.student, name="x")
    other = quick(
        micro_batch_tokens=100, gradient_checkpointing=True, packing=False, log_steps=2, checkpoint_steps=2,
        checkpoint_minutes=5.0, validation_examples=3,
    )  # fmt: skip
    result = stage.run(bench.project, other, bench.student, name="x")
    assert result.facts["resumed_from"] == "checkpoint-2" and "Resuming x from checkpoint-2" in capfd.readouterr().err
    whole, resumed = (weights(bench.project.model(name)) for name in ("whole", "x"))
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, atol=2e-4, rtol=1e-3, msg=key)


def test_a_moved_project_resumes(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(bench.student.model, bench.project.root / "mine")
    student = bench.student.model_copy(update={"model": "mine"})
    with stopping_after(2):
        stage.run(bench.project, quick(), student, name="x")
    moved = Project(bench.project.root.rename(tmp_path / "moved"))
    assert stage.run(moved, quick(), student, name="x").facts["resumed_from"] == "checkpoint-2"


def test_an_adapter_is_not_resumed_on_another_base(bench: Bench, own_student: Path) -> None:
    student = lora(bench).model_copy(update={"model": str(own_student)})
    with stopping_after(2):
        stage.run(bench.project, quick(), student, name="x")
    tiny_model(seed=7).save_pretrained(own_student)
    with pytest.raises(UserError, match="the student's frozen weights was"):
        stage.run(bench.project, quick(), student, name="x")


def test_the_clock_makes_checkpoints_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Spy(TrainingCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append(state.global_step)
            super().on_save(args, state, control, **kwargs)
            time.sleep(0.05)

    monkeypatch.setattr(run, "TrainingCallback", Spy)
    stage.run(bench.project, quick(checkpoint_minutes=1e-6), bench.student, name="clock")
    assert len(seen) >= 3


def test_a_job_survives_json(bench: Bench) -> None:
    job = TrainJob(bench.project.root, "x", quick(method="logits"), bench.student, bench.teacher, 7)
    assert TrainJob.from_json(json.loads(json.dumps(job.to_json()))) == job
