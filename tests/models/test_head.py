"""Head times hidden states are the model's own logits, whatever its family does to them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from distil.errors import UserError
from distil.models.head import head_equation, head_rows, output_head

SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_d_ssm": 64}


def make(name: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")
    family = {"Bert": "BertLMHead", "ModernBertDecoder": "ModernBertDecoderForCausalLM"}.get(name, f"{name}ForCausalLM")
    return getattr(transformers, {"BertLMHead": "BertLMHeadModel"}.get(family, family))(config(**settings)).eval()


FAMILIES: list[tuple[str, dict[str, Any], bool, float, float | None]] = [
    ("Llama", {}, True, 1.0, None),
    ("Gemma2", {"final_logit_softcapping": 3.0, "head_dim": 16}, True, 1.0, 3.0),
    ("Gemma2", {"final_logit_softcapping": 30.0, "head_dim": 16}, True, 1.0, 30.0),
    ("Cohere", {"logit_scale": 0.25}, True, 0.25, None),
    ("Granite", {"logits_scaling": 4.0}, True, 0.25, None),
    ("HyperCLOVAX", {"logits_scaling": 0.125}, True, 0.125, None),
    ("FalconH1", {"lm_head_multiplier": 0.0195, **MAMBA}, True, 0.0195, None),
    ("RecurrentGemma", {"logits_soft_cap": 5.0, "lru_width": 32, "num_hidden_layers": 3}, True, 1.0, 5.0),
    ("Mpt", {"d_model": 32, "n_heads": 2, "n_layers": 2, "vocab_size": 64, "logit_scale": 0.5}, True, 1.0, None),
    ("Bert", {"is_decoder": True}, False, 1.0, None),
    ("ModernBertDecoder", {}, False, 1.0, None),
    ("Qwen3", {"tie_word_embeddings": True, "head_dim": 16}, True, 1.0, None),
    ("Phi", {}, True, 1.0, None),
]


@pytest.mark.parametrize(("family", "special", "from_decoder", "scale", "cap"), FAMILIES)
def test_the_head_of_a_family_gives_its_own_logits(
    family: str, special: dict[str, Any], from_decoder: bool, scale: float, cap: float | None
) -> None:
    """Among them families whose factor or cap no config name of another family tells (Liger-Kernel#1477: Falcon-H1)."""
    model = make(family, special if family == "Mpt" else {**SIZES, **special})
    ids = torch.randint(3, 64, (2, 7))
    with torch.no_grad():
        hidden = head_rows(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        head = output_head(model)
        logits = head.logits(hidden)
        torch.testing.assert_close(logits, model(input_ids=ids).logits)
        torch.testing.assert_close(logits, head.detached().wide_logits(hidden))
    assert head_equation(model).from_decoder == from_decoder
    assert (head.scale, head.softcap or 0.0) == pytest.approx((scale, cap or 0.0), rel=1e-6)


def test_a_head_in_half_precision_is_measured_as_exactly() -> None:
    model = make("FalconH1", {**SIZES, "lm_head_multiplier": 0.0195, **MAMBA}).to(torch.bfloat16)
    assert head_equation(model).scale == pytest.approx(0.0195, rel=1e-6) and head_equation(model).error < 0.01


def test_gradients_go_through_what_lies_before_the_head() -> None:
    model = make("Bert", {**SIZES, "is_decoder": True})
    ids = torch.randint(3, 64, (1, 7))
    head_rows(model, {"input_ids": ids}).sum().backward()
    assert model.cls.predictions.transform.dense.weight.grad is not None


def test_a_model_without_a_head_is_refused() -> None:
    model = transformers.LlamaModel(transformers.LlamaConfig(**SIZES))
    with pytest.raises(UserError, match="no output head"):
        output_head(model)


class Shifted(transformers.LlamaForCausalLM):
    """Adds something to the logits that no factor and no cap can."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)
        out.logits = out.logits + torch.arange(out.logits.shape[-1])
        return out


class Unused(transformers.LlamaForCausalLM):
    """Computes its logits without calling its output layer."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden = self.model(*args, **kwargs).last_hidden_state
        logits = hidden @ torch.nn.functional.normalize(self.lm_head.weight).T
        return transformers.modeling_outputs.CausalLMOutputWithPast(logits=logits)


@pytest.mark.parametrize(
    ("kind", "says"), [(Shifted, "neither a factor nor a soft cap"), (Unused, "not used once for every token")]
)
def test_a_head_of_another_form_is_refused_in_one_paragraph(kind: Any, says: str) -> None:
    with pytest.raises(UserError, match=f"{says}.*Use another causal language model") as refused:
        output_head(kind(transformers.LlamaConfig(**SIZES)).eval())
    assert "\n" not in str(refused.value)
