"""One training document: pieces of text, each with the weight of its tokens in the loss.

Weight 0 means "read, do not learn to predict" (random strings before their first repetition cannot be predicted).
Special tokens are written as text and become single tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

BOS, SYSTEM, USER, ASSISTANT, END, PAD = "<|bos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, BOS, END, SYSTEM, USER, ASSISTANT)


@dataclass(frozen=True)
class Document:
    """Pieces (text, loss weight in [0, 1]) in reading order; the first is the BOS token with weight 0."""

    pieces: tuple[tuple[str, float], ...]

    def text(self) -> str:
        """All pieces joined."""
        return "".join(piece for piece, _ in self.pieces)


def chat(
    user: str, assistant: str, *, system: str | None = None, prompt_weight: float = 0.0, answer_weight: float = 1.0
) -> Document:
    """A conversation of one turn, laid out exactly as the tokenizer's chat template does it."""
    head = BOS + (f"{SYSTEM}{system}{END}" if system is not None else "")
    return Document(
        ((head, 0.0), (f"{USER}{user}{END}{ASSISTANT}", prompt_weight), (f"{assistant}{END}", answer_weight))
    )


def plain(pieces: Sequence[tuple[str, float]]) -> Document:
    """Running text without roles, closed by the end token."""
    return Document(((BOS, 0.0), *pieces, (END, pieces[-1][1])))


def either(rng: random.Random, instruction: str, body: str, answer: str, *, prompt_weight: float = 0.0) -> Document:
    """The same exercise as a chat or as plain text, with the instruction before or behind the body."""
    if rng.random() < 0.75:
        system = instruction if rng.random() < 0.4 else None
        if system is not None:
            return chat(body, answer, system=system, prompt_weight=prompt_weight)
        user = f"{instruction}\n{body}" if rng.random() < 0.6 else f"{body}\n{instruction}"
        return chat(user, answer, prompt_weight=prompt_weight)
    question = f"{body}\n{instruction}\n" if rng.random() < 0.5 else f"{instruction}\n{body}\n"
    return plain(((question, prompt_weight), (answer, 1.0)))
