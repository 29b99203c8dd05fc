"""The tokenizer that teacher and student share: byte-level BPE, single digits, a chat template with answer marks.

Learned from the skills corpus and domain messages, never from the task's JSON.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.bundled_models.skills import MIX, document
from tools.bundled_models.skills.documents import ASSISTANT, BOS, END, PAD, SPECIAL_TOKENS, SYSTEM, USER

VOCABULARY = 1536
CONTEXT = 512

CHAT_TEMPLATE = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}"
    + SYSTEM
    + "{{- message['content'] -}}"
    + END
    + "{%- elif message['role'] == 'user' -%}"
    "" + USER + "{{- message['content'] -}}" + END + "{%- elif message['role'] == 'assistant' -%}"
    "" + ASSISTANT + "{% generation %}{{- message['content'] -}}" + END + "{% endgeneration %}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}" + ASSISTANT + "{%- endif -%}"
)


def _texts(documents: int, seed: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer/{seed}")
    reading = {name: share for name, share in MIX.items() if name not in ("repetition", "echo", "lookup")}
    for _ in range(documents):
        for piece, _weight in document(rng, reading).pieces:
            text = piece
            for token in SPECIAL_TOKENS:
                text = text.replace(token, "\n")
            yield text


def train_tokenizer(folder: Path, *, documents: int = 40_000, seed: int = 0) -> Any:
    """Learn the tokenizer, save it as a Hugging Face fast tokenizer in `folder`, and return it. About 10 seconds."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # all 256 bytes: nothing is ever unknown
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(documents, seed), trainer=trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=PAD, model_max_length=CONTEXT,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = CHAT_TEMPLATE
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    return fast
