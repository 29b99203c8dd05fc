"""Plan and doctor estimate the memory of the training that would run, with its own settings, near what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from distil.bundled.paths import MODELS
from distil.config import Config, parse_config
from distil.fit import largest_batch, texts_of, training_need, what_fits
from distil.models.shape import Shape, model_shape
from distil.models.sizing import GIB, Machine, default_micro_tokens
from distil.objectives import chunks
from distil.records import Example, Message
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.train import peak
from distil.train.config import TrainConfig
from distil.train.peak import Setup, Texts, smaller, training_memory, weight_bytes
from distil.train.setup import micro_tokens

CPU = Machine(8, 16 * GIB, None, 0, 0)
RTX = Machine(16, 128 * GIB, "NVIDIA RTX 4090", 1, 24 * GIB)
EIGHT = Machine(64, 1024 * GIB, "NVIDIA H100 80GB HBM3", 8, 80 * GIB)


def config(model: str = "meta-llama/Llama-3-8B", teacher: str = "local/Llama-3-8B", **train: object) -> Config:
    sections = {"prompts": {"path": "p"}, "teachers": [{"model": teacher}], "student": {"model": model}, "train": train}
    return parse_config(sections, "test")


def total(setup: Setup) -> int:
    return training_memory(setup).total


@pytest.mark.parametrize(("machine", "device"), [(CPU, "cpu"), (RTX, "cuda")])
def test_training_and_estimate_use_the_same_micro_batch(tmp_path: Path, machine: Machine, device: str) -> None:
    for setting in (None, 512):
        tokens = micro_tokens(TrainConfig(micro_batch_tokens=setting), torch.device(device))
        assert tokens == (setting or default_micro_tokens(gpu=device != "cpu"))
        need = training_need(Project(tmp_path), config(micro_batch_tokens=setting), machine)
        assert need is not None and need.setup.micro_tokens == tokens


def test_counted_logits_match_the_chunks_of_the_fused_loss() -> None:
    assert (peak.CHUNK_ROWS, peak.CHUNK_BYTES) == (chunks.CHUNK_ROWS, chunks.CHUNK_BYTES)
    assert (peak.ACCELERATOR_BYTES, peak.ACCELERATOR_BUFFERS) == (chunks.ACCELERATOR_BYTES, chunks.ACCELERATOR_BUFFERS)


SMOLLM2 = {
    "model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA_26M = {
    "model_type": "llama", "hidden_size": 320, "num_hidden_layers": 8, "intermediate_size": 864, "num_attention_heads": 8,
    "num_key_value_heads": 8, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA_90M = {
    "model_type": "llama", "hidden_size": 640, "num_hidden_layers": 12, "intermediate_size": 1712, "num_attention_heads": 10,
    "num_key_value_heads": 10, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip
QWEN2_50M = {
    "model_type": "qwen2", "hidden_size": 384, "num_hidden_layers": 12, "intermediate_size": 1843, "num_attention_heads": 6,
    "num_key_value_heads": 2, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip
MEASURED = [
    (SMOLLM2, {}, 5.31),
    (SMOLLM2, {"rank": 16}, 7.24),
    (LLAMA_26M, {"rank": 16}, 1.69),
    (LLAMA_90M, {"rank": 16}, 3.97),
    (LLAMA_90M, {}, 3.91),
    (QWEN2_50M, {}, 2.62),
    (LLAMA_26M, {}, 1.72),
    (LLAMA_26M, {"micro_tokens": 8192, "batch_size": 96}, 3.58),
]
"""(model, settings, peak GiB of `benchmarks/memory.py` on a CPU: 110 tokens an example)"""


@pytest.mark.parametrize(("model", "settings", "measured"), MEASURED)
def test_the_estimate_is_near_what_was_measured(
    tmp_path: Path, model: dict[str, object], settings: dict[str, object], measured: float
) -> None:
    setup = Setup(shape_of(tmp_path, model), gpu=False, micro_tokens=2048, texts=Texts(110, 112, 0.33, None))
    assert total(smaller(setup, **settings)) / GIB == pytest.approx(measured, rel=0.15)


def shape_of(folder: Path, model: dict[str, object]) -> Shape:
    (folder / "config.json").write_text(json.dumps(model))
    shape = model_shape(str(folder))
    assert shape is not None
    return shape


def eight(**changes: object) -> Setup:
    shape = model_shape("Llama-3-8B")
    assert shape is not None
    setup = Setup(shape, gpu=True, micro_tokens=1024, batch_size=8, texts=Texts(512, 1024, 0.3))
    return smaller(setup, **changes)


def test_8b_beside_published_figures() -> None:
    """16 bytes a parameter for float32 masters and Adam (ZeRO), 2 more for autocast's copies: LLaMA-Factory says 120 GB for 7B.

    LoRA and QLoRA: Unsloth's page says at least 22 and 6 GB for 8B, LLaMA-Factory 16 and 6 for 7B with a few tokens.
    """
    full = training_memory(eight())
    assert full.weights + full.optimizer == pytest.approx(16 * 8e9, rel=0.01)
    assert 134 * GIB < full.total < 165 * GIB
    lora, qlora = eight(rank=16, checkpointing=True), eight(rank=16, checkpointing=True, four_bit=True)
    assert 16e9 < sum(training_memory(lora)[:6]) < 26e9
    assert 6e9 < sum(training_memory(qlora)[:6]) < 14e9
    assert weight_bytes(eight().student, half=True, trained=False, four_bit=True) < 6.5e9


def test_settings_change_the_estimate() -> None:
    """Each in the direction in which it changes the training."""
    plain = eight(micro_tokens=16384, batch_size=512)
    assert total(smaller(plain, checkpointing=True)) < total(plain)
    assert total(smaller(plain, micro_tokens=2048)) < total(plain)
    lora = smaller(plain, rank=16)
    assert total(smaller(lora, bfloat16=False)) > 1.5 * total(lora)  # a T4 holds and computes in float32
    split = smaller(plain, processes=8, fsdp=True)
    replicated = smaller(plain, processes=8)
    assert total(split) < total(plain) < total(replicated)
    assert training_memory(split).optimizer == training_memory(plain).optimizer // 8
    teacher = model_shape("Llama-3-70B")
    assert teacher is not None
    with_teacher = smaller(plain, teachers=(teacher,))
    assert total(with_teacher) - total(plain) > 140e9
    two = training_memory(smaller(plain, teachers=(teacher, teacher)))
    assert two.teacher == 2 * training_memory(with_teacher).teacher


def test_teachers_in_memory_are_those_of_the_config(tmp_path: Path) -> None:
    two = [{"model": "x/a-1B"}, {"model": "x/b-2B"}]
    cases = {"online": 1.0, "cached": 0.0, "server": 0.0}
    for signal, billions in cases.items():
        need = training_need(Project(tmp_path), config(teacher="local/x-1B", method="logits", signal=signal), RTX)
        assert need is not None and sum(t.parameters for t in need.setup.teachers) == billions * 1e9
    mixed = training_need(Project(tmp_path), config(method="logits", teachers=two), RTX)
    assert mixed is not None and [t.parameters for t in mixed.setup.teachers] == [1e9, 2e9]
    on_policy = training_need(Project(tmp_path), config(teacher="local/x-1B", method="on_policy"), RTX)
    assert on_policy is not None and on_policy.memory.teacher > 2e9 and not on_policy.cacheable


def test_a_fit_names_every_setting_that_it_counts_on(tmp_path: Path) -> None:
    """With its own settings in the config, the estimate is the one that was promised."""
    for machine in (RTX, EIGHT, CPU):
        model = "meta-llama/Llama-3-8B" if machine.gpu_name else "x/small-1B"
        need = training_need(Project(tmp_path), config(model, model, method="logits"), machine)
        assert need is not None and not need.fits and need.memory.teacher > 0
        fit = what_fits(need)
        assert fit is not None
        changed = parse_config(with_settings(model, fit.settings), "test")
        checked = training_need(Project(tmp_path), changed, machine)
        assert checked is not None and checked.fits
        assert checked.memory.total == fit.bytes
        assert ("student.quantization=4bit" in fit.settings) <= (machine.gpu_name is not None)
    assert "train.fsdp=true" in what_fits_of(EIGHT, tmp_path)


def what_fits_of(machine: Machine, folder: Path) -> tuple[str, ...]:
    need = training_need(Project(folder), config(), machine)
    assert need is not None
    fit = what_fits(need)
    assert fit is not None
    return fit.settings


def with_settings(model: str, settings: tuple[str, ...]) -> dict[str, object]:
    sections: dict[str, dict[str, object]] = {"student": {"model": model}, "train": {"method": "logits"}}
    for setting in settings:
        key, value = setting.split("=")
        section, name = key.split(".")
        sections[section][name] = int(value) if value.isdigit() else True if value == "true" else value
    return {"prompts": {"path": "p"}, "teachers": [{"model": f"local/{model}"}], **sections}


def test_lengths_are_counted_with_the_students_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever its folder is named: bundled, or from the home folder."""
    project = Project(tmp_path)
    messages = [Message(role="user", content="wherever " * 40), Message(role="assistant", content="nowhere")]
    example = Example(id="a", prompt_id="a", answer_id=None, messages=messages, split="train")
    write_records(project.split("train"), [example])
    guessed = texts_of(project, config("x/small-1B"))
    monkeypatch.setenv("HOME", str(MODELS))
    found = [texts_of(project, config(model)) for model in (str(MODELS / "student"), "bundled/student", "~/student")]
    assert found[0] == found[1] == found[2] != guessed


def test_4_bits_are_never_advised_on_a_cpu(tmp_path: Path) -> None:
    need = training_need(Project(tmp_path), config(), CPU)
    assert need is not None and not need.fits and what_fits(need) is None


def test_the_largest_batch_fits_and_a_larger_does_not() -> None:
    setup, usable = eight(rank=16), 80 * GIB * 0.9
    tokens = largest_batch(setup, usable)
    assert tokens is not None and 1024 <= tokens < 65_536
    assert total(smaller(setup, micro_tokens=tokens, batch_size=10**6)) <= usable
    assert total(smaller(setup, micro_tokens=2 * tokens, batch_size=10**6)) > usable
    assert largest_batch(eight(), 24 * GIB) is None
