"""The causal language model inside the wrappers that training puts around it, and its input embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def causal_model(model: torch.nn.Module) -> PreTrainedModel:
    """Removes PEFT, DDP and torch.compile wrappers; FSDP2 shards a model in place and adds none."""
    inner: Any = model
    while True:
        if hasattr(inner, "_orig_mod"):
            inner = inner._orig_mod
        elif isinstance(inner, torch.nn.parallel.DistributedDataParallel):
            inner = inner.module
        elif hasattr(inner, "get_base_model"):
            inner = inner.get_base_model()
        else:
            return cast("PreTrainedModel", inner)


def input_embedding(model: torch.nn.Module) -> torch.Tensor:
    """(V, H): one row per id that the model can read."""
    return cast("torch.Tensor", causal_model(model).get_input_embeddings().weight)
