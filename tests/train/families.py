"""Tiny random models of families that transformers saves under other names than their parameters have, or that mix layer kinds.

Sizes are the smallest that each class accepts; nothing of a published checkpoint is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tiny import tiny_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MAMBA: dict[str, Any] = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}


def gemma3() -> Any:
    """With its vision tower, as the published 4B to 27B are."""
    import transformers as t

    text = t.Gemma3TextConfig(
        **SIZES, head_dim=8, sliding_window=16, layer_types=["sliding_attention", "full_attention"]
    )
    vision = t.SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4
    )
    config = t.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1, eos_token_id=2)
    return t.Gemma3ForConditionalGeneration(config)


def mixtral() -> Any:
    import transformers as t

    return t.MixtralForCausalLM(t.MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2))


def qwen3_moe() -> Any:
    import transformers as t

    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    return t.Qwen3MoeForCausalLM(t.Qwen3MoeConfig(**SIZES, head_dim=8, **experts))


def deepseek_v3() -> Any:
    import transformers as t

    experts = {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    heads = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
    groups = {"n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4}
    return t.DeepseekV3ForCausalLM(t.DeepseekV3Config(**{**SIZES, **experts, **heads, **groups}))


def granite_hybrid() -> Any:
    import transformers as t

    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 16}
    kinds = {"layer_types": ["mamba", "attention"], "mamba_expand": 2, "mamba_chunk_size": 16, "logits_scaling": 4.0}
    return t.GraniteMoeHybridForCausalLM(t.GraniteMoeHybridConfig(**SIZES, **MAMBA, **experts, **kinds))


def nemotron_h() -> Any:
    import transformers as t

    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    config = t.NemotronHConfig(
        **{**SIZES, "num_hidden_layers": 3},
        **experts,
        head_dim=8,
        layers_block_type=["mamba", "attention", "moe"],
        mamba_num_heads=4,
        mamba_head_dim=16,
        ssm_state_size=8,
        n_groups=1,
        chunk_size=16,
        moe_shared_expert_intermediate_size=16,
    )
    return t.NemotronHForCausalLM(config)


RENAMED: dict[str, Callable[[], Any]] = {
    make.__name__: make for make in (gemma3, mixtral, qwen3_moe, deepseek_v3, granite_hybrid, nemotron_h)
}
"""Families whose saved names or shapes differ from their parameters'."""


def save_family(name: str, folder: Path, seed: int = 0) -> Path:
    """Writes a tiny model of the family, with the tests' tokenizer, as a Hugging Face folder."""
    import torch

    torch.manual_seed(seed)
    model = RENAMED[name]()
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
