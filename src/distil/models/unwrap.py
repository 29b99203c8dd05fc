"""The causal language model inside the wrappers that training puts around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def causal_model(model: torch.nn.Module) -> PreTrainedModel:
    """Removes PEFT, DDP and torch.compile wrappers; FSDP2 shards a model in place and adds none."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, torch.nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        else:
            return cast("PreTrainedModel", model)
