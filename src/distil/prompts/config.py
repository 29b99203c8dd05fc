"""The `prompts` section of distil.yaml. Not the loading: that is stage.py."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from distil.runs.section import Section

Attachments = Literal["refuse", "leave_out", "keep"]


class PromptsConfig(Section):
    """Where your prompts are."""

    path: str = "prompts.jsonl"
    """A path relative to the project: JSON Lines, JSON, CSV, TSV, TXT, Parquet (also .gz), a folder of `datasets`, or logs.

    Rows have "prompt" or "messages"; also Alpaca, ShareGPT, logs of providers and of tracing tools (docs/data_formats.md).
    Optional: reference (or answer, output, category, ...), group, split, tools, response_format.
    """
    system: str | None = None
    """System message for every prompt that has none."""
    response_format: dict[str, JsonValue] | None = None
    """The form of the answer for every prompt that names none, as in OpenAI's API: {type: json_object}, or a JSON schema."""
    attachments: Attachments = "refuse"
    """Rows with an image, audio or a file: refuse them, leave_out such rows, or keep: a teacher may see them."""
