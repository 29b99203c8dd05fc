"""Signals of an answer's form: whole, not empty, JSON where JSON is expected."""

from __future__ import annotations

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.endings import ending
from distil.records import Answer, Prompt
from distil.text import parse_answer

JSON_MAJORITY = 0.8
JSON_MIN_ANSWERS = 5


def truncated(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """The model was cut off by its token limit."""
    if ending(answer.finish_reason) == "cut":
        limit = answer.sampling.max_tokens
        return Found(1, f"cut off at {limit} tokens (finish_reason {answer.finish_reason}); raise max_tokens")
    return None


def empty(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Neither text nor a tool call."""
    return Found(1, "no text and no tool call") if not answer.text.strip() and not answer.tool_calls else None


def json_form(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Not JSON, although the prompt requires it or nearly all answers are JSON."""
    if answer.tool_calls or parse_answer(answer.text) is not None:
        return None
    if (prompt.response_format or {}).get("type") in ("json_object", "json_schema"):
        return Found(1, "not JSON, though the prompt's response_format asks for it")
    if corpus.answers >= JSON_MIN_ANSWERS and corpus.json_share >= JSON_MAJORITY:
        return Found(1, f"not JSON, while {corpus.json_share:.0%} of the answers are")
    return None
