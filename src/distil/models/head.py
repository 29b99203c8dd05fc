"""Reads the output layer of a causal language model as plain tensors, with what its family does to the logits.

In one place, because a scale or cap that one reader forgets is a silent wrong loss. Generation goes through the model itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from distil.errors import UserError
from distil.objectives.heads import OutputHead

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def output_head(model: PreTrainedModel) -> OutputHead:
    """The head, attached (it may be trained), with Cohere's logit_scale, Granite's logits_scaling or Gemma's soft cap.

    Raises UserError for a model without an output head.
    """
    layer = model.get_output_embeddings()
    if layer is None or not hasattr(layer, "weight"):
        raise UserError(f"The model ({type(model).__name__}) has no output head. Use a causal language model.")
    config = model.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    return OutputHead(layer.weight, getattr(layer, "bias", None), scale, float(cap) if cap else None)
