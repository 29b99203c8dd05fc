"""Signals of answers that decline or speak of themselves as a model. What a refusal is: distil.text."""

from __future__ import annotations

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.endings import ending
from distil.records import Answer, Prompt
from distil.text import find_refusal


def refusal(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """The model declines, or speaks of itself as a model."""
    if ending(answer.finish_reason) == "refused":
        return Found(1, f"refused by the provider (finish_reason {answer.finish_reason})")
    phrase = find_refusal(answer.text)
    return Found(1, f"refusal: “{phrase}”") if phrase else None
