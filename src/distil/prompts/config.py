"""The `prompts` section of distil.yaml. Not the loading: that is stage.py."""

from __future__ import annotations

from distil.runs.section import Section


class PromptsConfig(Section):
    """Where your prompts are."""

    path: str = "prompts.jsonl"
    """A path relative to the project: JSONL, CSV, TSV, TXT, Parquet, a folder saved by `datasets`, or OpenAI-format logs.

    JSONL lines have "prompt" or "messages"; optional: "reference", "group", "split", "tools", "response_format".
    Tables have a column prompt (or text, question); optional: reference (or category, label), group, split.
    """
    system: str | None = None
    """System message for every prompt that has none."""
