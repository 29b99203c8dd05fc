"""What one forward pass of a training keeps in memory, counted on a model without weights: torch's fake tensors.

The pass is the trainer's own (packed rows, autocast), so whatever a family does (experts, norms, sliding windows, eager
attention) is in the count. Nothing is allocated and nothing computed: about a second for any size. Deep models are counted on a
few of their layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.integrations import moe

from distil.models.shape import config_of, whole
from distil.models.unwrap import causal_model, decoder
from distil.train.batches import MicroBatch, pack, pad
from distil.train.examples import Tokenized
from distil.train.footprint import Footprint, rule_of_thumb, text_part
from distil.train.packing import can_pack, use_packed

COUNTED_LAYERS = 12
"""A multiple of the periods in which families repeat their kinds of layers (2, 3, 4, 6)."""
DOCUMENTS = 2


def traced_footprint(
    config: str, *, tokens: int, rank: int | None, half: bool, packing: bool, parameters: int
) -> Footprint:
    """Of the model in `config` (JSON) on texts of `tokens` tokens; the other arguments are those of `plain_footprint`."""
    layers = max(1, whole(text_part(json.loads(config)), "num_hidden_layers"))
    counted = min(layers, COUNTED_LAYERS)
    try:
        found = _trace(_shortened(config, counted), tokens, rank, half, packing)
    except Exception:  # fake tensors refuse what depends on values, in many ways; then a rule of thumb
        return rule_of_thumb(json.loads(config), rank=rank, half=half, parameters=parameters)
    more, in_layers = layers / counted, found.layer * counted
    return Footprint(
        kept=found.kept + in_layers * (more - 1),
        layer=found.layer,
        inputs=found.inputs * more,
        widest=found.widest,
        casts=int(found.casts * more),
        trained=int(found.trained * more) if rank is not None else parameters,
    )


def _shortened(config: str, layers: int) -> str:
    """The same model with its first layers only."""
    data = json.loads(config)
    inner = text_part(data)
    for key, value in list(inner.items()):
        if isinstance(value, list) and len(value) == inner.get("num_hidden_layers"):
            inner[key] = value[:layers]
    inner["num_hidden_layers"] = layers
    return json.dumps(data)


def _trace(config: str, tokens: int, rank: int | None, half: bool, packing: bool) -> Footprint:
    odd = tokens | 1  # a weight rarely has twice an odd number of rows: copies of weights are known by their shape
    examples = [Tokenized(str(number), [1] * odd, [1] * odd, 1) for number in range(DOCUMENTS)]
    with FakeTensorMode(allow_non_fake_inputs=True), _own_grouped_products():
        with no_init_weights():
            model = AutoModelForCausalLM.from_config(config_of(config), dtype=torch.float32)
        model.tie_weights()
        packed = packing and can_pack(model)
        if packed:
            use_packed(model)
        with unset_fake_temporarily():
            batch = pack(examples) if packed else pad(examples, 0)
        model.train()
        found = kept_by(model, batch, half=half)
        if rank is None:
            return found
        # PEFT can't wrap fake tensors; an adapter keeps no more than full training does, and up to a fifth less
        head = model.get_output_embeddings()
        linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
        return replace(found, casts=0, trained=sum(rank * (m.in_features + m.out_features) for m in linear))


@contextmanager
def _own_grouped_products() -> Iterator[None]:
    """Experts are multiplied by transformers' own product, which keeps the same as torch's: that one refuses fake float32."""
    chosen = moe._can_use_grouped_mm
    moe._can_use_grouped_mm = lambda *_, **__: False
    try:
        yield
    finally:
        moe._can_use_grouped_mm = chosen


def kept_by(model: torch.nn.Module, batch: MicroBatch, *, half: bool) -> Footprint:
    """Runs a pass of the decoder and counts what autograd keeps; model: real or of fake tensors, with or without an adapter."""
    inner = causal_model(model)
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=half),
        _saved(model) as saved,
        _of_a_layer(inner, saved) as layer,
    ):
        decoder(inner)(**batch.inputs())
    count, bytes_of = batch.input_ids.numel(), list(saved.values())
    kept = [size for size, rows in bytes_of if rows is not None]
    return Footprint(
        kept=sum(kept) / count,
        layer=max(layer.values(), default=sum(kept)) / count,
        inputs=inner.config.get_text_config().hidden_size * 4.0 * max(len(layer), 1),
        widest=max(kept, default=0) / count,
        casts=sum(size for size, rows in bytes_of if rows is None),
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


@contextmanager
def _saved(model: torch.nn.Module) -> Iterator[dict[int, tuple[int, int | None]]]:
    """Storage -> (bytes, 0), or (bytes, None) for a copy of a weight; of all that autograd keeps inside."""
    weights = [*model.parameters(), *model.buffers()]
    own = {weight.untyped_storage()._cdata for weight in weights}
    shapes = {tuple(sorted(weight.shape)) for weight in weights if weight.dim() > 1}
    found: dict[int, tuple[int, int | None]] = {}
    alive: list[torch.Tensor] = []  # a freed storage's number would be used again

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            copy = tensor.dtype != torch.float32 and tuple(sorted(tensor.shape)) in shapes
            found[storage._cdata] = (int(storage.nbytes()), None if copy else 0)
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found


@contextmanager
def _of_a_layer(model: PreTrainedModel, saved: dict[int, tuple[int, int | None]]) -> Iterator[dict[int, int]]:
    """Layer -> bytes that its forward keeps. Layers are the modules of the longest list in the decoder."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    layers = max(lists, key=lambda found: sum(p.numel() for p in found.parameters()), default=None)
    result: dict[int, int] = {}

    def total() -> int:
        return sum(size for size, rows in saved.values() if rows is not None)

    def before(number: int) -> Callable[..., None]:
        return lambda module, inputs: result.__setitem__(number, -total())

    def after(number: int) -> Callable[..., None]:
        return lambda module, inputs, output: result.__setitem__(number, result[number] + total())

    handles = []
    for number, module in enumerate(layers or []):
        handles += [module.register_forward_pre_hook(before(number)), module.register_forward_hook(after(number))]
    try:
        yield result
    finally:
        for handle in handles:
            handle.remove()
