"""LoRA adapters (Hu et al. 2021): which layers of this model can carry one, found on the model and not by its family's name.

A layer that the model never calls as a layer (Mamba reads the weight of `dt_proj` itself; an image tower sees no image) would
carry an adapter that learns nothing, or that counts in one mode and not in another. Those are left out.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distil.errors import UserError
from distil.models.unused import place
from distil.models.unwrap import input_embedding

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PROBED_TOKENS = 8


@dataclass(frozen=True)
class Lora:
    """Shape of a fresh LoRA adapter on all linear layers but the head."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0


def fresh_adapter(model: PreTrainedModel, lora: Lora) -> Any:
    """The model with a new adapter, which changes nothing before it is trained. UserError where PEFT accepts none."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=target_modules(model),
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # PEFT sets fan_in_fan_out for GPT-2's layers by itself, and its ranks for fused experts match nothing here.
            warnings.filterwarnings(
                "ignore", message=r"fan_in_fan_out|The following (rank|alpha)_pattern keys|target_parameters="
            )
            return sparing_casts(get_peft_model(model, config))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"PEFT can't put a LoRA adapter on {type(model).__name__} ({str(error).splitlines()[0][:300]}). Train the whole "
            "model: set student.adapter to null."
        ) from error


def sparing_casts(adapted: Any) -> Any:
    """The model, whose adapters take their input as it is where autocast chooses the dtype of their products.

    PEFT copies each layer's input to the adapter's float32, and autocast copies it back: the same numbers, and on a GPU the
    copies took longer than any product (docs/results_decide.md).
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in adapted.modules():
        if isinstance(layer, BaseTunerLayer):
            # Not a method: it would hold its layer in a circle of references, and the weights until a collection.
            vars(layer)["_cast_input_dtype"] = _cast_without_autocast
    return adapted


def _cast_without_autocast(x: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    import torch

    if x is None or x.dtype == dtype or (not x.is_meta and torch.is_autocast_enabled(x.device.type)):
        return x
    return x.to(dtype)


def target_modules(model: PreTrainedModel) -> str | list[str]:
    """For PEFT: `all-linear` where every linear layer can be adapted, else the names of those that can.

    Runs the model once on a few tokens. Raises UserError where no layer is left.
    """
    otherwise = {id(module) for module in model.modules() if _multiplies_otherwise(module)}
    linear = _linear_layers(model, otherwise)
    adaptable = _adaptable(model, linear)
    able = [name for name in linear if name in adaptable]
    if not able:
        raise UserError(
            f"{type(model).__name__} has no linear layer that a LoRA adapter could change. Train the whole model: set "
            "student.adapter to null."
        )
    if len(able) == len(linear) and not otherwise:
        return "all-linear"
    suffixes = {_short(name) for name in able}
    others = {_short(name) for name, _ in model.named_modules() if name not in able}
    # PEFT and servers read short names best; full ones where a short name would mean another module, too.
    return able if suffixes & others else sorted(suffixes)


def _short(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _linear_layers(model: PreTrainedModel, otherwise: set[int]) -> list[str]:
    """Names of the linear layers without the head, as PEFT's `all-linear` finds them (quantized ones are subclasses).

    otherwise: ids of layers that multiply in their own way, which are left out.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head and id(module) not in otherwise
    ]


def _multiplies_otherwise(module: torch.nn.Module) -> bool:
    """A model's own kind of linear layer, to which an adapter can't be added (DeepSeek-V4 multiplies groups of its inputs)."""
    import torch

    if not isinstance(module, torch.nn.Linear) or not type(module).__module__.startswith("transformers.models."):
        return False
    if type(module).forward is torch.nn.Linear.forward:
        return False
    weight = module.weight
    try:  # Falcon's own layer is a plain one, written differently
        with torch.no_grad():
            given = module(torch.zeros(1, module.in_features, dtype=weight.dtype, device=weight.device))
    except (RuntimeError, ValueError, IndexError, TypeError):
        return True
    return not isinstance(given, torch.Tensor) or given.shape != (1, module.out_features)


def _adaptable(model: PreTrainedModel, linear: list[str]) -> set[str]:
    """The layers that a forward calls as layers, without the last projection of a state-space mixer."""
    modules = dict(model.named_modules())
    with _calls(model) as called:
        _run(model)
    places = {place(name) for name in called}
    weights = Counter(id(modules[name].weight) for name in linear)

    def able(name: str) -> bool:
        parent, _, short = name.rpartition(".")
        # GPU kernels of Mamba read its weight, so that the adapter would count in generation and not in training; PEFT warns.
        if short == "out_proj" and hasattr(modules[parent], "A_log") and hasattr(modules[parent], "D"):
            return False
        if weights[id(modules[name].weight)] > 1:  # Zamba's blocks share weights: two adapters can't be merged into one
            return False
        # An expert that no token chose is not called, but others at its place are; a tower without input, or the attention to
        # an encoder that is not there, has no such sibling.
        return name in called or (parent not in called and place(parent) in places)

    return {name for name in linear if able(name)}


@contextmanager
def _calls(model: PreTrainedModel) -> Iterator[set[str]]:
    """Collects the names of the modules whose forward runs; not linear layers that give more than a tensor (Llama 4's router)."""
    import torch

    called: set[str] = set()

    def note(name: str) -> Any:
        def after(module: torch.nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor) or not isinstance(module, torch.nn.Linear):
                called.add(name)

        return after

    hooks = [module.register_forward_hook(note(name)) for name, module in model.named_modules()]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def _run(model: PreTrainedModel) -> None:
    import torch

    embedding = input_embedding(model)
    ids = torch.arange(PROBED_TOKENS, device=embedding.device)[None] % embedding.shape[0]
    with torch.no_grad():
        model(input_ids=ids)
