"""Tiny random models of every causal family of the installed transformers: config by hand where the defaults don't shrink.

All have 320 ids or a few more, so that tests/tiny.py's tokenizer fits, and random weights strong enough to make texts differ.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY = 320
LARGEST = 3_000_000
"""Parameters; a default that stays larger needs a config by hand."""
USED = (
    "llama", "qwen2", "qwen3", "qwen3_moe", "mistral", "mixtral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_oss", "smollm3",
    "granite", "cohere", "opt", "falcon", "deepseek_v3", "lfm2", "granitemoehybrid", "mamba2", "nemotron_h", "falcon_h1",
    "recurrent_gemma", "jamba", "bamba", "zamba2", "qwen3_next", "qwen3_5_text", "mamba", "llama4_text", "modernbert-decoder",
)  # fmt: skip
"""The families that people use, and the hybrids: the quick part of the matrix."""
SMALL: dict[str, object] = {
    "vocab_size": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_size": 32, "n_embd": 32, "d_model": 32, "dim": 32, "embedding_size": 32, "lru_width": 32,
    "word_embed_proj_dim": 32, "intermediate_size": 48, "n_inner": 48, "ffn_dim": 48, "d_ff": 48, "decoder_ffn_dim": 48,
    "encoder_ffn_dim": 48, "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "decoder_layers": 2,
    "encoder_layers": 2, "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "decoder_attention_heads": 4,
    "encoder_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
    "n_positions": 256, "n_ctx": 256, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 4,
    "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_topk": 2, "n_shared_experts": 1,
    "num_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 16,
    "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "qk_head_dim": 16,
    "mamba_n_heads": 4, "mamba_num_heads": 4, "mamba_d_head": 16, "mamba_head_dim": 16, "mamba_headdim": 16,
    "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_ngroups": 1, "mamba_expand": 2, "mamba_chunk_size": 8,
    "mamba_dt_rank": 4, "mamba_d_conv": 4, "mamba_d_ssm": 64, "n_mamba_heads": 4, "ssm_state_size": 8, "state_size": 8,
    "time_step_rank": 4, "chunk_size": 8, "n_groups": 1, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "sliding_window": 8, "attention_chunk_size": 8, "block_size": 8,
    "conv_L_cache": 3, "rotary_dim": 4, "index_topk": 4, "index_n_heads": 2, "index_head_dim": 8,
    "hidden_size_per_layer_input": 8,
}  # fmt: skip
LATENT = {"num_key_value_heads": 4, "qk_rope_head_dim": 4, "qk_head_dim": 12, "head_dim": 4}
HYBRID = {"layer_types": ["linear_attention", "full_attention"]}
BY_HAND: dict[str, dict[str, object]] = {
    **dict.fromkeys(
        ("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "longcat_flash",
         "minicpm3", "youtu"), LATENT,
    ),
    **dict.fromkeys(("qwen3_5_text", "qwen3_5_moe_text", "qwen3_next", "granitemoehybrid"), HYBRID),
    "bailing_hybrid": {**HYBRID, **LATENT},
    "bamba": {"attn_layer_indices": [1]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "kimi_linear": {**HYBRID, **LATENT, "mlp_layer_types": ["dense", "sparse"]},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"head_dim": 16},
    "recurrent_gemma": {"block_types": ["recurrent", "recurrent", "attention"], "num_hidden_layers": 3,
                        "attention_window_size": 8},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2, "n_mamba_heads": 2,
              "attention_hidden_size": 64, "attention_head_dim": 16},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"], "hybrid_layer_ids": [1], "num_mem_blocks": 1},
    "zaya": {"num_experts_per_tok": 1, "layer_types": ["hybrid", "hybrid"]},
}  # fmt: skip


def all_families() -> list[str]:
    """transformers' names (model_type) of all causal language models."""
    return list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny_family(name: str, *, strength: float = 3.0) -> PreTrainedModel:
    """A random model of this family, in eval mode. Raises whatever transformers raises where this file knows too little."""
    import transformers

    torch.manual_seed(0)
    config_class: Any = CONFIG_MAPPING[name]
    known = set(inspect.signature(config_class.__init__).parameters) | set(config_class.attribute_map)
    known |= {field for base in config_class.__mro__ for field in getattr(base, "__annotations__", {})}
    values = {key: value for key, value in SMALL.items() if key in known} | BY_HAND.get(name, {})
    config = config_class(**values)
    listed = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name]
    model_class = getattr(transformers, listed if isinstance(listed, str) else listed[0])
    with torch.device("meta"):
        size = sum(weight.numel() for weight in model_class(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{name} has {size:,} parameters with the defaults that tests/families.py leaves")
    model: PreTrainedModel = model_class(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(strength)
    return model
