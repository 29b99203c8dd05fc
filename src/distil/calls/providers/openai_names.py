"""What the name of one of OpenAI's models says about the parameters that it refuses, and where it lives.

Reasoning models (o-series, GPT-5 and later, but not their `-chat` variants) take no temperature, top_p, stop or logprobs,
except from GPT-5.1 on with `reasoning_effort: none`. (platform.openai.com/docs/models, /docs/guides/reasoning)
"""

from __future__ import annotations

import re

from distil.records import Sampling

_VERSION = re.compile(r"^gpt-(\d+)(?:\.(\d+))?")
_O_SERIES = re.compile(r"^o\d")
_ONLY_RESPONSES = re.compile(
    r"(?:^|-)codex(?:-|$)|^(?:o\d|gpt-\d+(?:\.\d+)?)-pro(?:-|$)|-deep-research(?:-|$)|^computer-use"
)


def ignored(name: str, sampling: Sampling) -> list[str]:
    """The settings that are set and that the model would refuse with a 400."""
    if not refuses_sampling(name, sampling.reasoning_effort):
        return []
    changed = {
        "temperature": sampling.temperature != 1.0,
        "top_p": sampling.top_p != 1.0,
        "top_logprobs": sampling.top_logprobs is not None,
        "stop": sampling.stop and _O_SERIES.match(_base_name(name)),
    }
    return [setting for setting, is_set in changed.items() if is_set]


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


def only_responses(name: str) -> bool:
    """Whether OpenAI serves this model on /v1/responses alone; chat completions answer 404 to its name."""
    return _ONLY_RESPONSES.search(_base_name(name)) is not None


def _base_name(name: str) -> str:
    """The model under a fine-tuned one: `ft:gpt-4.1-mini-2025-04-14:org::id` -> `gpt-4.1-mini-2025-04-14`."""
    return name.split(":")[1] if name.startswith("ft:") and ":" in name[3:] else name.removeprefix("ft:")
