"""A student as GGUF: what is written is read back by transformers' own reader and is the same student, or nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError, WorkFailed
from distil.models.export import export
from distil.models.gguf import write
from distil.models.gguf.check import compare_gguf, metadata, vocabulary_in
from distil.models.gguf.tokenizer import SPLITTINGS, plain_template, splitting_name, tokenizer_from, vocabulary_of
from distil.models.load import load, load_tokenizer
from distil.models.render import render_prompt
from tests.tiny import CHATML, CORPUS, save_tiny, tiny_tokenizer

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}


def small(kind: str, **changes: Any) -> Any:
    """A model of `kind` (llama, qwen2, qwen3) with weights large enough that its greedy tokens have no ties."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import AutoConfig

    sizes = {
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "eos_token_id": 2,
        "bos_token_id": None,
        "initializer_range": 0.2,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(sizes | changes))).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:  # norms of 1 and biases of 0 would hide that they were lost
                weight.add_(torch.randn_like(weight) * 0.1)
            assert name
    return model


def save_small(folder: Path, kind: str = "llama", tokenizer: Any = None, **changes: Any) -> Path:
    small(kind, **changes).save_pretrained(folder)
    (tokenizer or tiny_tokenizer()).save_pretrained(folder)
    return folder


def split_like(name: str) -> Any:
    """A tiny tokenizer that splits text as llama.cpp's `name` does, in the tokenizers package's usual spelling."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    modern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    own: dict[str, list[Any]] = {
        "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "smollm": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "qwen2": [pre_tokenizers.Split(Regex(modern.replace("DIGITS", r"\p{N}")), "isolated"), bytes_only],
        "llama-bpe": [pre_tokenizers.Split(Regex(modern.replace("DIGITS", r"\p{N}{1,3}")), "isolated"), bytes_only],
    }
    backend = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(own["llama-bpe" if name == "smaug-bpe" else name])  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([*CORPUS, "1 12 123 1234 12345 2024 1999 it's IT'S we'll"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|im_end|>")
    tokenizer.chat_template = CHATML
    return tokenizer


def prompts_of(folder: Path) -> list[list[int]]:
    tokenizer = load_tokenizer(str(folder))
    texts = ("My order 4711 has not arrived", "one two three", "Where is my parcel? " * 8)
    return [render_prompt(tokenizer, [{"role": "user", "content": text}]) for text in texts]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": False, "num_key_value_heads": 4, "head_dim": 32}),
        ("llama", {"rope_parameters": LLAMA3_ROPE}),
        ("llama", {"rope_parameters": LINEAR_ROPE, "vocab_size": 352}),
        ("qwen2", {"vocab_size": 336}),
        ("qwen3", {"tie_word_embeddings": False}),
    ],
)
def test_a_gguf_file_holds_the_student_exactly(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    student = save_small(tmp_path / "student", kind, **changes)
    found = export(student, tmp_path / "s.gguf", prompts=prompts_of(student), kind="gguf", dtype="f32")
    assert found["greedy_equal"] == 1.0 and found["kl"] < 1e-6 and found["top_k_overlap"] == 1.0
    assert found["template_equal"] and found["eos_equal"] and found["shape_equal"]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".gguf"] == ["s.gguf"]


def test_half_precision_and_eight_bits_stay_near(tmp_path: Path) -> None:
    student = save_small(tmp_path / "student", hidden_size=64, intermediate_size=100)
    sizes = {}
    for dtype in ("f32", "f16", "q8_0"):
        file = tmp_path / f"{dtype}.gguf"
        found = export(student, file, prompts=prompts_of(student), kind="gguf", dtype=dtype)
        assert found["kl"] < 0.01
        sizes[dtype] = file.stat().st_size
    assert sizes["f32"] > sizes["f16"] > sizes["q8_0"]


def test_rows_in_the_order_of_transformers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = save_small(tmp_path / "student")
    monkeypatch.setattr(write, "permuted", lambda array, name, config: array)  # the bug that such converters had
    with pytest.raises(WorkFailed, match="not the one that was trained"):
        export(student, tmp_path / "s.gguf", prompts=prompts_of(student), kind="gguf", dtype="f32")
    assert not list(tmp_path.glob("*.gguf")) and not list(tmp_path.glob(".*.gguf"))


def test_metadata_of_another_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = save_small(tmp_path / "student", rope_parameters=LLAMA3_ROPE)
    prompts = prompts_of(student)
    monkeypatch.setattr(write, "rope_factors", lambda model: write.plain_frequencies(1.0, 16))
    with pytest.raises(WorkFailed, match="metadata describe another model"):
        export(student, tmp_path / "s.gguf", prompts=prompts, kind="gguf", dtype="f32")


@pytest.mark.parametrize("name", list(SPLITTINGS))
def test_the_splitting_is_recognized_and_gives_the_same_ids(name: str) -> None:
    tokenizer = split_like(name)
    assert splitting_name(tokenizer, name == "llama-bpe") == name
    again = tokenizer_from(vocabulary_of(tokenizer, 330, {2}))
    for text in ("It's 12345 o'clock, WE'LL see\n\n  9 ", "<|im_start|>user\n7 parcels<|im_end|>\n"):
        assert again(text)["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_the_file_has_end_tokens_padding_rows_and_template(tmp_path: Path) -> None:
    student = save_small(tmp_path / "student", vocab_size=328, eos_token_id=[2, 1])
    export(student, tmp_path / "s.gguf", prompts=prompts_of(student), kind="gguf")
    found = vocabulary_in(metadata(tmp_path / "s.gguf"))
    assert found.special == {"eos": 2, "eot": 1, "pad": 0} and not found.add_bos
    assert found.tokens[2] == "<|im_end|>" and found.types[:4] == [3, 3, 3, 1]
    assert found.tokens[-1] == "[PAD327]" and found.types[-1] == 5 and len(found.tokens) == 328
    assert "generation %}" not in found.template and "{% if true %}" in found.template


def test_markers_leave_their_whitespace_control_behind() -> None:
    assert plain_template("a {%- generation -%} b {%- endgeneration %} c") == "a {%- if true -%} b {%- endif %} c"


def test_lost_end_tokens_show(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "student")
    student = load(str(folder))
    write.write_gguf(student, tmp_path / "s.gguf", dtype="f32")
    student.model.generation_config.eos_token_id = [1, 2]
    found = compare_gguf(student, tmp_path / "s.gguf", prompts_of(folder))
    assert not found.eos_equal and found.template_equal and found.shape_equal


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_act": "gelu"}, "activation is gelu"),
        ({"attention_bias": True}, "biases"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "position encoding is dynamic",
        ),
    ],
)
def test_an_unsupported_model_is_refused_with_advice(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    student = save_small(tmp_path / "student", **changes)
    with pytest.raises(UserError, match=rf"{reason}.*convert_hf_to_gguf\.py"):
        export(student, tmp_path / "s.gguf", prompts=prompts_of(student), kind="gguf")


def test_unsupported_architectures_types_and_splits_are_refused(tmp_path: Path) -> None:
    student = save_small(tmp_path / "student", "gemma")
    prompts = prompts_of(student)
    with pytest.raises(UserError, match="architecture is gemma; expected one of llama, qwen2, qwen3"):
        export(student, tmp_path / "s.gguf", prompts=prompts, kind="gguf")
    with pytest.raises(UserError, match="expected one of f32, f16, q8_0"):
        export(save_tiny(tmp_path / "tiny"), tmp_path / "s.gguf", prompts=prompts, kind="gguf", dtype="q4_k")
    with pytest.raises(UserError, match="splits text by none of the known rules"):
        splitting_name(split_like("gpt-2"), True)
    assert not list(tmp_path.glob("*.gguf"))


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = save_tiny(tmp_path / "student")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"pip install 'distil\[gguf\]'"):
        export(student, tmp_path / "s.gguf", prompts=[[1, 2, 3]], kind="gguf")
