"""Weights that text can't change: the image tower of a model that also reads images, trained on text alone.

Several processes average the gradient of every trained weight, and wait forever, or fail, for one that never comes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from distil.models.unwrap import input_embedding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBED_TOKENS = 8
PLAIN_PARTS = 2
"""A text model is a PreTrainedModel (with the head) around another one (without)."""


def freeze_unused(model: PreTrainedModel) -> list[str]:
    """Freezes the parameters that get no gradient from text, and returns their names.

    One backward pass over a few tokens, only for models with further models inside. An expert that no token chose is not frozen:
    others at its place in the model have a gradient.
    """
    import torch
    from transformers import PreTrainedModel

    if sum(isinstance(module, PreTrainedModel) for module in model.modules()) <= PLAIN_PARTS:
        return []
    embedding = input_embedding(model)
    ids = torch.arange(PROBED_TOKENS, device=embedding.device)[None] % embedding.shape[0]
    model(input_ids=ids).logits.float().logsumexp(-1).sum().backward()
    used = {place(name) for name, weight in model.named_parameters() if weight.grad is not None}
    frozen = []
    for name, weight in model.named_parameters():
        if weight.requires_grad and place(name) not in used:
            weight.requires_grad_(False)
            frozen.append(name)
    model.zero_grad(set_to_none=True)
    return frozen


def place(name: str) -> str:
    """A parameter's name without the numbers of its layer and expert."""
    return re.sub(r"\.\d+(?=\.)", ".#", name)
