"""What a pass keeps: the formula for Llama's families against the count, and a count for others."""

from __future__ import annotations

import json
import sys

import pytest

from distil.models.lora import Lora, fresh_adapter
from distil.models.shape import config_of
from distil.models.unwrap import causal_model
from distil.train.batches import pack
from distil.train.examples import Tokenized
from distil.train.footprint import plain_footprint
from distil.train.packing import use_packed
from distil.train.peak import footprint
from distil.train.traced import kept_by, traced_footprint

LLAMA = {
    "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 3, "intermediate_size": 896, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 512, "tie_word_embeddings": True,
}  # fmt: skip
MOE = {
    **LLAMA, "model_type": "qwen3_moe", "moe_intermediate_size": 64, "num_experts": 8, "num_experts_per_tok": 2,
}  # fmt: skip


@pytest.mark.parametrize(("family", "half"), [("llama", False), ("llama", True), ("qwen3", False)])
def test_the_formula_is_what_a_pass_keeps(family: str, half: bool) -> None:
    data = {**LLAMA, "model_type": family}
    counted = traced_footprint(json.dumps(data), tokens=64, rank=None, half=half, packing=True, parameters=10**6)
    formula = plain_footprint(data, rank=None, half=half, parameters=10**6)
    assert counted.traced
    assert formula.kept == pytest.approx(counted.kept, rel=0.03)
    assert formula.layer == pytest.approx(counted.layer, rel=0.03)
    assert formula.casts == pytest.approx(counted.casts, rel=0.03)


@pytest.mark.parametrize("half", [False, True])
def test_the_formula_is_what_an_adapter_keeps(half: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    small = {**LLAMA, "hidden_size": 64, "head_dim": 16, "intermediate_size": 224}
    model = AutoModelForCausalLM.from_config(
        config_of(json.dumps(small)), dtype=torch.bfloat16 if half else torch.float32
    )
    adapted = fresh_adapter(model, Lora(16))
    use_packed(causal_model(adapted))
    batch = pack([Tokenized(str(number), [1] * 61, [1] * 61, 1) for number in range(2)])
    counted = kept_by(adapted.train(), batch, half=half)
    formula = plain_footprint(small, rank=16, half=half, parameters=10**6)
    assert formula.trained == counted.trained
    assert formula.kept == pytest.approx(counted.kept, rel=0.1)


def test_other_families_are_counted_on_their_own_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.train.traced.COUNTED_LAYERS", 3)
    plain = footprint(json.dumps(LLAMA), tokens=64, rank=None, half=False, packing=True, parameters=10**6)
    padded = footprint(json.dumps(LLAMA), tokens=64, rank=None, half=False, packing=False, parameters=10**6)
    assert padded.traced and padded.kept != plain.kept
    deep = {**LLAMA, "model_type": "gemma3_text", "num_hidden_layers": 6}
    shallow = {**deep, "num_hidden_layers": 3}
    counts = [
        footprint(json.dumps(config), tokens=64, rank=None, half=False, packing=True, parameters=10**6)
        for config in (deep, shallow)
    ]
    assert all(count.traced for count in counts)
    assert counts[0].kept == pytest.approx(2 * counts[1].kept, rel=0.05)


@pytest.mark.parametrize("half", [False, True])
def test_experts_are_counted_as_their_pass_keeps_them(half: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """torch's product of groups refuses float32 on fake tensors, with a traceback on stderr."""
    import torch
    from transformers import AutoModelForCausalLM

    counted = traced_footprint(json.dumps(MOE), tokens=61, rank=None, half=half, packing=True, parameters=10**6)
    assert counted.traced and capfd.readouterr().err == ""
    model = AutoModelForCausalLM.from_config(config_of(json.dumps(MOE)), dtype=torch.float32).train()
    use_packed(model)
    kept = kept_by(model, pack([Tokenized(str(number), [1] * 61, [1] * 61, 1) for number in range(2)]), half=half)
    assert counted.kept == pytest.approx(kept.kept, rel=0.001)
    assert counted.casts == kept.casts


def test_a_family_that_cant_be_counted_has_a_rule_of_thumb() -> None:
    odd = json.dumps({**LLAMA, "model_type": "unheard_of"})
    found = footprint(odd, tokens=64, rank=None, half=True, packing=True, parameters=10**6)
    assert not found.traced and found.kept == 34 * 256 * 3


def test_without_torch_there_is_the_rule_of_thumb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distil.train.traced", None)
    inner = json.dumps({"model_type": "gemma3", "text_config": {**LLAMA, "model_type": "gemma3_text"}})
    found = footprint(inner, tokens=32, rank=None, half=True, packing=True, parameters=10**6)
    assert not found.traced and found.kept == 34 * 256 * 3 and found.trained == 10**6
