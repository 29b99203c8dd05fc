"""How many tokens a student reads, and which conversations have more, without loading its weights.

The tokenizer is loaded only for conversations that could be too long by their bytes: for most data, never.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distil.errors import UserError
from distil.models.hub import cached
from distil.models.load import load_tokenizer, resolve
from distil.models.render import render_rows
from distil.models.template import TemplateSettings, Turn
from distil.records import Message
from distil.runs.jsonl import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TURN_TOKENS = 24
"""More than a chat template puts around a turn."""
TEMPLATE_TOKENS = 64
"""More than it puts before all of them, such as a system message of its own."""
_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length")


def known_context(ref: str) -> int | None:
    """The maximum number of tokens by the model's config.json; None for a hub id that was never downloaded, or no number."""
    file = _config_file(ref)
    if file is None:
        return None
    try:
        config = read_json(file)
    except UserError:
        return None
    config = config if isinstance(config, dict) else {}
    inner = config.get("text_config")
    for source in (inner if isinstance(inner, dict) else {}, config):
        for name in _NAMES:
            if isinstance(source.get(name), int) and source[name] > 0:
                return int(source[name])
    return None


def _config_file(ref: str) -> Path | None:
    try:
        folder = Path(resolve(ref))
    except UserError:
        return None
    if folder.is_dir():
        return folder / "config.json" if (folder / "config.json").is_file() else None
    return cached(ref, "config.json")


class TokenLimit:
    """Counts the tokens of conversations that may have more than a student reads."""

    def __init__(self, ref: str, limit: int, template: Callable[[], TemplateSettings] | None = None) -> None:
        self.ref, self.limit, self.template = ref, limit, template
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._unusable = False

    def excess(self, messages: Sequence[Message], tools: list[Turn] | None = None) -> int | None:
        """The tokens of a conversation with its answer, where they are more than the limit; None otherwise.

        None too where they can't be counted: training says why.
        """
        size = sum(TURN_TOKENS + len(_content(turn).encode("utf-8", "replace")) for turn in messages)
        if size + TEMPLATE_TOKENS + (2 * len(json.dumps(tools)) if tools else 0) <= self.limit:
            return None  # a token has at least one byte
        tokenizer = self._load()
        if tokenizer is None:
            return None
        try:
            rows = render_rows(tokenizer, messages, tools=tools)
        except UserError:
            return None
        tokens = max(len(row.ids) for row in rows)
        return tokens if tokens > self.limit else None

    def _load(self) -> PreTrainedTokenizerBase | None:
        if self._tokenizer is None and not self._unusable:
            try:
                self._tokenizer = load_tokenizer(self.ref, self.template and self.template())
            except (UserError, ImportError):
                self._unusable = True
        return self._tokenizer


def _content(turn: Message) -> str:
    calls = json.dumps(turn.tool_calls) if turn.tool_calls else ""
    return turn.text + calls + (turn.reasoning_content or "")
