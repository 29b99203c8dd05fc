"""The causal language model inside the wrappers that training puts around it, and its input embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def causal_model(model: torch.nn.Module) -> PreTrainedModel:
    """Removes PEFT, DDP and torch.compile wrappers; FSDP2 shards a model in place and adds none."""
    from torch.nn.parallel import DistributedDataParallel

    inner: Any = model
    while True:
        if hasattr(inner, "_orig_mod"):
            inner = inner._orig_mod
        elif isinstance(inner, DistributedDataParallel):
            inner = inner.module
        elif hasattr(inner, "get_base_model"):
            inner = inner.get_base_model()
        else:
            return cast("PreTrainedModel", inner)


def decoder(model: PreTrainedModel) -> torch.nn.Module:
    """The part of a bare causal language model that gives its final hidden states.

    `get_decoder` goes by attribute names: in Llama 4's text model it finds the model itself, in ModernBERT's decoders the head.
    """
    from transformers import PreTrainedModel

    found: object = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    if found is model or not isinstance(found, PreTrainedModel):
        found = next((child for child in model.children() if isinstance(child, PreTrainedModel)), model.base_model)
    return found


def input_embedding(model: torch.nn.Module) -> torch.Tensor:
    """(V, H): one row per id that the model can read."""
    return cast("torch.Tensor", causal_model(model).get_input_embeddings().weight)
