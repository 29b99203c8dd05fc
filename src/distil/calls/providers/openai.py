"""openai/NAME: OpenAI's own API. Which of its models refuse which parameters is in openai_names.py; the rest is chat.py.

Sends nothing.
"""

from __future__ import annotations

from distil.calls.providers import openai_names
from distil.calls.providers.chat import ChatProvider
from distil.calls.request import Request


class OpenAIProvider(ChatProvider):
    """`max_completion_tokens` everywhere: the old `max_tokens` is refused by reasoning models and deprecated elsewhere."""

    vendor = "OpenAI"
    max_tokens_field = "max_completion_tokens"

    def ignored(self, request: Request) -> list[str]:
        """The settings that a reasoning model would refuse with a 400."""
        return openai_names.ignored(self.name, request.sampling)
