"""Proof, before a training, that a packed row of documents gives each document what it gives alone.

A family whose layers do not hand the layout of a packed row on to its attention would let documents see each other, silently.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from distil.models.proofs import relative_difference, tolerance
from distil.train.batches import pack, pad
from distil.train.examples import Tokenized


def packs_exactly(model: PreTrainedModel, examples: Sequence[Tokenized], pad_id: int) -> bool:
    """Whether the packed row of a few examples equals each alone. The model is switched to packed attention (use_packed)."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _difference(model, _sample(model, examples), pad_id) <= tolerance(model)
    except (TypeError, ValueError, RuntimeError):  # a family that can't run such a row at all
        return False
    finally:
        model.train(was_training)


def _sample(model: PreTrainedModel, examples: Sequence[Tokenized]) -> list[Tokenized]:
    """The two shortest, and the longest where only documents beyond a sliding window show a difference."""
    ordered = sorted(examples, key=lambda e: (len(e.input_ids), e.id))
    chosen = ordered[:2] if len(ordered) > 1 else ordered * 2
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    if isinstance(window, int) and len(chosen[-1].input_ids) <= window < len(ordered[-1].input_ids):
        chosen = [chosen[0], ordered[-1]]
    return chosen


def _difference(model: PreTrainedModel, examples: Sequence[Tokenized], pad_id: int) -> float:
    device = next(model.parameters()).device
    packed = pack(list(examples)).to(device).hidden_states(model)[0]
    alone = [pad([example], pad_id).to(device).hidden_states(model)[0] for example in examples]
    errors = [
        relative_difference(found, expected)
        for found, expected in zip(packed.split([len(rows) for rows in alone]), alone, strict=True)
    ]
    # nan where the weights are: the first loss says so
    return max((error for error in errors if error == error), default=0.0)
