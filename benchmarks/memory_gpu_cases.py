"""The trainings that `benchmarks/memory.py --device cuda` measures, the most telling first, and their miniatures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from memory_models import llama

MODELS: dict[str, dict[str, Any]] = {
    "1B": llama(2048, 16, 8192, 32, 8),
    "8B": llama(4096, 32, 14_336, 32, 8, tie_word_embeddings=False),
    "gemma": llama(
        1152,
        26,
        6912,
        4,
        1,
        model_type="gemma3_text",
        head_dim=256,
        vocab_size=262_144,
        sliding_window=512,
        query_pre_attn_scalar=256,
    ),
    "moe": llama(
        1024,
        16,
        0,
        16,
        4,
        model_type="qwen3_moe",
        moe_intermediate_size=768,
        num_experts=32,
        num_experts_per_tok=4,
        head_dim=64,
    ),
    "26M": llama(320, 8, 864),
    "90M": llama(640, 12, 1712, 10),
}
"""Shapes of Llama-3.2-1B, Llama-3.1-8B, Gemma-3-1B and of a small Qwen3 mixture; vocabularies of 49,152 ids but for Gemma's."""


@dataclass(frozen=True)
class Case:
    """One training."""

    name: str
    student: str
    """Of MODELS."""
    train: dict[str, Any] = field(default_factory=dict)
    adapter: bool = False
    four_bit: bool = False
    teacher: str | None = None
    batch: int = 96
    """Examples a step: three passes of 16,384 tokens with 512 tokens each."""
    tokens: int = 512
    """Of an example."""
    steps: int | None = 5
    """None = all of three epochs, with validation and the saved student read back: what a person runs."""
    examples: int = 0
    """0 = two steps' worth."""
    saved: bool = False
    """Whether the end of the training is run, too: a merged and compared adapter, or a folder that is read back."""
    profiled: bool = False
    """Whether one more step is run, whose kernels are listed."""
    limited: str | None = None
    """The case of this name is run again with memory for three quarters of its activations, so that passes must be halved."""


LORA: dict[str, Any] = {"adapter": True}
LOGITS = {"method": "logits", "epochs": 2.0}
CASES = [
    Case("Llama 1B, full", "1B", steps=6, profiled=True),
    Case("Llama 8B, QLoRA, checkpointing", "8B", {"gradient_checkpointing": True}, four_bit=True, batch=32, **LORA),
    Case("Llama 1B, LoRA", "1B", steps=6, profiled=True, **LORA),
    Case("Llama 8B, LoRA, 4,096 tokens", "8B", {"micro_batch_tokens": 4096}, batch=32, **LORA),
    Case("Llama 1B, full, checkpointing", "1B", {"gradient_checkpointing": True}),
    Case("Llama 1B, logits, 8B teacher in process", "1B", {"method": "logits"}, teacher="8B", batch=64),
    Case("Gemma 1B, 262,144 ids, full", "gemma"),
    Case("Qwen3-MoE 1.4B, full", "moe", steps=6, profiled=True),
    Case("Llama 1B, full, 1,500-token texts", "1B", batch=30, tokens=1500),
    Case("Llama 1B, LoRA, too little memory", "1B", limited="Llama 1B, LoRA", **LORA),
    Case("Llama 1B, QLoRA", "1B", four_bit=True, **LORA),
    Case("Llama 1B, LoRA, checkpointing", "1B", {"gradient_checkpointing": True}, **LORA),
    Case("Llama 1B, LoRA, saved", "1B", steps=1, saved=True, **LORA),
    Case("Llama 26M, whole, rates tried", "26M", {"epochs": 2.0}, batch=32, tokens=110, steps=None, examples=1300),
    Case("Llama 26M, whole, logits", "26M", LOGITS, teacher="90M", batch=32, tokens=110, steps=None, examples=256),
    Case(
        "Llama 26M, on_policy",
        "26M",
        {"method": "on_policy", "rollout_tokens": 24},
        teacher="26M",
        batch=32,
        tokens=110,
        steps=3,
    ),
    Case("Qwen3-MoE 1.4B, LoRA", "moe", **LORA),
    Case("Llama 1B, full, padded", "1B", {"packing": False}),
]

SMALLER = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "head_dim": 16,
    "moe_intermediate_size": 32,
    "num_experts": 8,
    "sliding_window": 32,
    "query_pre_attn_scalar": 16,
}


def miniature(case: Case) -> Case:
    """The same training with a few short texts: 256 tokens a pass, three passes a step, in bfloat16 as on a GPU."""
    tokens = 64 if case.tokens <= 512 else 128
    train = {**case.train, "micro_batch_tokens": 256, "bf16": True}
    return replace(case, tokens=tokens, batch=768 // tokens, train=train, examples=min(case.examples, 130))


def miniature_model(config: dict[str, Any]) -> dict[str, Any]:
    """The same family with a few thousand weights."""
    return {**config, **{key: value for key, value in SMALLER.items() if key in config}}
