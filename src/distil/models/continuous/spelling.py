"""The text of a row while its tokens come: whole characters only, and nothing that may be the beginning of a stop sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WINDOW = 8
"""Tokens that are decoded again to spell the next one, where the tokenizer can't decode a stream by itself."""


class Spelling:
    """Grows token by token."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> None:
        from tokenizers.decoders import DecodeStream

        self.text = ""
        """All whole characters so far, up to the first stop sequence."""
        self.stopped = False
        """Whether a stop sequence has come."""
        self._stops = [stop for stop in stops if stop]
        self._longest = max(map(len, self._stops), default=0)
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._stream = None if self._backend is None else DecodeStream(skip_special_tokens=True)
        self._open: list[int] = []
        self._spelled = 0

    def add(self, token: int) -> bool:
        """Takes the next token; true when a stop sequence has come."""
        piece = self._piece(token)
        if not piece:
            return False
        before = len(self.text)
        self.text += piece
        since = max(0, before - self._longest + 1)
        found = [at for stop in self._stops if (at := self.text.find(stop, since)) >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True
        return self.stopped

    @property
    def settled(self) -> str:
        """The text without an end that may become a stop sequence."""
        if self.stopped or not self._stops:
            return self.text
        for size in range(min(self._longest - 1, len(self.text)), 0, -1):
            end = self.text[-size:]
            if any(stop.startswith(end) for stop in self._stops):
                return self.text[:-size]
        return self.text

    def _piece(self, token: int) -> str:
        """The characters that the token completes."""
        if self._stream is not None and self._backend is not None:
            return self._stream.step(self._backend, token) or ""
        before = str(self._tokenizer.decode(self._open[: self._spelled], skip_special_tokens=True))
        self._open.append(token)
        now = str(self._tokenizer.decode(self._open, skip_special_tokens=True))
        if now.endswith("\ufffd") or not now.startswith(before):
            return ""
        self._open, self._spelled = self._open[-WINDOW:], min(len(self._open), WINDOW)
        return now[len(before) :]
