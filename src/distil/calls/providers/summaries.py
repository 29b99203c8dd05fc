"""Which models show a summary of their thinking in place of it: the steps that led to the answer are not in it.

OpenAI's reasoning models (platform.openai.com/docs/guides/reasoning: raw reasoning is not shown, summaries on request), Claude 4
and later (platform.claude.com, extended thinking: Claude 3.7 Sonnet shows all of it, later models a summary written by another
model) and Gemini (ai.google.dev, thinking: thought summaries). Open models show what they wrote: DeepSeek, Qwen, Magistral,
gpt-oss, Kimi, GLM. Thinking that comes encrypted or redacted is never text, and so never in an answer.
"""

from __future__ import annotations

import re

_SUMMARIZED = re.compile(r"(?:^|[/.])(?:o[1-9]\d*(?:-|$)|gpt-(?:[5-9]|\d\d)(?![a-z]))|claude(?!-3|-2|-instant)|gemini")


def shows_summaries(model: str) -> bool:
    """Whether what a model (as the config names it) shows of its thinking is a summary. False where that is not known."""
    return _SUMMARIZED.search(model.lower()) is not None
