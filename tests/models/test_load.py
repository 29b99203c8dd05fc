"""Loading: bundled names, folders, adapters, and errors that fit in one paragraph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.models.fingerprint import shared_prefix, template_fingerprint, tokenizer_fingerprint
from distil.models.load import PLAIN_TEMPLATE, context_length, load, load_tokenizer, pick_dtype, stop_ids
from tests.tiny import CHATML_WITHOUT_MARKERS, save_tiny, tiny_tokenizer


def test_a_folder_loads_in_float32_on_a_cpu(tmp_path: Path) -> None:
    import torch

    loaded = load(str(save_tiny(tmp_path / "tiny")), device="cpu")
    assert loaded.model.dtype == torch.float32 and not loaded.model.training
    assert context_length(loaded.model) == 256
    assert stop_ids(loaded.model, loaded.tokenizer) == {2}
    assert pick_dtype("bfloat16", loaded.device) == torch.bfloat16


def test_a_bases_sampling_is_not_the_students(tmp_path: Path) -> None:
    """Servers apply a folder's generation_config.json; these are the values of Qwen2.5-0.5B-Instruct's."""
    folder = save_tiny(tmp_path / "tiny")
    sampling = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1}
    ids = {"bos_token_id": 1, "eos_token_id": [2, 5], "pad_token_id": 2}
    (folder / "generation_config.json").write_text(json.dumps(sampling | ids))
    for adapter in (None, "lora"):
        loaded = load(str(folder), device="cpu", adapter=adapter)
        plain = loaded.model.merge_and_unload() if adapter else loaded.model
        plain.save_pretrained(tmp_path / "saved")
        saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
        assert {name: saved[name] for name in ids} == ids and not sampling.keys() & saved.keys()
        assert stop_ids(loaded.model, loaded.tokenizer) == {2, 5}


def test_an_adapter_folder_loads_its_base(tmp_path: Path) -> None:
    import torch

    base = save_tiny(tmp_path / "base")
    fresh = load(str(base), device="cpu", adapter="lora")
    with torch.no_grad():
        for name, weight in fresh.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(0))
    fresh.model.save_pretrained(tmp_path / "adapter")
    fresh.tokenizer.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[1, 5, 9, 40]])
    again = load(str(tmp_path / "adapter"), device="cpu")
    plain = load(str(base), device="cpu")
    torch.testing.assert_close(again.model(ids).logits, fresh.model(ids).logits)
    assert not torch.allclose(plain.model(ids).logits, fresh.model(ids).logits)


def test_a_tokenizer_without_template_or_pad_token_gets_both(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "plain")
    (tmp_path / "plain" / "config.json").write_text('{"model_type": "llama"}')
    again = load_tokenizer(str(tmp_path / "plain"))
    assert again.chat_template == PLAIN_TEMPLATE and again.pad_token_id == again.eos_token_id


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("bundled/teecher", "Did you mean 'teacher'"),
        ("./nowhere", "There is no folder ./nowhere"),
        ("nobody/has-this-model", "Check the name and the network"),
    ],
)
def test_a_wrong_name_is_one_clear_paragraph(ref: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as caught:
        load(ref, device="cpu")
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        load(str(tmp_path), device="cpu")


def test_four_bits_on_a_cpu_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Set student.quantization to null"):
        load(str(tmp_path), device="cpu", adapter="lora", quantization="4bit")


def test_a_card_that_emulates_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A T4 holds bfloat16 tensors, and emulates their products more slowly than float32."""
    import torch

    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert pick_dtype("auto", torch.device("cuda", 0)) == torch.float32
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
    assert pick_dtype("auto", torch.device("cuda", 0)) == torch.bfloat16


def test_fingerprints_tell_tokenizers_and_templates_apart() -> None:
    one, same, other = tiny_tokenizer(), tiny_tokenizer(), tiny_tokenizer(corpus=("entirely different words here",))
    assert tokenizer_fingerprint(one) == tokenizer_fingerprint(same) != tokenizer_fingerprint(other)
    assert template_fingerprint(one) == template_fingerprint(same)
    same.chat_template = CHATML_WITHOUT_MARKERS
    assert template_fingerprint(one) != template_fingerprint(same)


def test_the_shared_prefix_of_ids_ends_where_tokens_differ() -> None:
    small, large = tiny_tokenizer(290), tiny_tokenizer(320)
    assert shared_prefix(small, large) == 290
    assert shared_prefix(large, tiny_tokenizer(320, corpus=("zzz yyy xxx www",))) < 320
