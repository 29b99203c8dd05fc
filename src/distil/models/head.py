"""Reads the output layer of a causal language model as plain tensors, with what its family does to the logits.

Nothing is guessed from names: `head_equation` measures on the model itself what enters its output layer and what happens to what
leaves it, and proves that both together are the model's own logits. In one place, because a scale or cap that one reader forgets
is a silent wrong loss. Generation goes through the model itself.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from distil.errors import UserError
from distil.models.unwrap import decoder
from distil.objectives.heads import OutputHead

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBED_TOKENS = 8
SMALLEST, LARGEST = -7, 13
"""Exponents of the powers of two that replace the result of the output layer: exact in float32, and past any published cap."""


@dataclass(frozen=True)
class HeadEquation:
    """logits = softcap(scale * layer(x)), and where x comes from."""

    from_decoder: bool
    """x is the decoder's last hidden state; otherwise it is read where it enters the output layer (transforms in between)."""
    scale: float
    softcap: float | None
    error: float
    """Relative distance between these logits and the model's own, in the norm; not a number where the weights are not."""


class _Reached(Exception):
    """Carries what enters the output layer out of a forward pass that needs nothing beyond it."""

    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden


_EQUATIONS: WeakKeyDictionary[torch.nn.Module, HeadEquation] = WeakKeyDictionary()


def output_head(model: PreTrainedModel) -> OutputHead:
    """The head, attached (it may be trained), with the scale and soft cap that were measured on the model.

    Raises UserError for a model without an output head or with one of another form (`head_equation`).
    """
    equation, layer = head_equation(model), _layer(model)
    return OutputHead(layer.weight, getattr(layer, "bias", None), equation.scale, equation.softcap)


def head_rows(model: PreTrainedModel, inputs: Mapping[str, object]) -> Tensor:
    """What enters the output layer, (B, T, H), for keyword arguments of a decoder. No logits are computed."""
    if head_equation(model).from_decoder:
        return cast("Tensor", decoder(model)(**inputs).last_hidden_state)
    return _entering(model, inputs)


@contextmanager
def forced_token(model: PreTrainedModel, token: int) -> Iterator[None]:
    """Inside, the model gives this token all probability, whatever it reads: for proofs of what generation does with it."""
    largest = math.copysign(2.0**LARGEST, head_equation(model).scale)

    def force(entering: Tensor, leaving: Tensor) -> Tensor:
        forced = torch.zeros_like(leaving)
        forced[..., token] = largest
        return forced

    with _hooked(_layer(model), force):
        yield


def head_equation(model: PreTrainedModel) -> HeadEquation:
    """How the model's logits follow from its output layer; measured at the first call by three passes over a few tokens.

    Raises UserError for a model without an output head, and for one whose logits are not softcap(scale * layer(x)).
    """
    if model not in _EQUATIONS:
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                _EQUATIONS[model] = _measure(model)
        finally:
            model.train(was_training)
    return _EQUATIONS[model]


def _layer(model: PreTrainedModel) -> Any:
    layer = model.get_output_embeddings()
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        raise UserError(f"The model ({type(model).__name__}) has no output head. Use a causal language model.")
    return layer


def _measure(model: PreTrainedModel) -> HeadEquation:
    layer = _layer(model)
    vocabulary = layer.weight.shape[0]
    ids = torch.arange(3, 3 + PROBED_TOKENS, device=layer.weight.device)[None] % vocabulary
    inputs: dict[str, object] = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    seen: list[tuple[Tensor, Tensor]] = []
    with _hooked(layer, lambda entering, leaving: seen.append((entering, leaving))):
        own = _own_logits(model, inputs)
    if len(seen) != 1 or seen[0][1].shape[-1] != vocabulary or seen[0][1].shape != own.shape:
        raise _unknown(model, "its output layer is not used once for every token")
    entering, leaving = seen[0]
    scale, softcap = _after_layer(model, layer, inputs, leaving)
    found = OutputHead(layer.weight, getattr(layer, "bias", None), scale, softcap).logits(entering).float()
    error = float((found - own.float()).norm() / own.float().norm().clamp(min=1e-12))
    limit = 1e-3 if layer.weight.dtype in (torch.float32, torch.float64) else 0.03
    if error > limit:  # false for nan: weights that are not numbers are found by the first loss
        raise _unknown(model, f"its logits are {error:.1%} away from its output layer's")
    return HeadEquation(_leaves_decoder(model, inputs, entering), scale, softcap, error)


def _after_layer(
    model: PreTrainedModel, layer: torch.nn.Module, inputs: Mapping[str, object], leaving: Tensor
) -> tuple[float, float | None]:
    """(scale, softcap) of what the model does after its output layer: known numbers take the place of the layer's result."""
    powers = torch.tensor([sign * 2.0**k for k in range(SMALLEST, LARGEST + 1) for sign in (1, -1)])
    count = leaving.numel()
    probe = powers.repeat(math.ceil(count / len(powers)))[:count].view(leaving.shape).to(leaving.device)
    with _hooked(layer, lambda entering, leaving: probe):
        after = _own_logits(model, inputs).double()
    small, large = (after[probe == 2.0**k].double() for k in (SMALLEST, LARGEST))
    scale, cap = float(small[0]) / 2.0**SMALLEST, float(large[0])
    softcap = None
    if abs(cap) < 0.99 * abs(scale) * 2.0**LARGEST:
        softcap, scale = cap, cap * math.atanh(min(float(small[0]) / cap, 0.999)) / 2.0**SMALLEST
    expected = probe.double() * scale
    expected = expected if softcap is None else softcap * torch.tanh(expected / softcap)
    if not scale or not torch.allclose(after, expected, rtol=1e-3, atol=1e-6):
        raise _unknown(model, "what it does to its output layer's result is neither a factor nor a soft cap")
    return scale, softcap


def _leaves_decoder(model: PreTrainedModel, inputs: Mapping[str, object], entering: Tensor) -> bool:
    """Whether the decoder's last hidden state is what enters the output layer."""
    try:
        hidden = decoder(model)(**inputs).last_hidden_state
    except (TypeError, ValueError, AttributeError, RuntimeError):  # what was found is not a decoder of token ids
        return False
    same = isinstance(hidden, Tensor) and hidden.shape == entering.shape
    return same and torch.allclose(hidden.float(), entering.float(), rtol=1e-2, atol=1e-5, equal_nan=True)


def _entering(model: PreTrainedModel, inputs: Mapping[str, object]) -> Tensor:
    """Runs the model's own forward up to its output layer."""

    def stop(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> None:
        raise _Reached(arguments[0])

    handle = _layer(model).register_forward_pre_hook(stop)
    try:
        _own_forward(model, inputs)
    except _Reached as reached:
        return reached.hidden
    finally:
        handle.remove()
    raise _unknown(model, "its output layer is not used")


def _own_logits(model: PreTrainedModel, inputs: Mapping[str, object]) -> Tensor:
    try:
        return cast("Tensor", _own_forward(model, inputs).logits)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _unknown(model, f"a few tokens can't be run through it ({str(error)[:200]})") from error


def _own_forward(model: PreTrainedModel, inputs: Mapping[str, object]) -> Any:
    """The class's forward (not the instance's, in which training puts the objective), without what it does not take."""
    forward = cast("Any", type(model).forward)
    taken = inspect.signature(forward).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    return forward(model, **{key: value for key, value in inputs.items() if open_ended or key in taken})


@contextmanager
def _hooked(layer: torch.nn.Module, see: Callable[[Tensor, Tensor], Tensor | None]) -> Iterator[None]:
    """see(entering, leaving) is called at every use of the layer; what it returns, if anything, takes the place of `leaving`."""

    def hook(module: torch.nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> Tensor | None:
        return see(arguments[0], result)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _unknown(model: PreTrainedModel, why: str) -> UserError:
    return UserError(
        f"Distil can't compute the logits of {type(model).__name__} from its hidden states: {why}. A training would minimize "
        "something else than the model's own loss, so it is refused. Use another causal language model."
    )
