"""What a filter sees beside one prompt and its answer: facts about all answers. Not the filters (filters.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.curate.scripts import same_script
from distil.records import Answer, Prompt
from distil.text import parse_answer


class Corpus(NamedTuple):
    """Facts about all answers."""

    json_share: float
    """Share of the answers that are one JSON object or list."""
    same_script_share: float
    """Share of the answers in the script of their prompt, among those where both scripts are clear."""
    answers: int
    """Number of answers."""


Filter = Callable[[Prompt, Answer, Corpus], str | None]
"""The reason to drop an answer, or None."""


def describe_corpus(pairs: Sequence[tuple[Prompt, Answer]]) -> Corpus:
    """Computes the facts once for all filters."""
    texts = [answer.text for _, answer in pairs if answer.text.strip()]
    comparable = [same for prompt, answer in pairs if (same := same_script(prompt, answer)) is not None]
    return Corpus(
        json_share=sum(parse_answer(text) is not None for text in texts) / max(1, len(texts)),
        same_script_share=sum(comparable) / max(1, len(comparable)),
        answers=len(pairs),
    )
