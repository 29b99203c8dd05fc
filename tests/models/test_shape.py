"""Sizes of models: exact from a config, labeled where they are guessed, and never 0."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest

from distil.models.shape import model_shape

QWEN3_MOE = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "intermediate_size": 6144,
    "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": False,
}  # fmt: skip
QWEN3 = {
    "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip
GEMMA3 = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208, "sliding_window": 1024,
    },
    "vision_config": {
        "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
        "num_attention_heads": 16, "image_size": 896, "patch_size": 14,
    },
}  # fmt: skip


@pytest.mark.parametrize("text", ["[]", '{"hidden_size"'], ids=["a list", "half written"])
def test_a_config_that_is_not_one_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert model_shape(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("config", "parameters", "active"),
    [(QWEN3_MOE, 30.53e9, 3.35e9), (QWEN3, 0.596e9, 0.596e9), (GEMMA3, 4.30e9, 4.30e9)],
    ids=["Qwen3-30B-A3B", "Qwen3-0.6B", "gemma-3-4b"],
)
def test_published_sizes_are_counted(
    tmp_path: Path, config: dict[str, object], parameters: float, active: float
) -> None:
    """The sizes on the models' cards: experts, head_dim and text_config count."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = model_shape(str(tmp_path))
    assert shape is not None and not shape.guessed
    assert shape.parameters == pytest.approx(parameters, rel=0.005)
    assert shape.active == pytest.approx(active, rel=0.02)


@pytest.mark.parametrize(
    ("ref", "parameters"),
    [
        ("Qwen/Qwen3-0.6B", 0.6e9),
        ("meta-llama/Llama-3-8B-Instruct", 8e9),
        ("local/meta-llama/Llama-3.1-70B", 70e9),
        ("x/smollm-135M", 135e6),
        ("Qwen/Qwen3-30B-A3B", 30e9),
    ],
)
def test_a_name_that_says_a_size_is_a_guess(ref: str, parameters: float) -> None:
    shape = model_shape(ref)
    assert shape is not None and shape.guessed and shape.parameters == pytest.approx(parameters)
    assert shape.active == (3e9 if "A3B" in ref else parameters)


@pytest.mark.parametrize("ref", ["openai/gpt-5-mini", "someone/mystery", "local/nothing"])
def test_no_size_is_none_and_not_zero(ref: str) -> None:
    assert model_shape(ref) is None


def weights(file: Path, rows: int) -> None:
    """A safetensors file of rows * 5 parameters."""
    size = rows * 20
    tensor = {"dtype": "F32", "shape": [rows, 5], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {}, file.stem: tensor}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder whose config says no family, so that only its files say how many parameters there are."""
    folder = tmp_path / "mine-3B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8, "num_hidden_layers": 2}))
    return folder


def parameters_of(folder: Path) -> int:
    """3e9 is the guess from the name of `plain`."""
    shape = model_shape(str(folder))
    assert shape is not None and shape.guessed == (shape.parameters == 3e9)
    return shape.parameters


def test_a_folder_is_counted_from_its_safetensors_header(plain: Path) -> None:
    weights(plain / "model.safetensors", 3)
    shape = model_shape(str(plain))
    assert shape is not None and shape[:4] == (15, 8, 2, "config.json")


def test_weights_that_are_there_twice_count_once(plain: Path) -> None:
    """Mistral's repositories have them in one file, too."""
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name in names:
        weights(plain / name, 3)
    weights(plain / "consolidated.safetensors", 6)
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[1]}}
    (plain / "model.safetensors.index.json").write_text(json.dumps(index))
    assert parameters_of(plain) == 30
    (plain / "model.safetensors.index.json").unlink()
    weights(plain / "model.safetensors", 6)
    assert parameters_of(plain) == 30


@pytest.mark.parametrize("index", [True, False])
def test_an_interrupted_download_is_not_the_whole_model(plain: Path, index: bool) -> None:
    names = [f"model-0000{number}-of-00004.safetensors" for number in range(1, 5)]
    weights(plain / names[0], 3)
    if index:
        (plain / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(enumerate(names))}))
    assert parameters_of(plain) == 3e9
    (plain / "config.json").write_text(json.dumps(QWEN3))
    assert parameters_of(plain) == pytest.approx(0.596e9, rel=0.005)


@pytest.mark.parametrize(
    "content",
    [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", b"abc", struct.pack("<Q", 3) + b"[1]"],
    ids=["a pointer of git-lfs", "too short", "no header"],
)
def test_a_file_without_a_header_counts_nothing(plain: Path, content: bytes) -> None:
    (plain / "model.safetensors").write_bytes(content)
    assert parameters_of(plain) == 3e9


@pytest.mark.parametrize("text", ['{"hidden_size": 8', "[1]", "\ufffd"])
@pytest.mark.parametrize("name", ["config.json", "adapter_config.json", "model.safetensors.index.json"])
def test_a_broken_file_leaves_the_guess(plain: Path, name: str, text: str) -> None:
    if name == "adapter_config.json":
        (plain / "config.json").unlink()
    (plain / name).write_bytes(text.encode("utf-16"))
    assert parameters_of(plain) == 3e9
    (plain / name).write_text(text)
    assert parameters_of(plain) == 3e9


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_the_training_extra_the_name_counts(plain: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    config = QWEN3 | {"hidden_size": 8, "num_attention_heads": 2}  # of no other test: sizes are kept in memory
    (plain / "config.json").write_text(json.dumps(config))
    assert parameters_of(plain) == 3e9
    weights(plain / "model.safetensors", 3)
    assert parameters_of(plain) == 15


def test_a_config_that_says_tied_needs_no_transformers(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: str) -> bool:
        raise AssertionError(text)

    monkeypatch.setattr("distil.models.shape._tied_by_default", refuse)
    weights(plain / "model.safetensors", 3)
    (plain / "config.json").write_text(json.dumps(QWEN3 | {"hidden_size": 16}))
    shape = model_shape(str(plain))
    assert shape is not None and shape.embedding == QWEN3["vocab_size"] * 16  # type: ignore[operator]


def test_a_config_of_no_known_family_falls_back_to_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "mine-3B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "unheard_of", "hidden_size": 8}))
    shape = model_shape(str(folder))
    assert shape is not None and shape.guessed and shape.parameters == 3e9


def test_a_config_in_the_hubs_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    snapshot = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(QWEN3))
    (tmp_path / "models--Qwen--Qwen3-0.6B" / "refs").mkdir()
    (tmp_path / "models--Qwen--Qwen3-0.6B" / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    shape = model_shape("Qwen/Qwen3-0.6B")
    assert shape is not None and not shape.guessed and shape.parameters == pytest.approx(0.596e9, rel=0.005)
