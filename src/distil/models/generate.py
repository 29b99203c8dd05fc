"""Batched generation for small models on any device: prompt ids in, text, token log-probabilities and entropies out.

Prompts of similar length share a batch (left-padded where the model allows it: rows.py), finished rows leave it at once, and the
key/value cache grows in blocks.
Not a server: production serving is vLLM, which distil.serve can use as its engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distil.errors import UserError
from distil.models.draw import measured, nucleus, pick, tempered, wide
from distil.models.load import Loaded, context_length, stop_ids
from distil.models.rows import Rows, Ways, ways
from distil.records import Sampling

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Generation:
    """One generated answer."""

    text: str
    """Decoded text without control tokens, cut before a stop string."""
    token_ids: list[int]
    """Generated ids, the end token included where one was drawn."""
    token_logprobs: list[float] = field(repr=False)
    """Natural log-probability of each generated token at temperature 1."""
    token_entropies: list[float] = field(repr=False)
    """Entropy in nats of the distribution at temperature 1 that each token was drawn from."""
    finish_reason: str
    """stop | length."""


def generate(
    loaded: Loaded,
    prompts: Sequence[list[int]],
    sampling: Sampling,
    *,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
    seed: int | None = None,
) -> list[Generation]:
    """Generates one answer per prompt (token ids with the generation prompt), in the order given.

    `sampling.temperature` 0 is greedy. `seed` (else `sampling.seed`) makes sampling repeatable for the same list of prompts.
    `on_progress(n)` is called with the number of answers that have just finished. Raises UserError when a prompt is empty or
    fills the model's context.
    """
    import torch

    limit = context_length(loaded.model)
    for ids in prompts:
        if not ids:
            raise UserError("A prompt has no tokens: expected at least one message.")
        if limit is not None and len(ids) >= limit:
            raise UserError(
                f"A prompt has {len(ids)} tokens, but {loaded.ref} reads at most {limit} together with its answer. "
                "Shorten the prompt, or choose a model with a longer context."
            )
    seed = sampling.seed if seed is None else seed
    generator = torch.Generator(device=loaded.device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    results: list[Generation | None] = [None] * len(prompts)
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        with torch.inference_mode():
            how = ways(loaded.model)
            for chosen in _batches(order, [len(prompt) for prompt in prompts], batch_size, how):
                batch = _Batch(loaded, [prompts[i] for i in chosen], sampling, generator, limit, how)
                for index, generation in zip(chosen, batch.run(on_progress), strict=True):
                    results[index] = generation
    finally:
        loaded.model.train(was_training)
    return [generation for generation in results if generation is not None]


def _batches(order: list[int], lengths: list[int], batch_size: int, how: Ways) -> Iterator[list[int]]:
    """Prompts, longest first, cut into batches; only equal lengths share one where the model can't read padding."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) == batch_size or not (how.pads or lengths[index] == lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class _Batch:
    """Rows that are generated together. A finished row leaves at once, or stays unread where the model's cache can't lose it."""

    def __init__(
        self,
        loaded: Loaded,
        prompts: list[list[int]],
        sampling: Sampling,
        generator: torch.Generator,
        limit: int | None,
        how: Ways,
    ) -> None:
        self.limit, self.how = limit, how
        self.loaded, self.model, self.tokenizer, self.device = loaded, loaded.model, loaded.tokenizer, loaded.device
        self.prompts, self.sampling, self.generator = prompts, sampling, generator
        self.stops = stop_ids(self.model, self.tokenizer)
        self.ids: list[list[int]] = [[] for _ in prompts]
        self.logprobs: list[list[float]] = [[] for _ in prompts]
        self.entropies: list[list[float]] = [[] for _ in prompts]
        self.reasons = ["length"] * len(prompts)
        longest = sampling.max_tokens
        self.max_new = [longest if limit is None else min(longest, limit - len(prompt)) for prompt in prompts]

    def run(self, on_progress: Callable[[int], None] | None) -> list[Generation]:

        steps, pad = max(self.max_new), int(self.tokenizer.pad_token_id)
        rows = Rows(self.model, self.prompts, pad, steps, self.how)
        alive = list(range(len(self.prompts)))
        done: set[int] = set()
        for _ in range(steps):
            drawn, logprob, entropy = _draw(rows.logits(), self.sampling, self.generator)  # of (B, V) float32
            columns = zip(alive, drawn.tolist(), logprob.tolist(), entropy.tolist(), strict=True)
            ended = {row for row, *values in columns if row not in done and self._append(row, *values)}
            if on_progress is not None and ended:
                on_progress(len(ended))
            done |= ended
            if len(done) == len(self.prompts):
                break
            if ended and self.how.narrows:
                keep = [i for i, row in enumerate(alive) if row not in done]
                alive = [alive[i] for i in keep]
                rows.append(drawn)
                rows.keep(keep)
            else:
                rows.append(drawn)
        return [self._finish(row) for row in range(len(self.prompts))]

    def _append(self, row: int, token: int, logprob: float, entropy: float) -> bool:
        """Adds a drawn token to its row; true when the row is finished."""
        self.ids[row].append(token)
        self.logprobs[row].append(logprob)
        self.entropies[row].append(entropy)
        if token in self.stops or (self.sampling.stop and self._stop_at(row) is not None):
            self.reasons[row] = "stop"
            return True
        return len(self.ids[row]) >= self.max_new[row]

    def _text(self, row: int) -> str:
        return self.loaded.decode(self.ids[row], skip_special_tokens=True)

    def _stop_at(self, row: int) -> int | None:
        text = self._text(row)
        return min((at for stop in self.sampling.stop or [] if stop and (at := text.find(stop)) >= 0), default=None)

    def _finish(self, row: int) -> Generation:
        text = self._text(row)[: self._stop_at(row)]
        return Generation(text, self.ids[row], self.logprobs[row], self.entropies[row], self.reasons[row])


def _draw(
    logits: torch.Tensor, sampling: Sampling, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One token per row of (B, V) logits, its untempered log-probability and the untempered entropy, each (B,)."""
    import torch

    logprobs, entropy = measured(logits)
    if sampling.temperature == 0:
        drawn = logits.argmax(-1)
    else:
        probabilities = tempered(logits, sampling.temperature)
        if sampling.top_p < 1:
            probabilities = nucleus(probabilities, sampling.top_p)
        device = logits.device
        drawn = pick(probabilities, torch.rand(len(logits), 1, generator=generator, device=device, dtype=wide(device)))
    return drawn, logprobs.gather(1, drawn[:, None])[:, 0], entropy
