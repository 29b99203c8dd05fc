"""What it takes that the student writes texts itself: on_policy in every step, dpo once before the first. By formula, no torch.

The writing is distil/models/generate.py (with a teacher: proposals.py), as rollouts.py calls it. Not the training on the texts.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from distil.models.shape import Shape, whole
from distil.train.config import TrainConfig
from distil.train.footprint import text_part

AT_ONCE = 64
"""Texts that are written together at most."""
DRAWN, DRAWN_FROM_NUCLEUS = 20, 37
"""Bytes a text and id of the vocabulary while a token is drawn (draw.py): logits, log-probabilities, probabilities in float32,
their sum in float64; with top_p the sorted ones, their ids and where they belong, too."""
MASKED = 5
"""Bytes a text and pair of its prompt's tokens: the mask of a padded batch, and as numbers."""
TENSORS = 3
"""Of the widest layer, and of the hidden states, that a forward pass without gradients has at once."""
SLOWER = 60.0
"""With r texts at once a written token takes 1 + SLOWER / r times as long as its operations do in training: measured on one core
for 2M and 13M parameters, 14 and 11 times with 4 texts, 4.7 and 4.6 with 16, 2.4 and 2.1 with 64. Not measured on a GPU."""


@dataclass(frozen=True)
class Writing:
    """The texts that a student writes."""

    step: int
    """Texts among which the written ones are chosen: of a step, over all processes; for dpo of the training."""
    share: float
    """Of these, how many are written."""
    prompt: int
    """Tokens of the longest prompt."""
    tokens: int
    """Of the longest text."""
    nucleus: bool = False
    """With rollout_top_p below 1."""
    both: bool = False
    """The teacher reads along (rollout_teacher_top_k)."""
    first: bool = False
    """Before there is an optimizer: dpo."""
    of_training: float = 1.0
    """Texts that are written for each that is trained on."""

    def rows(self, processes: int) -> int:
        """Texts that one process writes together: about the most that a random choice gives (three standard deviations)."""
        count = math.ceil(self.step / processes)
        likely = count * self.share + 3 * math.sqrt(count * self.share * (1 - self.share))
        return max(1, min(AT_ONCE, count, math.ceil(likely)))

    def as_read(self, learned: float, processes: int) -> float:
        """Tokens read forward, for each that is trained on, that the writing costs as much as. learned: the answers' share."""
        return self.of_training * (1 - learned + learned * (1 + SLOWER / self.rows(processes)))


def writing_of(section: TrainConfig, *, prompt: int, answer: int, count: int | None) -> Writing | None:
    """What the settings make the student write in its own process. prompt, answer: longest tokens; count: texts; None = many."""
    tokens = section.rollout_tokens or answer
    nucleus = section.rollout_top_p < 1
    if section.rollout_server is not None:
        return None
    if section.method == "dpo":
        every = AT_ONCE if count is None else count
        return Writing(every, 1.0, prompt, tokens, nucleus, first=True, of_training=0.5 / section.epochs)
    if section.method != "on_policy" or section.on_policy_share == 0:
        return None
    step = section.batch_size if count is None else min(section.batch_size, count)
    share = 1.0 if section.rollout_unanswered else section.on_policy_share
    later = max(0.0, 1 - section.sft_epochs / section.epochs)  # first the labels alone
    both = section.rollout_teacher_top_k is not None
    return Writing(step, share, prompt, tokens, nucleus, both, of_training=section.on_policy_share * later)


def cache_bytes(config: str, size: int) -> int:
    """Bytes a token of keys and values in all layers; 0 where the config says none. config: a model's JSON; size: of a number."""
    data = text_part(json.loads(config)) if config else {}
    heads = whole(data, "num_attention_heads", "n_head")
    width = whole(data, "head_dim") or whole(data, "hidden_size", "n_embd") // max(heads, 1)
    layers = whole(data, "num_hidden_layers", "n_layer")
    return 2 * size * layers * (whole(data, "num_key_value_heads") or heads) * width


def writing_bytes(writing: Writing, shape: Shape, *, rows: int, size: int, widest: float) -> int:
    """What a model has at once while it writes, besides its weights: the cache and the logits, or the reading of the prompts.

    size: bytes of a number in its cache; widest: bytes a token of its widest tensor. The cache grows in blocks, layer by layer.
    """
    context = whole(text_part(json.loads(shape.config)) if shape.config else {}, "max_position_embeddings")
    longest = min(writing.prompt + writing.tokens, context or 10**9)
    each = cache_bytes(shape.config, size)
    growing = 1 + 1 / max(shape.layers, 1)
    drawn = (DRAWN_FROM_NUCLEUS if writing.nucleus else DRAWN) * shape.vocabulary
    read = writing.prompt * (each + TENSORS * (widest + size * shape.hidden)) + MASKED * writing.prompt**2
    return int(rows * max(longest * each * growing + drawn, read))
