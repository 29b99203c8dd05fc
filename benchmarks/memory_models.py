"""Random models and examples for the measurements of memory: configs of real families, made and saved on the device at hand.

Nothing is downloaded. The examples' words are few, so that a tokenizer of 320 ids suffices; the vocabulary is that of the config.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

VOCABULARY = 49_152


def llama(hidden: int, layers: int, inner: int, heads: int = 8, keys: int | None = None, **more: Any) -> dict[str, Any]:
    """A config.json of the Llama family."""
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": keys or heads,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
        "max_position_embeddings": 8192,
        **more,
    }


def save_random(config: dict[str, Any], folder: Path, *, device: str = "cpu", dtype: str = "float32") -> None:
    """Writes a model with random weights and its tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from tests.tiny import tiny_tokenizer

    torch.manual_seed(0)
    kind = AutoConfig.for_model(**{k: v for k, v in config.items() if v is not None})
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(kind, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 8192
    tokenizer.save_pretrained(folder)


def write_examples(folder: Path, student: str, count: int, tokens: int, *, validation: int = 0) -> None:
    """Examples whose chats have about `tokens` tokens, a third of them in the answer."""
    from distil.models.load import load_tokenizer
    from distil.records import Example, Message
    from distil.runs.artifacts import Project
    from distil.runs.jsonl import write_records

    words = ["order", "parcel", "kettle", "refund", "arrived", "lamp", "angry", "delivery", "service", "yesterday"]
    tokenizer = load_tokenizer(student)
    per_word = len(tokenizer.encode(" ".join(words))) / len(words)
    number = max(3, round((tokens - 12) / per_word))
    sides: dict[str, list[Example]] = {"train": [], "validation": []}
    for index in range(count + validation):
        side = "train" if index < count else "validation"
        text = [words[(index * 7 + place * 3) % len(words)] for place in range(number)]
        messages = [
            Message(role="user", content=f"{index} " + " ".join(text[: number * 2 // 3])),
            Message(role="assistant", content=" ".join(text[number * 2 // 3 :])),
        ]
        sides[side].append(
            Example(id=f"e{index}", prompt_id=f"p{index}", answer_id=f"a{index}", messages=messages, split=side)
        )
    for side, examples in sides.items():
        write_records(Project(folder).split(side), examples)
