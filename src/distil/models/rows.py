"""Rows of token ids that a model reads together, token by token, and in which ways this model can do that.

Families differ: some keep no cache, some mix padding into a recurrent state, some can't lose a row of their cache. `ways` doesn't
go by a family's name: it compares each way with the model's plain forward on a few tokens, once per model. generate.py uses it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from distil.errors import UserError
from distil.models.unwrap import causal_model, input_embedding

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel

CACHE_NAMES = ("past_key_values", "cache_params")
"""How forwards name their cache; transformers 5 gives a DynamicCache to both."""
PROBE_LENGTHS = (9, 5)
PROBE_STEPS = 3
TOLERANCE, TOLERANCE_16_BIT = 0.01, 0.1
"""Mean difference of two logits in their standard deviations; at 16 bits, another order of summation alone gives 0.02."""
_known: WeakKeyDictionary[PreTrainedModel, Ways] = WeakKeyDictionary()


@dataclass(frozen=True)
class Ways:
    """What a model can do with several rows. The default is what a decoder with plain attention can."""

    cache: str | None = "past_key_values"
    """The forward's argument for its cache; None = every step reads the whole text again."""
    pads: bool = True
    """Rows of different lengths may share a batch (padded on the left)."""
    narrows: bool = True
    """A finished row can leave the batch; else it stays, unread."""


class Forward:
    """One forward pass of a model, with the arguments that this model knows."""

    def __init__(self, model: PreTrainedModel, cache: str | None) -> None:
        """cache: the forward's argument for its cache (Ways.cache)."""
        self.model, self.cache_name, self.accepted = model, cache, forward_parameters(model)

    def __call__(
        self, tokens: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor, cache: Cache | None
    ) -> torch.Tensor:
        """(B, V) float32: the logits after the last of tokens (B, T); mask (B, T and what the cache holds); positions (B, T)."""
        options: dict[str, object] = {"input_ids": tokens, "use_cache": cache is not None}
        if "attention_mask" in self.accepted:
            options["attention_mask"] = mask
        if "position_ids" in self.accepted:
            options["position_ids"] = positions
        if "logits_to_keep" in self.accepted:
            options["logits_to_keep"] = 1
        if cache is not None:
            options[str(self.cache_name)] = cache
        logits: torch.Tensor = self.model(**options).logits
        return logits[:, -1].float()


class Rows:
    """Rows in the middle of being read. All tensors and the cache lose a row together (`keep`)."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int, steps: int, how: Ways
    ) -> None:
        """prompts: token ids, none empty; steps: at most so many tokens will be appended to each."""
        import torch

        device, longest = input_embedding(model).device, max(map(len, prompts))
        self.count = len(prompts)
        self.padded = any(len(prompt) < longest for prompt in prompts)
        missing = [longest - len(prompt) for prompt in prompts]
        tokens = [[pad] * n + list(prompt) for n, prompt in zip(missing, prompts, strict=True)]
        mask = [[0] * n + [1] * (longest - n) for n in missing]
        self.tokens = torch.tensor(tokens, device=device)  # (B, P)
        self.mask = torch.tensor(mask, device=device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.cache: Cache | None = None
        if how.cache:
            from distil.models.kv_cache import growing_cache, keep_rows

            self.cache, self._keep_rows = growing_cache(model, longest + steps), keep_rows
        self._forward = Forward(model, how.cache)

    def logits(self) -> torch.Tensor:
        """(B, V) float32 of each row's next token."""
        return self._forward(self.tokens, self.mask if self.padded else None, self.positions, self.cache)

    def append(self, tokens: torch.Tensor) -> None:
        """The next token (B,) of each row."""
        import torch

        following = self.positions[:, -1:] + 1
        if self.cache is not None:
            self.tokens, self.positions = tokens[:, None], following
        else:
            self.tokens = torch.cat([self.tokens, tokens[:, None]], 1)
            self.positions = torch.cat([self.positions, following], 1)
        if self.padded:
            self.mask = torch.cat([self.mask, self.mask.new_ones(self.count, 1)], 1)

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all other rows; only where `Ways.narrows`."""
        import torch

        index = torch.tensor(list(rows), device=self.tokens.device)
        self.tokens, self.mask, self.positions = self.tokens[index], self.mask[index], self.positions[index]
        self.count = len(rows)
        if self.cache is not None:
            self._keep_rows(self.cache, index)


def ways(model: PreTrainedModel) -> Ways:
    """What this model can do with several rows; measured at the first call (some ten forward passes of a few tokens).

    The model must be in eval mode. Raises UserError when no way gives the model's own logits.
    """
    import torch

    inner = causal_model(model)
    if inner not in _known:
        with torch.inference_mode():
            _known[inner] = _measure(inner)
    return _known[inner]


def _measure(model: PreTrainedModel) -> Ways:
    size = input_embedding(model).shape[0]
    texts = [
        [(7919 * (i + 31 * row) + 11) % size for i in range(n + PROBE_STEPS)] for row, n in enumerate(PROBE_LENGTHS)
    ]
    level = [texts[0], [(token + 1) % size for token in texts[0]]]
    how = Ways(None, pads=False, narrows=False)
    try:
        expected = [plain_logits(model, text) for text in [*texts, level[1]]]
    except Exception as error:  # anything a foreign forward may raise
        raise UserError(
            f"{type(model).__name__} does not run on token ids alone ({type(error).__name__}: {str(error)[:200]}). Use a "
            "causal language model that reads text."
        ) from error
    for name in (name for name in CACHE_NAMES if name in forward_parameters(model)):
        if _gives(model, [texts[0]], replace(how, cache=name), [expected[0]]):
            how = replace(how, cache=name)
            break
    if _gives(model, texts, replace(how, pads=True), expected[:2]):
        how = replace(how, pads=True)
    rows, wanted = (texts, expected[:2]) if how.pads else (level, [expected[0], expected[2]])
    if _gives(model, rows, replace(how, narrows=True), wanted):
        how = replace(how, narrows=True)
    return how


def plain_logits(model: PreTrainedModel, text: list[int], steps: int = PROBE_STEPS) -> torch.Tensor:
    """(steps, V): the logits of the last tokens of a text, by a forward over the whole of it."""
    import torch

    tokens = torch.tensor([text], device=input_embedding(model).device)
    options = {"use_cache": False} if "use_cache" in forward_parameters(model) else {}
    logits: torch.Tensor = model(input_ids=tokens, **options).logits
    return logits[0, -steps - 1 : -1].float()


def _gives(model: PreTrainedModel, texts: list[list[int]], how: Ways, expected: list[torch.Tensor]) -> bool:
    """Whether this way gives the logits of the last steps. A foreign forward may raise anything: then it does not."""
    import torch

    limit = tolerance(model)
    try:
        rows = Rows(model, [text[:-PROBE_STEPS] for text in texts], 0, PROBE_STEPS, how)
        left = list(range(len(texts)))
        for step in range(PROBE_STEPS):
            found = rows.logits()
            if not all(same_logits(found[i], expected[row][step], limit) for i, row in enumerate(left)):
                return False
            rows.append(torch.tensor([texts[row][step - PROBE_STEPS] for row in left], device=found.device))
            if how.narrows and len(left) > 1:
                left = left[1:]
                rows.keep([1])
    except Exception:
        return False
    return True


def tolerance(model: PreTrainedModel) -> float:
    """The mean difference of two logits that is rounding, in their standard deviations."""
    return TOLERANCE if model.dtype.itemsize > 2 else TOLERANCE_16_BIT


def same_logits(found: torch.Tensor, expected: torch.Tensor, limit: float) -> bool:
    """Whether two rows of logits differ by rounding only."""
    return bool((found - expected).abs().mean() <= limit * expected.std())


def forward_parameters(model: PreTrainedModel) -> set[str]:
    """The names of the arguments that a model's forward knows."""
    return set(inspect.signature(causal_model(model).__class__.forward).parameters)
