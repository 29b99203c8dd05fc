"""A Llama of a few thousand weights and a byte-level BPE tokenizer with a chat template, made in milliseconds.

Not a fixture file: plain functions that any test may call (`from tests.tiny import ...`). The real checkpoints are in
distil.bundled.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from distil.records import Example, Message
from distil.runs.jsonl import write_records

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ (message['content'] or '') + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ (message['content'] or '') + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATML_WITHOUT_MARKERS = CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "")

CORPUS = (
    "My order 4711 has not arrived yet and I am angry about it.",
    "The blue kettle leaks water after two days, please send me a refund.",
    '{"intent": "refund", "product": "kettle", "urgency": "high"}',
    "Where is my parcel? I paid for fast delivery last Monday.",
    "Thank you, the lamp works well and the service was friendly.",
    "one two three four five six seven eight nine ten",
)


@cache
def _bpe_json(vocab_size: int, corpus: tuple[str, ...]) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer.to_str()


def tiny_tokenizer(vocab_size: int = 320, corpus: tuple[str, ...] = CORPUS, template: str = CHATML) -> Any:
    """A PreTrainedTokenizerFast of at most `vocab_size` ids with ChatML; another `corpus` gives another tokenizer."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_bpe_json(vocab_size, corpus)),
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        model_max_length=256,
    )
    tokenizer.chat_template = template
    return tokenizer


def tiny_model(
    vocab_size: int = 320, hidden: int = 32, layers: int = 2, seed: int = 0, tied: bool = True, **config: Any
) -> Any:
    """A LlamaForCausalLM in float32 with seeded random weights; `config` overrides LlamaConfig fields."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=tied,
            pad_token_id=0,
            eos_token_id=2,
            bos_token_id=None,
            **config,
        )
    ).eval()


def save_tiny(folder: Path, *, seed: int = 0, template: str = CHATML, **model: Any) -> Path:
    """Writes model and tokenizer as a plain Hugging Face folder and returns it: `load(str(folder))` reads it."""
    tokenizer = tiny_tokenizer(template=template)
    tiny_model(seed=seed, **model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_examples(count: int, split: str = "train", start: int = 0) -> list[Example]:
    """`count` short triage conversations with distinct ids, of different lengths."""
    examples = []
    for number in range(start, start + count):
        messages = [
            Message(role="system", content="Answer with the order."),
            Message(role="user", content=f"My order {number} has not arrived" + " and I am angry" * (number % 3)),
            Message(role="assistant", content=f'{{"intent": "refund", "order": {number}}}'),
        ]
        examples.append(
            Example(
                id=f"example_{number}",
                prompt_id=f"prompt_{number}",
                answer_id=f"answer_{number}",
                messages=messages,
                reference=f"order {number}",
                split=split,  # type: ignore[arg-type]
            )
        )
    return examples


def write_tiny_splits(project: Any, train: int = 12, validation: int = 4, test: int = 2) -> None:
    """Writes curate's three split files of a `Project`, as `distil curate` would."""
    start = 0
    for split, count in (("train", train), ("validation", validation), ("test", test)):
        write_records(project.split(split), tiny_examples(count, split, start))
        start += count
