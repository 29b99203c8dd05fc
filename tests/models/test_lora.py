"""Adapters on layers: what they are given, and that it costs no copies."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from distil.models.lora import Lora, fresh_adapter
from tests.tiny import tiny_model

IDS = torch.arange(3, 40)[None]


class Copies(TorchDispatchMode):
    """Counts copies into another dtype by (from, to), of tensors of one dimension more than a weight's."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[torch.dtype, torch.dtype]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "_to_copy" and args[0].dim() == 3 and "dtype" in (kwargs or {}):
            self.found.append((args[0].dtype, kwargs["dtype"]))
        return func(*args, **(kwargs or {}))


def adapted(*, own_casts: bool) -> Any:
    torch.manual_seed(0)
    model = fresh_adapter(tiny_model().to(torch.bfloat16), Lora(rank=4, alpha=8))
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))) / 8
    for layer in model.modules():
        if own_casts and "_cast_input_dtype" in vars(layer):
            del layer._cast_input_dtype
    return model


@pytest.mark.parametrize("checkpointing", [False, True])
def test_autocast_spares_copies_and_keeps_the_numbers(checkpointing: bool) -> None:
    found = []
    for own in (True, False):
        model = adapted(own_casts=own)
        if checkpointing:
            model.train().enable_input_require_grads()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        with Copies() as copies:
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=IDS, use_cache=False).logits
            logits.float().square().mean().backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        wide = sum(pair == (torch.bfloat16, torch.float32) for pair in copies.found)
        found.append((logits.detach(), gradients, wide))
    (logits, gradients, wide), (ours, our_gradients, fewer) = found
    assert torch.equal(ours, logits) and our_gradients.keys() == gradients.keys() and len(gradients) == 28
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=0.02, atol=1e-3 * float(gradient.abs().max()))
    assert fewer <= wide - 14  # the input of each of the 14 layers


def test_an_adapted_model_is_freed_at_once() -> None:
    model = adapted(own_casts=False)
    weights = [weakref.ref(p) for p in model.parameters()]
    gc.collect()
    gc.disable()
    try:
        del model
        assert all(reference() is None for reference in weights)
    finally:
        gc.enable()


def test_without_autocast_inputs_are_cast_as_peft_does() -> None:
    """As where the adapted student writes: float32 adapters on a bfloat16 model."""
    with torch.no_grad():
        ours, theirs = (adapted(own_casts=own)(input_ids=IDS, use_cache=False).logits for own in (False, True))
    assert torch.equal(ours, theirs)
