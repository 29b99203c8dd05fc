"""One row of a continuous batch: what was asked, what came so far, and when it ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from distil.models.continuous.spelling import Spelling
from distil.models.generate import Generation
from distil.records import Sampling

if TYPE_CHECKING:
    import torch


class Constraint(Protocol):
    """What the next token of a row may be."""

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits (V,) with minus infinity at every token that is not allowed. Raises DistilError."""
        ...

    def accept(self, token: int) -> None:
        """Takes the token that was drawn. Raises DistilError."""
        ...


@dataclass(eq=False)
class Row:
    """A request to the step loop. The first group of fields is asked for, the second grows."""

    ids: list[int]
    """The prompt's token ids, none empty, with room for `max_tokens` in the model's context."""
    sampling: Sampling
    """Its max_tokens counts no more than `max_tokens` here."""
    max_tokens: int
    top: int = 0
    """Alternatives to report for each token."""
    constraint: Constraint | None = None
    on_text: Callable[[Row], None] | None = None
    """Called on the loop's thread after each token, for a reply that is streamed."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    tops: list[list[tuple[int, float]]] = field(default_factory=list)
    """For each token the `top` most probable ones, each with its log-probability."""
    reason: str = ""
    """stop | length, once it has ended."""
    cancelled: bool = False
    """Set by any thread; the loop ends the row at its next token."""
    spelling: Spelling | None = None
    """Only where text is needed before the end: stop sequences and streams."""
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if self.sampling.seed is not None:
            self._random.seed(self.sampling.seed)

    def point(self) -> float:
        """The next random number in [0, 1): the same for the same seed, whoever shares the batch."""
        return self._random.random()

    def append(self, token: int, logprob: float, entropy: float, ends: set[int]) -> bool:
        """Adds a drawn token; true when the row has ended. Raises DistilError from its constraint."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.entropies.append(entropy)
        if token in ends or (self.spelling is not None and self.spelling.add(token)):
            self.reason = "stop"
        elif len(self.tokens) >= self.max_tokens:
            self.reason = "length"
        elif self.constraint is not None:
            self.constraint.accept(token)
        return bool(self.reason)

    def generation(self, decode: Callable[[list[int]], str]) -> Generation:
        """The finished answer; `decode` leaves control tokens out."""
        text = self.spelling.text if self.spelling is not None and self.spelling.stopped else decode(self.tokens)
        return Generation(text, self.tokens, self.logprobs, self.entropies, self.reason)
