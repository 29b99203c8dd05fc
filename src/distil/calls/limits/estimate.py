"""How many tokens a request will have, without the vendor's tokenizer: an upper bound to reserve by, and a calibrated guess.

The bound: byte-level vocabularies have no token shorter than a byte, so a text never has more tokens than UTF-8 bytes.
The guess: bytes per token and answer length, learned from the usage that each reply reports. One `Estimator` per teacher.
"""

from __future__ import annotations

from collections.abc import Sequence

from distil.calls.request import Request
from distil.records import Message, Usage

# Turn markers and role names of chat templates, per message.
TOKENS_PER_MESSAGE = 16
# Anthropic documents up to ~700 tokens of hidden system prompt when tools are given.
TOKENS_FOR_TOOLS = 1_000
# The dearest image of any vendor's tables so far (gpt-4o-mini, high detail) has 36,835 tokens.
TOKENS_PER_IMAGE = 40_000
FIRST_BYTES_PER_TOKEN = 4.0
MEMORY = 200.0


def max_input_tokens(messages: Sequence[Message], tools: bool, wire_size: int) -> int:
    """Upper bound of a prompt's tokens; `wire_size` is the length of its body in bytes."""
    most = wire_size + TOKENS_PER_MESSAGE * (len(messages) + 1)
    if tools:
        most += TOKENS_FOR_TOOLS
    for message in messages:
        if isinstance(message.content, list):
            most += TOKENS_PER_IMAGE * sum(part.get("type") != "text" for part in message.content)
    return most


class Estimator:
    """Learns from replies. Both directions: `max_input` is never too low for text, `input`/`output` are close on average."""

    def __init__(self) -> None:
        self._bytes = FIRST_BYTES_PER_TOKEN * 20
        self._tokens = 20.0
        self._output = 0.0
        self._replies = 0.0

    def max_input(self, request: Request, wire_size: int) -> int:
        """Upper bound of the prompt's tokens; `wire_size` is the length of the wire body in bytes."""
        return max_input_tokens(request.messages, bool(request.tools), wire_size)

    def input(self, wire_size: int) -> int:
        """Expected tokens of the prompt."""
        return max(1, round(wire_size * self._tokens / self._bytes))

    def output(self, max_tokens: int) -> int:
        """Expected tokens of the answer; half of `max_tokens` until the first replies are in."""
        if self._replies < 3:
            return max(1, max_tokens // 2)
        return max(1, min(max_tokens, round(self._output / self._replies)))

    def learn(self, wire_size: int, usage: Usage) -> None:
        """Takes in one reply; older ones fade."""
        if usage.input_tokens <= 0:
            return
        keep = 1 - 1 / MEMORY
        self._bytes = self._bytes * keep + wire_size
        self._tokens = self._tokens * keep + usage.input_tokens
        self._output = self._output * keep + usage.output_tokens
        self._replies = self._replies * keep + 1
