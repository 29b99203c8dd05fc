"""Names of models as people write them elsewhere: other prefixes for one vendor, and what to write for too short a name.

Pure text. The prefixes are those of LiteLLM, LangChain, pydantic-ai and the vendors' own pages.
"""

from __future__ import annotations

import difflib
import re

from distil.errors import did_you_mean

ALIASES: dict[str, str] = {
    "gemini": "google",
    "google_genai": "google",
    "google-gla": "google",
    "googleai": "google",
    "vertex_ai": "vertex",
    "vertexai": "vertex",
    "google_vertexai": "vertex",
    "google-vertex": "vertex",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "aws": "bedrock",
    "amazon": "bedrock",
    "amazon-bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "ollama_chat": "ollama",
    "hf": "huggingface",
    "hugging_face": "huggingface",
    "together_ai": "together",
    "togetherai": "together",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "xai": "x-ai",
    "grok": "x-ai",
    "cohere_chat": "cohere",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "nvidia_nim": "nvidia",
    "responses": "openai-responses",
    "openai_responses": "openai-responses",
    "claude": "anthropic",
    "open_router": "openrouter",
}
"""Another prefix -> ours. Both may be written; the ledger and the answers hold the name as it was written."""

_INNER = {
    "bedrock": ("converse/", "invoke/", "converse_like/"),
    "azure": ("gpt_series/", "o_series/"),
    "openai": ("responses/",),
}
"""Routes that LiteLLM puts between prefix and name."""
_SERVERS = {
    "vllm": 8000,
    "hosted_vllm": 8000,
    "sglang": 30000,
    "lm_studio": 1234,
    "lmstudio": 1234,
    "llamafile": 8080,
    "llamacpp": 8080,
    "llama.cpp": 8080,
    "llama_cpp": 8080,
    "tgi": 8080,
    "openai_like": 8000,
    "custom_openai": 8000,
    "custom": 8000,
    "litellm_proxy": 4000,
}
"""Programs that serve OpenAI's API, and the port that each has unless told otherwise."""
_BY_NAME = (
    (re.compile(r"^(?:gpt-|o\d|chatgpt|ft:gpt|codex)"), "openai"),
    (re.compile(r"^claude"), "anthropic"),
    (re.compile(r"^(?:gemini|gemma-3n?-\d+b-it$)"), "google"),
    (re.compile(r"^grok"), "x-ai"),
    (re.compile(r"^deepseek-(?:chat|reasoner)"), "deepseek"),
    (re.compile(r"^(?:mistral|ministral|magistral|codestral|devstral)-.*(?:latest|\d{4})$"), "mistral"),
    (re.compile(r"^(?:command-|c4ai-)"), "cohere"),
    (re.compile(r"^sonar"), "perplexity"),
    (
        re.compile(
            r"^(?:[a-z]{2,4}\.)?(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|qwen|openai)\.[\w.-]+(?::\d+)?$"
        ),
        "bedrock",
    ),
    (re.compile(r"^[\w.-]+:[\w.-]+$"), "ollama"),
)


def canonical(model: str) -> tuple[str, str] | None:
    """(our prefix, the name on the wire) of `PREFIX/NAME`, whatever the prefix is called elsewhere; None without a slash."""
    prefix, mark, name = model.partition("/")
    if not mark or not name:
        return None
    ours = ALIASES.get(prefix.lower(), prefix)
    for route in _INNER.get(ours, ()):
        if name.startswith(route) and name != route:
            return ("openai-responses" if route == "responses/" else ours), name.removeprefix(route)
    return ours, name


def likely(model: str, known: list[str]) -> str | None:
    """The whole name that was probably meant by one that is no `PROVIDER/NAME`: `gpt-4o` is openai/gpt-4o. None: no idea."""
    prefix, mark, name = model.partition("/")
    left, colon, right = model.partition(":")
    if colon and not mark and right and ALIASES.get(left.lower(), left) in known:
        return f"{ALIASES.get(left.lower(), left)}/{right}"
    if not mark:
        found = next((ours for pattern, ours in _BY_NAME if pattern.search(model)), None)
        return found and f"{found}/{model}"
    if prefix.lower() in _SERVERS or prefix.lower() == "azure_ai" or not name:
        return None
    close = difflib.get_close_matches(prefix.lower(), known, n=1, cutoff=0.6)
    return f"{close[0]}/{name}" if close else f"local/{model}"


def advice(model: str, known: list[str]) -> str:
    """What to write instead of a name that is no `PROVIDER/NAME`, as the end of a message."""
    prefix, mark, name = model.partition("/")
    low = prefix.lower()
    if low in _SERVERS and mark:
        address = f"http://127.0.0.1:{_SERVERS[low]}/v1#{name}"
        return f" For a server of your own write {address} (its address, and what it calls the model)."
    if low == "azure_ai":
        return (
            f" For a model in Azure's Foundry write azure/{name or 'DEPLOYMENT'} with AZURE_OPENAI_ENDPOINT set to its "
            "resource, or its address: https://NAME.services.ai.azure.com/openai/v1#DEPLOYMENT, with `api_key_env`."
        )
    meant = likely(model, known)
    if meant is not None and not meant.startswith("local/"):
        return f" Did you mean {meant}?"
    if meant is not None:
        return (
            f" If {model} is a model on the Hugging Face hub: write local/{model} to run it on this machine, "
            f"huggingface/{model} for Hugging Face's router, openrouter/{model.lower()}, or http://HOST:PORT/v1#{model} for "
            "a server of your own."
        )
    return did_you_mean(prefix, known)
