"""openai/NAME: OpenAI's own API. Knows which of its models refuse which parameters; the rest is chat.py.

Reasoning models (o-series, GPT-5 and later, but not their `-chat` variants) take no temperature, top_p, stop or logprobs,
except from GPT-5.1 on with `reasoning_effort: none`. Sends nothing.
"""

from __future__ import annotations

import re

from distil.calls.providers.chat import ChatProvider
from distil.calls.request import Request

_VERSION = re.compile(r"^gpt-(\d+)(?:\.(\d+))?")
_O_SERIES = re.compile(r"^o\d")


class OpenAIProvider(ChatProvider):
    """`max_completion_tokens` everywhere: the old `max_tokens` is refused by reasoning models and deprecated elsewhere."""

    vendor = "OpenAI"
    max_tokens_field = "max_completion_tokens"

    def ignored(self, request: Request) -> list[str]:
        """The settings that a reasoning model would refuse with a 400."""
        if not refuses_sampling(self.name, request.sampling.reasoning_effort):
            return []
        sampling = request.sampling
        changed = {
            "temperature": sampling.temperature != 1.0,
            "top_p": sampling.top_p != 1.0,
            "top_logprobs": sampling.top_logprobs is not None,
            "stop": sampling.stop and _O_SERIES.match(_base_name(self.name)),
        }
        return [name for name, is_set in changed.items() if is_set]


def refuses_sampling(name: str, effort: str | None) -> bool:
    """True for models that answer 400 to temperature, top_p and logprobs at this reasoning effort."""
    base = _base_name(name)
    if _O_SERIES.match(base):
        return True
    version = _VERSION.match(base)
    if version is None or "-chat" in base:
        return False
    number = (int(version[1]), int(version[2] or 0))
    return number >= (5, 0) and not (number >= (5, 1) and effort == "none")


def _base_name(name: str) -> str:
    """The model under a fine-tuned one: `ft:gpt-4.1-mini-2025-04-14:org::id` -> `gpt-4.1-mini-2025-04-14`."""
    return name.split(":")[1] if name.startswith("ft:") and ":" in name[3:] else name.removeprefix("ft:")
