"""From a model's name in the config to its providers. The only list of providers; all of them load lazily.

Not a client: nothing is sent here.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from distil.calls.config import TeacherConfig
from distil.calls.keys import clean_key
from distil.calls.providers.base import HttpProvider, LocalProvider
from distil.errors import UserError, did_you_mean

COMPATIBLE = ("http", "https", "cerebras", "deepseek", "fireworks", "groq", "mistral", "openrouter", "together", "x-ai")
PROVIDERS: dict[str, str] = {
    "openai": "distil.calls.providers.openai:OpenAIProvider",
    "anthropic": "distil.calls.providers.anthropic:AnthropicProvider",
    "google": "distil.calls.providers.google:GoogleProvider",
    **dict.fromkeys(COMPATIBLE, "distil.calls.providers.chat:CompatibleProvider"),
    "recorded": "distil.calls.providers.recorded:RecordedProvider",
    "local": "distil.calls.providers.local:LocalModelProvider",
    "bundled": "distil.calls.providers.local:BundledProvider",
}
"""prefix of a model's name -> "module:Class"."""


class Host(NamedTuple):
    """Where a vendor's API lives and which variable usually holds its key."""

    base_url: str
    api_key_env: str


HOSTS: dict[str, Host] = {
    "openai": Host("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": Host("https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "google": Host("https://generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    "cerebras": Host("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepseek": Host("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks": Host("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "groq": Host("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Host("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "openrouter": Host("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": Host("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "x-ai": Host("https://api.x.ai/v1", "XAI_API_KEY"),
}
LOCAL_PREFIXES = ("recorded", "local", "bundled")
NO_KEY = "not-needed-offline"


class ModelRef(NamedTuple):
    """A model's name, taken apart."""

    prefix: str
    """Key of PROVIDERS."""
    name: str
    """The model's name on the wire, or the path behind recorded/ and local/."""
    base_url: str | None
    """Where its API lives; None for what runs in this process."""

    @property
    def local(self) -> bool:
        """It answers in this process and costs nothing."""
        return self.prefix in LOCAL_PREFIXES


class Opened(NamedTuple):
    """A teacher, ready for requests: one provider per base URL, or one that answers in this process."""

    ref: ModelRef
    endpoint: str
    """Identity of the API in the ledger's key; the first base URL identifies all replicas."""
    replicas: list[HttpProvider]
    local: LocalProvider | None


def parse_model(model: str) -> ModelRef:
    """Takes a model's name apart. Raises UserError on an unknown form."""
    if model.startswith(("http://", "https://")):
        base_url, mark, name = model.partition("#")
        if not mark or not name:
            raise UserError(
                f"The model {model!r} has no name after '#'. Expected http://HOST:PORT/v1#NAME, "
                f"where NAME is what the server calls its model (see {base_url.rstrip('/')}/models)."
            )
        _refuse_secrets(base_url)
        return ModelRef(model.split(":", 1)[0], name, base_url.rstrip("/"))
    prefix, mark, name = model.partition("/")
    known = [p for p in PROVIDERS if p not in ("http", "https")]
    if not mark or not name or prefix not in known:
        raise UserError(
            f"The model {model!r} does not name a provider that Distil supports.{did_you_mean(prefix, known)} "
            f"Expected PROVIDER/NAME with one of {', '.join(known)}, or http://HOST:PORT/v1#NAME."
        )
    return ModelRef(prefix, name, HOSTS[prefix].base_url if prefix in HOSTS else None)


def _refuse_secrets(url: str) -> None:
    """An address is written into the ledger and every answer; a password or key in it would be, too."""
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise UserError(
            f"The address of a teacher at {parts.hostname} holds a user name, a password or a query. Addresses are written into "
            "the ledger, so they may not contain a secret: give the bare http://HOST:PORT/v1, and the key with `api_key_env`."
        )


def open_teacher(teacher: TeacherConfig, environ: Mapping[str, str] | None = None, root: Path | None = None) -> Opened:
    """Constructs the providers of a teacher; relative paths behind recorded/ and local/ start at `root` (the project).

    Raises UserError when its key is not in the environment, or its file is not there.
    """
    ref = parse_model(teacher.model)
    provider = _load(PROVIDERS[ref.prefix])
    if ref.local:
        return Opened(ref, ref.prefix, [], provider(ref.name, root))
    key = api_key(teacher, os.environ if environ is None else environ)
    own = [ref.base_url] if ref.base_url and (ref.prefix in ("http", "https") or not teacher.base_urls) else []
    for url in teacher.base_urls:
        _refuse_secrets(url)
    urls = list(dict.fromkeys([*own, *(url.rstrip("/") for url in teacher.base_urls)]))
    # Google names the model in the URL and not in the body, and the ledger's key is made of endpoint and body.
    endpoint = f"{urls[0]}#{ref.name}" if ref.prefix == "google" else urls[0]
    return Opened(ref, endpoint, [provider(ref.name, url, key) for url in urls], None)


def open_keyless(teacher: TeacherConfig, root: Path | None = None) -> Opened:
    """The same without its key: its wire format can be read and written, but no request can be sent."""
    variable = key_variable(teacher)
    return open_teacher(teacher, environ={variable: NO_KEY} if variable else {}, root=root)


def key_variable(teacher: TeacherConfig) -> str | None:
    """Name of the environment variable with its key; None for a self-hosted server without one.

    Raises UserError, without repeating it, when the config holds a key instead of its variable's name.
    """
    ref = parse_model(teacher.model)
    if teacher.api_key_env is not None and _no_name(teacher.api_key_env):
        raise UserError(
            f"`api_key_env` of {teacher.model} is not the name of an environment variable, such as OPENAI_API_KEY. If it is the "
            "key itself: take it out of distil.yaml, type `export OPENAI_API_KEY=...` and write api_key_env: OPENAI_API_KEY."
        )
    return teacher.api_key_env or (HOSTS[ref.prefix].api_key_env if ref.prefix in HOSTS else None)


def _no_name(text: str) -> bool:
    """No name at all, or a long one that mixes small letters and digits as keys do."""
    mixed = any(sign.islower() for sign in text) and any(sign.isdigit() for sign in text)
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is None or (len(text) >= 20 and mixed)


def api_key(teacher: TeacherConfig, environ: Mapping[str, str]) -> str | None:
    """The key from the environment; None for a self-hosted server without one. Raises UserError when it is missing."""
    variable = key_variable(teacher)
    if variable is None:
        return None
    key = clean_key(environ.get(variable, ""), variable)
    if not key:
        raise UserError(
            f"No API key for {teacher.model}: the environment variable {variable} is not set. "
            f"Type `export {variable}=...` and run again, or set `api_key_env` of this model to another variable."
        )
    return key


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
