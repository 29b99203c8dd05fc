"""What a signal is measured on: a prompt with its answer, and facts about all answers. Not the signals (signals.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.curate.evidence.scripts import same_script
from distil.records import Answer, Prompt
from distil.text import instructions, normalize, parse_answer

OPENING_WORDS = 2
"""Of a prompt, by which prompts without different instructions are told apart: `In plain words, ...`, `Extract the ...`."""
MIN_OF_KIND = 5
"""Answers to prompts of one kind from which their share of JSON means something."""


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
    json_share_of: Mapping[str, float] = {}
    """The share of JSON among the answers to one kind of prompt, where it is lower than among all."""

    def json_share_at(self, prompt: Prompt) -> float:
        """How usual JSON is as an answer to such a prompt."""
        return self.json_share_of.get(kind_of(prompt), self.json_share) if self.json_share_of else self.json_share


def kind_of(prompt: Prompt) -> str:
    """Equal for prompts that probably want answers of one form: the same instructions, and the same first words."""
    words = normalize(prompt.messages[-1].text[:200]).split()[:OPENING_WORDS]
    return f"{normalize(instructions(prompt.messages))}\n{' '.join(words)}"


def describe_corpus(pairs: Sequence[tuple[Prompt, Answer]]) -> Corpus:
    """Computes the facts once for all signals."""
    spoken = [(prompt, answer.text) for prompt, answer in pairs if answer.text.strip()]
    texts = [text for _, text in spoken]
    is_json = [parse_answer(text) is not None for text in texts]
    share = sum(is_json) / max(1, len(texts))
    comparable = [same for prompt, answer in pairs if (same := same_script(prompt, answer)) is not None]
    return Corpus(
        json_share=share,
        same_script_share=sum(comparable) / max(1, len(comparable)),
        answers=len(pairs),
        fenced_share=sum(text.lstrip().startswith("```") and found for text, found in zip(texts, is_json, strict=True))
        / max(1, len(texts)),
        json_share_of=_lower_shares([prompt for prompt, _ in spoken], is_json, share) if 0 < share < 1 else {},
    )


def _lower_shares(prompts: Sequence[Prompt], is_json: Sequence[bool], share: float) -> dict[str, float]:
    kinds = [kind_of(prompt) for prompt in prompts]
    asked, answered = Counter(kinds), Counter(kind for kind, found in zip(kinds, is_json, strict=True) if found)
    return {
        kind: answered[kind] / count
        for kind, count in asked.items()
        if count >= MIN_OF_KIND and answered[kind] < share * count
    }
