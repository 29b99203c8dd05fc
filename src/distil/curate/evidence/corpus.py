"""What a signal is measured on: a prompt with its answer, and facts about all answers. Not the signals (signals.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.curate.evidence.scripts import same_script
from distil.records import Answer, Prompt
from distil.text import parse_answer


class Pair(NamedTuple):
    """A prompt with one of its answers."""

    prompt: Prompt
    answer: Answer


class Corpus(NamedTuple):
    """Facts about all answers."""

    json_share: float
    """Share of the answers that are one JSON object or list."""
    same_script_share: float
    """Share of the answers in the script of their prompt, among those where both scripts are clear."""
    answers: int
    """Number of answers."""
    fenced_share: float = 0.0
    """Share of the answers that are JSON in a code fence."""


def describe_corpus(pairs: Sequence[tuple[Prompt, Answer]]) -> Corpus:
    """Computes the facts once for all signals."""
    texts = [answer.text for _, answer in pairs if answer.text.strip()]
    comparable = [same for prompt, answer in pairs if (same := same_script(prompt, answer)) is not None]
    return Corpus(
        json_share=sum(parse_answer(text) is not None for text in texts) / max(1, len(texts)),
        same_script_share=sum(comparable) / max(1, len(comparable)),
        answers=len(pairs),
        fenced_share=sum(text.lstrip().startswith("```") and parse_answer(text) is not None for text in texts)
        / max(1, len(texts)),
    )
