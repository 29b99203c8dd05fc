"""How an answer ended: the one reading of finish reasons for all stages, whoever gave the answer.

A white list, because an unknown word is more often a new kind of failure than a new word for success: an answer that broke off
halfway looks like any other, and a student learns from it to break off. Standard library only.

Sources: the API references of OpenAI (chat and responses), Azure, Anthropic, Gemini and Vertex (FinishReason), Bedrock (Converse
and Titan), Mistral, Cohere, DeepSeek, Z.ai, Groq, Together, Fireworks, OpenRouter, watsonx, GigaChat and YandexGPT, and the
sources of vLLM, SGLang, llama.cpp, Ollama, LM Studio and TGI.
"""

from __future__ import annotations

import re
from typing import Literal

Ending = Literal["ok", "cut", "refused", "fault"]
"""ok: whole. cut: at a limit of tokens. refused: declined or filtered. fault: none of these; never an answer."""

_OK = (
    "stop stopped eos eos_token eos_found endoftext end end_turn stop_sequence stop_token stop_string_found stop_str word "
    "tool_calls tool_call tool_use function_call complete completed finish finished done final alternative_status_final "
    "alternative_status_tool_calls"
)
_CUT = (
    "length max_tokens max_output_tokens max_completion_tokens max_new_tokens max_length max_len max_predicted_tokens_reached "
    "limit token_limit error_limit model_length model_context_window_exceeded context_length context_length_exceeded "
    "context_length_reached truncated alternative_status_truncated_final"
)
_REFUSED = (
    "content_filter content_filtered content_filtering refusal refused safety sensitive recitation language blocklist blacklist "
    "prohibited_content spii model_armor image_safety image_prohibited_content image_recitation guardrail_intervened "
    "guardrails moderation error_toxic alternative_status_content_filter"
)
_LISTS: tuple[tuple[str, Ending], ...] = ((_OK, "ok"), (_CUT, "cut"), (_REFUSED, "refused"))
_ENDINGS: dict[str, Ending] = {word.replace("_", ""): kind for words, kind in _LISTS for word in words.split()}
_PREFIX = re.compile(r"^(?:finish|stop)_?reason[._]", re.IGNORECASE)  # an enum's name that a proxy printed
_JOINTS = re.compile(r"[-_ ]")


def ending(finish_reason: str | None) -> Ending:
    """How an answer ended, by the provider's word for it. No word, and every unknown word, is a fault."""
    word = _PREFIX.sub("", (finish_reason or "").strip())
    return _ENDINGS.get(_JOINTS.sub("", word).lower(), "fault")
