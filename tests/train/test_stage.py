"""The stage as a user meets it: what lands on disk, what is learned, and which mistakes stop it before the first step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.errors import UserError, WorkFailed
from distil.models.load import load
from distil.runs.jsonl import read_examples, read_records
from distil.runs.manifest import stage_state
from distil.runs.schemas.trained import Trained
from distil.train import setup, stage
from distil.train.config import TeacherShare, TrainConfig
from tests.tiny import CORPUS, save_tiny, tiny_examples, tiny_model, tiny_tokenizer
from tests.train.conftest import Bench

QUICK: dict[str, Any] = {"epochs": 2, "learning_rate": 5e-3, "batch_size": 4, "log_steps": 1, "warmup": 0.0}


def quick(**changes: Any) -> TrainConfig:
    return TrainConfig(**{**QUICK, **changes})


def lines(bench: Bench, name: str) -> list[dict[str, Any]]:
    path = bench.project.stage("train", name) / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(str(folder / "model.safetensors"))


def test_sft_lowers_the_loss_and_writes_a_plain_model_folder(bench: Bench) -> None:
    result = stage.run(bench.project, quick(), bench.student, name="sft")
    found = lines(bench, "sft")
    losses = [line["loss"] for line in found if "loss" in line]
    assert len(losses) == 6 and losses[-1] < losses[0] and result.loss == losses[-1]
    assert "kl" not in found[0]  # there is no teacher
    assert {"label", "agreement", "entropy", "tokens_per_second", "learning_rate", "grad_norm"} <= set(found[0])
    assert sum("eval_loss" in line for line in found) == 2
    folder = bench.project.stage("train", "sft")
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "first_batch.txt", "manifest.json", "metrics.jsonl", "model", "run.json", "trained.jsonl",
    ]  # fmt: skip
    learned = [row.prompt_id for row in read_records(bench.project.trained("sft"), Trained)]
    assert learned == [example.prompt_id for example in read_examples(bench.project.split("train"))]
    assert "【" in (folder / "first_batch.txt").read_text()
    assert stage_state(bench.project, "train", "sft", quick().model_dump(mode="json"))[0] == "done"
    student = load(str(result.model), device="cpu")
    assert student.model.config._attn_implementation == "sdpa" and student.tokenizer.chat_template
    assert "Trained sft: 6 steps over 12 examples" in str(result) and dict(result.rows())["student"] == "sft"


def test_logits_bring_the_student_nearer_to_its_teacher(bench: Bench) -> None:
    section = quick(method="logits", epochs=4, distill_weight=1.0, label_weight=0.0)
    stage.run(bench.project, section, bench.student, name="logits", teacher=bench.teacher)
    held_out = [line["eval_distill"] for line in lines(bench, "logits") if "eval_distill" in line]
    assert held_out[-1] < held_out[0]


@pytest.mark.parametrize("memory", [None, {"cpu": "1KB"}])
def test_a_student_that_is_its_own_teacher_has_nothing_to_learn(bench: Bench, memory: dict[str, str] | None) -> None:
    """Also where the teacher's layers are on the disk."""
    section = quick(
        method="logits", distill_weight=1.0, label_weight=0.0, epochs=1, weight_decay=0.0, teacher_memory=memory
    )
    shares = [TeacherShare(model=bench.student.model)]
    stage.run(bench.project, section.model_copy(update={"teachers": shares}), bench.student, name="self")
    first = next(line for line in lines(bench, "self") if "loss" in line)
    assert abs(first["loss"]) < 1e-5 and first["agreement"] == 1.0 and abs(first["kl"]) < 1e-6


def test_a_mixture_of_one_teacher_twice_is_that_teacher(bench: Bench) -> None:
    path = bench.teacher.model
    one = [TeacherShare(model=path)]
    two = [TeacherShare(model=path, weight=3), TeacherShare(model=path, weight=1)]
    for name, shares in (("one", one), ("two", two)):
        stage.run(bench.project, quick(method="logits", epochs=1, teachers=shares), bench.student, name=name)
    found = [[line["loss"] for line in lines(bench, name) if "loss" in line] for name in ("one", "two")]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("changes", [{"packing": False}, {"micro_batch_tokens": 90}, {"gradient_checkpointing": True}])
def test_how_a_step_is_computed_does_not_change_what_is_learned(bench: Bench, changes: dict[str, Any]) -> None:
    for name, section in (("plain", quick(epochs=1)), ("other", quick(epochs=1, **changes))):
        stage.run(bench.project, section, bench.student, name=name)
    plain, other = (weights(bench.project.model(name)) for name in ("plain", "other"))
    for key, value in plain.items():
        torch.testing.assert_close(other[key], value, atol=2e-4, rtol=1e-3, msg=key)


def test_lora_leaves_an_adapter_and_a_merged_model_that_agree(bench: Bench) -> None:
    student = bench.student.model_copy(update={"adapter": "lora", "lora_rank": 4})
    result = stage.run(bench.project, quick(learning_rate=2e-2), student, name="lora")
    parity = result.facts["parity"]
    assert parity["greedy_equal"] == 1.0 and parity["kl"] < 1e-6 and parity["template_equal"] and parity["eos_equal"]
    folder = bench.project.stage("train", "lora")
    assert (folder / "adapter" / "adapter_config.json").exists()
    assert not (folder / "model" / "adapter_config.json").exists()
    base, merged = weights(Path(bench.student.model)), weights(result.model)
    changed = [key for key in base if not torch.equal(base[key], merged[key])]
    assert changed and not any("embed" in key or "norm" in key for key in changed)


def test_the_baseline_learns_the_references_alone(bench: Bench) -> None:
    stage.run(bench.project, quick(epochs=1, target="reference"), bench.student, name="baseline")
    text = (bench.project.stage("train", "baseline") / "first_batch.txt").read_text()
    assert "【order 0<|im_end|>】" in text and "intent" not in text.split("【")[1]


def test_a_few_steps_are_enough_to_try_things_out(bench: Bench) -> None:
    result = stage.run(bench.project, quick(), bench.student, name="trial", max_steps=2)
    assert result.steps == 2


def test_early_stopping_keeps_the_best_weights(bench: Bench) -> None:
    section = quick(epochs=30, learning_rate=0.2, early_stopping=1, schedule="constant")
    result = stage.run(bench.project, section, bench.student, name="early")
    losses = [line["eval_loss"] for line in lines(bench, "early") if "eval_loss" in line]
    assert len(losses) < 30 and losses[-1] > min(losses)
    best = load(str(result.model), device="cpu").model
    from distil.train.batches import pad
    from distil.train.examples import load_examples, tokenize

    held_out, _ = tokenize(
        tiny_tokenizer(), load_examples(bench.project.split("validation"), to_choose=True), max_length=None
    )
    batch = pad(held_out, 0)
    logits = best(batch.input_ids).logits[:, :-1].flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, batch.labels[:, 1:].flatten(), ignore_index=-100)
    assert float(loss.detach()) == pytest.approx(min(losses), rel=1e-4)


def test_out_of_memory_halves_the_pass_and_changes_no_weight(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.train import objective as objective_module

    stage.run(bench.project, quick(epochs=1), bench.student, name="roomy")
    original = objective_module.objective

    def tight(model: Any, task: Any, batch: Any) -> Any:
        if batch.input_ids.numel() > 200:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(model, task, batch)

    monkeypatch.setattr(objective_module, "objective", tight)
    result = stage.run(
        bench.project, quick(epochs=1, micro_batch_tokens=1000, validation_examples=0), bench.student, name="tight"
    )
    assert result.facts["micro_batch_tokens"] == 250
    roomy, tighter = (weights(bench.project.model(name)) for name in ("roomy", "tight"))
    for key, value in roomy.items():
        torch.testing.assert_close(tighter[key], value, atol=2e-4, rtol=1e-3, msg=key)


def test_what_a_failed_pass_held_is_freed_before_the_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    from distil.train import objective as objective_module

    original, kept = objective_module.objective, []

    def tight(model: Any, task: Any, batch: Any) -> Any:
        assert not any(reference() is not None for reference in kept)
        if batch.input_ids.numel() > 200:
            circle: list[Any] = [torch.zeros(4)]
            circle.append(circle)
            kept.append(weakref.ref(circle[0]))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(model, task, batch)

    monkeypatch.setattr(objective_module, "objective", tight)
    gc.disable()
    try:
        stage.run(
            bench.project, quick(micro_batch_tokens=1000, validation_examples=0), bench.student, name="x", max_steps=1
        )
    finally:
        gc.enable()
    assert kept


@pytest.mark.parametrize(
    ("said", "memory"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call", True),
        ("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: not enough memory: you tried to allocate", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("mat1 and mat2 shapes cannot be multiplied (8x4 and 5x2)", False),
    ],
)
def test_errors_that_mean_memory_ran_out(said: str, memory: bool) -> None:
    from distil.train.memory import ran_out_of_memory

    assert ran_out_of_memory(RuntimeError(said)) is memory


def test_one_process_trains_on_one_of_several_gpus(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers puts a process that sees several GPUs on all of them by DataParallel, which can't hand over an objective."""
    from transformers import TrainingArguments

    def four_gpus(arguments: Any) -> torch.device:
        arguments._n_gpu = 4
        return torch.device("cpu")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(four_gpus))
    arguments = setup.training_arguments(
        quick(), bench.project.root, torch.device("cpu"), None, rate=1e-3, validates=False
    )
    assert arguments.n_gpu == 1


def test_gradients_are_synchronized_in_the_last_pass_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator

    complete: list[bool] = []
    original = Accelerator.backward

    def backward(self: Any, loss: Any, **kwargs: Any) -> None:
        complete.append(self.sync_gradients)  # DeepSpeed's engine steps the optimizer where this is true
        original(self, loss, **kwargs)

    monkeypatch.setattr(Accelerator, "backward", backward)
    stage.run(bench.project, quick(epochs=1, micro_batch_tokens=1, validation_examples=0), bench.student, name="cut")
    assert complete == ([False] * 3 + [True]) * 3


def test_zero_stage_three_is_refused() -> None:
    from types import SimpleNamespace

    from distil.train.trainer import require_whole_head

    require_whole_head(SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=2)))
    with pytest.raises(UserError, match="stage 3 shards the output layer"):
        require_whole_head(SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=3)))


def test_too_little_memory_for_one_example_ends_with_advice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.train import objective as objective_module

    def never(model: Any, task: Any, batch: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    from distil.train import selfcheck

    monkeypatch.setattr(objective_module, "objective", never)
    monkeypatch.setattr(selfcheck, "check_training", lambda *args, **options: [])
    with pytest.raises(WorkFailed, match=r"train\.micro_batch_tokens"):
        stage.run(bench.project, quick(validation_examples=0), bench.student, name="never")


def test_a_project_relative_student_is_found_from_any_folder(bench: Bench) -> None:
    stage.run(bench.project, quick(epochs=1), bench.student, name="first")
    second = bench.student.model_copy(update={"model": "work/train/first/model"})
    shares = [TeacherShare(model="local/work/train/first/model"), TeacherShare(model=bench.student.model)]
    section = quick(epochs=1, method="logits", teachers=shares)
    assert stage.run(bench.project, section, second, name="second").steps == 3


# ---- wrong input, before the first step


def test_too_long_answers_are_an_error_with_counts(bench: Bench) -> None:
    with pytest.raises(
        UserError, match=r"12 of 12 training examples are longer than 40 tokens .*an answer is never cut"
    ):
        stage.run(bench.project, quick(max_length=40), bench.student, name="x")
    with pytest.raises(UserError, match="reads at most 256"):
        stage.run(bench.project, quick(max_length=4000), bench.student, name="x")
    result = stage.run(bench.project, quick(max_length=84, too_long="drop", epochs=1), bench.student, name="short")
    assert 0 < result.facts["dropped_for_length"] < 12


def test_ids_without_an_embedding_row_are_an_error(bench: Bench, own_student: Path) -> None:
    tiny_model(vocab_size=270).save_pretrained(own_student)
    student = bench.student.model_copy(update={"model": str(own_student)})
    with pytest.raises(
        UserError, match=r"ids up to \d+ \(it has 320 tokens\), but the student's embedding has only 270 rows"
    ):
        stage.run(bench.project, quick(), student, name="x")


def test_no_examples_and_no_references_are_errors(bench: Bench) -> None:
    from distil.runs.jsonl import write_records

    bare = [e.model_copy(update={"reference": None}) for e in tiny_examples(3)]
    write_records(bench.project.split("train"), bare)
    with pytest.raises(UserError, match=r"no example in .* has a reference"):
        stage.run(bench.project, quick(target="reference"), bench.student, name="x")
    bench.project.split("train").write_text("")
    with pytest.raises(UserError, match="nothing to learn from"):
        stage.run(bench.project, quick(), bench.student, name="x")


def test_a_teacher_with_another_tokenizer_needs_a_method_for_it(bench: Bench, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", vocab_size=400)
    tiny_tokenizer(400, corpus=(*CORPUS, "quite different words appear in this one")[::-1]).save_pretrained(other)
    section = quick(method="logits", teachers=[TeacherShare(model=str(other))])
    with pytest.raises(UserError, match=r"different tokenizers.*train\.cross_tokenizer"):
        stage.run(bench.project, section, bench.student, name="x")


@pytest.mark.parametrize(
    ("model", "says"), [("openai/gpt-5-mini", "gives text only"), ("http://127.0.0.1:1/v1#m", r"train\.signal: server")]
)
def test_a_teacher_without_distributions_is_refused_for_logits(bench: Bench, model: str, says: str) -> None:
    teacher = bench.teacher.model_copy(update={"model": model})
    with pytest.raises(UserError, match=says):
        stage.run(bench.project, quick(method="logits"), bench.student, name="x", teacher=teacher)


def test_nan_weights_are_found_before_the_first_step(bench: Bench, own_student: Path) -> None:
    from safetensors.torch import save_file

    broken = weights(own_student)
    broken["model.norm.weight"] = torch.full_like(broken["model.norm.weight"], float("nan"))
    save_file(broken, str(own_student / "model.safetensors"), metadata={"format": "pt"})
    student = bench.student.model_copy(update={"model": str(own_student)})
    with pytest.raises(UserError, match="before the first step"):
        stage.run(bench.project, quick(), student, name="x")
    assert not (bench.project.stage("train", "x") / "manifest.json").exists()


def test_a_loss_that_stops_being_a_number_stops_the_training(bench: Bench) -> None:
    with pytest.raises(WorkFailed, match=r"Lower train\.learning_rate"):
        stage.run(bench.project, quick(learning_rate=1e30, epochs=3, max_grad_norm=0), bench.student, name="x")


def test_a_reporter_that_is_not_installed_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(UserError, match="pip install wandb"):
        setup.training_arguments(
            quick(report_to=["wandb"]), bench.project.root, torch.device("cpu"), None, rate=1e-3, validates=False
        )


def test_a_name_must_be_a_folder_name(bench: Bench) -> None:
    with pytest.raises(UserError, match="becomes a folder"):
        stage.run(bench.project, quick(), bench.student, name="a/b")


def test_a_student_is_exported_and_compared_on_held_out_prompts(bench: Bench, tmp_path: Path) -> None:
    from distil.train import exporting

    with pytest.raises(UserError, match="no trained student 'sft'"):
        exporting.run(bench.project, "sft")
    stage.run(bench.project, quick(epochs=1), bench.student, name="sft")
    done = exporting.run(bench.project, "sft", out=tmp_path / "out")
    assert done.parity["prompts"] == 2 and done.parity["greedy_equal"] == 1.0
    assert dict(done.rows())["same greedy answers"] == "100%"
    assert (tmp_path / "out" / "chat_template.jinja").exists()
    file = exporting.run(bench.project, "sft", kind="gguf", dtype="f32")
    assert file.path == bench.project.stage("train", "sft") / "gguf" / "sft-f32.gguf" and file.path.stat().st_size
    assert file.parity["greedy_equal"] == 1.0 and file.parity["shape_equal"]
    named = exporting.run(bench.project, "sft", kind="gguf", out=tmp_path / "mine.gguf")
    assert named.path == tmp_path / "mine.gguf" and named.path.is_file()
    with pytest.raises(UserError, match="already exists"):
        exporting.run(bench.project, "sft", kind="gguf", out=tmp_path / "mine.gguf")
