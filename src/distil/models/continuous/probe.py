"""Whether rows of a model can join others: tried on a few tokens, once per model, as rows.py does for the other ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from distil.models.continuous.decoders import BatchDecoder, Decoder, SlotDecoder
from distil.models.continuous.slots import slot_kinds
from distil.models.rows import Ways, plain_logits, same_logits, tolerance, ways
from distil.models.unwrap import causal_model, input_embedding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LENGTHS = (24, 21, 30)
"""Tokens of the three prompts that are tried; the last begins with the first 20 tokens of the first."""
STEPS = 3
_known: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


@dataclass
class _Probe:
    ids: list[int]
    following: list[int]
    max_tokens: int = STEPS


def make_decoder(model: PreTrainedModel, size: int, pad: int, prefix_bytes: int) -> Decoder:
    """The best decoder for this model, for at most `size` rows. The model must be in eval mode."""
    how = ways(model)
    if can_join(model, how):
        return SlotDecoder(model, how, size, prefix_bytes)
    return BatchDecoder(model, how, size, pad)


def can_join(model: PreTrainedModel, how: Ways) -> bool:
    """Whether logits of rows that join, leave and begin with kept states are the model's own. The model must be in eval mode."""
    import torch

    inner = causal_model(model)
    if inner not in _known:
        known = how.cache == "past_key_values" and how.pads and how.narrows and all(slot_kinds(inner))
        if known:
            with torch.inference_mode():
                try:
                    known = _gives(inner, how)
                except Exception:  # a foreign forward may raise anything: then it can't
                    known = False
        _known[inner] = known
    return _known[inner]


def _gives(model: PreTrainedModel, how: Ways) -> bool:
    import torch

    device, size = input_embedding(model).device, input_embedding(model).shape[0]
    texts = [[(7919 * (i + 31 * n) + 11) % size for i in range(length + STEPS)] for n, length in enumerate(LENGTHS)]
    texts[2][:20] = texts[0][:20]
    expected = [plain_logits(model, text, STEPS) for text in texts]
    probes = [_Probe(text[:-STEPS], text[-STEPS:]) for text in texts]
    decoder = SlotDecoder(model, how, len(texts), 1 << 30)
    steps = {id(probe): 0 for probe in probes}
    for turn in range(len(probes) + STEPS):
        if turn < len(probes):
            decoder.add([probes[turn]])
        for part in decoder.advance():
            stay, tokens = [], []
            for row, logits in zip(part.rows, part.logits, strict=True):
                assert isinstance(row, _Probe)
                step, number = steps[id(row)], probes.index(row)
                if not same_logits(logits, expected[number][step], tolerance(model)):
                    return False
                tokens.append(row.following[step])
                steps[id(row)] = step + 1
                stay.append(step + 1 < STEPS)
            decoder.settle(part, torch.tensor(tokens, device=device), stay)
    return all(step == STEPS for step in steps.values())
