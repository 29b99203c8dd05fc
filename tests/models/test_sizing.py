"""Sizes from names and files, and bytes that agree with the sums everybody does by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from distil.models.sizing import (
    GIB,
    LOGIT_BYTES_ACCELERATOR,
    LOGIT_BYTES_CPU,
    Machine,
    Shape,
    model_shape,
    this_machine,
    training_memory,
    training_seconds,
)
from distil.objectives import chunks


@pytest.mark.parametrize(
    ("ref", "parameters"),
    [
        ("Qwen/Qwen3-0.6B", 0.6e9),
        ("meta-llama/Llama-3-8B-Instruct", 8e9),
        ("meta-llama/Llama-3.1-70B", 70e9),
        ("x/smollm-135M", 135e6),
    ],
)
def test_a_hub_id_says_its_size(ref: str, parameters: float) -> None:
    shape = model_shape(ref)
    assert shape is not None and shape.parameters == pytest.approx(parameters)


def test_an_api_model_has_no_size() -> None:
    assert model_shape("openai/gpt-5-mini") is None


def test_a_folder_is_counted_from_its_safetensors_header(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 8, "num_hidden_layers": 2}))
    header = json.dumps({"__metadata__": {}, "a": {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(60))
    assert model_shape(str(tmp_path)) == Shape(15, 8, 2, "config.json")


def test_8b_takes_16_bytes_a_parameter_and_qlora_fits_24_gib() -> None:
    shape = model_shape("Llama-3-8B")
    assert shape is not None
    full = training_memory(shape, micro_tokens=2048)
    assert full.weights + full.optimizer == pytest.approx(16 * 8e9, rel=0.01)
    qlora = training_memory(shape, micro_tokens=2048, adapter=True, four_bit=True, checkpointing=True)
    assert qlora.total < 24 * GIB < full.total


def test_counted_logits_match_the_chunks_of_the_fused_loss() -> None:
    assert (LOGIT_BYTES_ACCELERATOR, LOGIT_BYTES_CPU) == (chunks.ACCELERATOR_BYTES, chunks.CHUNK_BYTES)


def test_checkpointing_keeps_less_and_a_teacher_adds_its_weights() -> None:
    shape = Shape(10**9, 2048, 16, "test")
    plain = training_memory(shape, micro_tokens=8192)
    assert training_memory(shape, micro_tokens=8192, checkpointing=True).activations < plain.activations / 4
    with_teacher = training_memory(shape, micro_tokens=8192, teacher=Shape(7 * 10**9, 4096, 32, "test"))
    assert with_teacher.total - plain.total == 14 * 10**9


def test_time_grows_with_tokens_and_a_gpu_is_faster() -> None:
    shape = Shape(10**9, 2048, 16, "test")
    cpu, gpu = Machine(2, 24 * GIB, None, 0, 0), Machine(16, 128 * GIB, "NVIDIA H100 80GB HBM3", 1, 80 * GIB)
    assert training_seconds(shape, 2_000, cpu) == pytest.approx(2 * training_seconds(shape, 1_000, cpu))
    assert training_seconds(shape, 1_000, gpu) < training_seconds(shape, 1_000, cpu) / 1000
    assert gpu.memory == 80 * GIB and cpu.memory == 24 * GIB


def test_this_machine_has_memory_and_cores() -> None:
    machine = this_machine()
    assert machine.cores >= 1 and machine.ram > GIB
