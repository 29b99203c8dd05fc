"""Head times hidden states are the model's own logits, whatever its family does to them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from distil.errors import UserError
from distil.models.head import output_head

SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "special"),
    [
        ("Llama", {}),
        ("Gemma2", {"final_logit_softcapping": 3.0, "head_dim": 16}),
        ("Cohere", {"logit_scale": 0.25}),
        ("Granite", {"logits_scaling": 4.0}),
        ("Qwen3", {"tie_word_embeddings": True, "head_dim": 16}),
    ],
)
def test_the_head_of_a_family_gives_its_own_logits(family: str, special: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **special)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    ids = torch.randint(3, 64, (2, 7))
    with torch.no_grad():
        hidden = model.get_decoder()(input_ids=ids).last_hidden_state
        head = output_head(model)
        logits = head.logits(hidden)
        torch.testing.assert_close(logits, model(input_ids=ids).logits)
        torch.testing.assert_close(logits, head.detached().wide_logits(hidden))
    plain = torch.nn.functional.linear(hidden, head.weight, head.bias)
    assert special.keys() <= {"tie_word_embeddings", "head_dim"} or not torch.allclose(plain, logits)


def test_a_model_without_a_head_is_refused() -> None:
    model = transformers.LlamaModel(transformers.LlamaConfig(**SIZES))
    with pytest.raises(UserError, match="no output head"):
        output_head(model)
