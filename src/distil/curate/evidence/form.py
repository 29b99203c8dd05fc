"""Signals of an answer that is not whole: cut off, or empty."""

from __future__ import annotations

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.endings import ending
from distil.records import Answer, Prompt


def truncated(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """The model was cut off by its token limit."""
    if ending(answer.finish_reason) == "cut":
        limit = answer.sampling.max_tokens
        return Found(1, f"cut off at {limit} tokens (finish_reason {answer.finish_reason}); raise max_tokens")
    return None


def empty(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Neither text nor a tool call."""
    return Found(1, "no text and no tool call") if not answer.text.strip() and not answer.tool_calls else None
