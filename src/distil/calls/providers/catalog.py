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
from distil.calls.providers import azure, hosts, names
from distil.calls.providers.aws import AwsKeys
from distil.calls.providers.base import HttpProvider, LocalProvider
from distil.calls.providers.hosts import HOSTS
from distil.calls.providers.openai_names import only_responses
from distil.calls.providers.vertex import VertexKey
from distil.errors import UserError

COMPATIBLE = (
    "http",
    "https",
    "cerebras",
    "cohere",
    "deepinfra",
    "deepseek",
    "fireworks",
    "groq",
    "huggingface",
    "mistral",
    "moonshotai",
    "nvidia",
    "ollama",
    "openrouter",
    "perplexity",
    "together",
    "x-ai",
    "zai",
)
_RESPONSES = "distil.calls.providers.responses:ResponsesProvider"
PROVIDERS: dict[str, str] = {
    "openai": "distil.calls.providers.openai:OpenAIProvider",
    "openai-responses": _RESPONSES,
    "anthropic": "distil.calls.providers.anthropic:AnthropicProvider",
    "google": "distil.calls.providers.google:GoogleProvider",
    "vertex": "distil.calls.providers.vertex:VertexProvider",
    "azure": "distil.calls.providers.azure:AzureProvider",
    "bedrock": "distil.calls.providers.bedrock:BedrockProvider",
    **dict.fromkeys(COMPATIBLE, "distil.calls.providers.chat:CompatibleProvider"),
    "recorded": "distil.calls.providers.recorded:RecordedProvider",
    "local": "distil.calls.providers.local:LocalModelProvider",
    "bundled": "distil.calls.providers.local:BundledProvider",
}
"""prefix of a model's name -> "module:Class"."""
ONLY_RESPONSES = {"openai": _RESPONSES, "azure": "distil.calls.providers.azure:AzureResponsesProvider"}
"""The same for models that only live on OpenAI's Responses API (openai_names.only_responses)."""
LOCAL_PREFIXES = ("recorded", "local", "bundled")
NO_KEY = "not-needed-offline"


class ModelRef(NamedTuple):
    """A model's name, taken apart."""

    prefix: str
    """Key of PROVIDERS."""
    name: str
    """The model's name on the wire, or the path behind recorded/ and local/."""
    base_url: str | None
    """Where its API lives; None for what runs in this process, and where the environment has to say it (hosts.address)."""

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
    """Takes a model's name apart. Raises UserError on an unknown form, with what to write."""
    if model.startswith(("http://", "https://")):
        return _parse_address(model)
    known = [p for p in PROVIDERS if p not in ("http", "https")]
    found = names.canonical(model)
    if found is None or found[0] not in known:
        advice = names.advice(model, known)
        listed = f" with one of {', '.join(known)}" if names.likely(model, known) is None else ""
        raise UserError(
            f"The model {model!r} does not name a provider that Distil supports.{advice} "
            f"Expected PROVIDER/NAME{listed}, or http://HOST:PORT/v1#NAME."
        )
    prefix, name = found
    if prefix == "vertex" and name.startswith("claude"):
        raise UserError(
            f"Distil asks Gemini on Vertex AI, not Claude. Write anthropic/{name.partition('@')[0]}, or bedrock/ with its id "
            f"there, instead of {model}."
        )
    return ModelRef(prefix, name, HOSTS[prefix].base_url if prefix in HOSTS else None)


def _parse_address(model: str) -> ModelRef:
    base_url, mark, name = model.partition("#")
    if azure.is_azure(base_url):
        found = azure.resource(base_url)
        deployment = name or found.deployment
        if not deployment:
            raise UserError(f"The model {model!r} names no deployment. Write {base_url}#DEPLOYMENT.")
        return ModelRef("azure", deployment, hosts.with_version(base_url, None))
    base_url = hosts.clean_url(base_url)
    _refuse_secrets(base_url)
    if not mark or not name:
        raise UserError(
            f"The model {model!r} has no name after '#'. Expected http://HOST:PORT/v1#NAME, "
            f"where NAME is what the server calls its model (see {base_url}/models)."
        )
    return ModelRef(model.split(":", 1)[0], name, base_url)


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

    Raises UserError when its key or its address is not in the environment, or its file is not there.
    """
    ref, environ = parse_model(teacher.model), hosts.environment(environ)
    provider = _load(_class_of(ref))
    if ref.local:
        return Opened(ref, ref.prefix, [], provider(ref.name, root))
    urls = _addresses(teacher, ref, environ)
    key = _credential(teacher, ref, environ, urls[0])
    # Google, Vertex and Bedrock name the model in the URL and not in the body, and the ledger's key is made of endpoint and body.
    endpoint = f"{urls[0]}#{ref.name}" if ref.prefix == "google" else urls[0]
    if ref.prefix in ("bedrock", "vertex"):
        endpoint = f"{ref.prefix}#{ref.name}"  # the same model whatever region, project and kind of key
    return Opened(ref, endpoint, [provider(ref.name, url, key) for url in urls], None)


def _class_of(ref: ModelRef) -> str:
    if ref.prefix in ONLY_RESPONSES and only_responses(ref.name):
        return ONLY_RESPONSES[ref.prefix]
    return PROVIDERS[ref.prefix]


def _addresses(teacher: TeacherConfig, ref: ModelRef, environ: Mapping[str, str]) -> list[str]:
    given = list[str]()
    for url in teacher.base_urls:
        if ref.prefix == "azure":
            given.append(hosts.with_version(url, None))
        else:
            _refuse_secrets(url)
            given.append(hosts.clean_url(url))
    own = teacher.model.startswith(("http://", "https://"))  # in the name: base_urls are replicas of it
    if own or not given:
        base_url = ref.base_url if own else hosts.address(ref.prefix, environ, teacher.model)
        given.insert(0, base_url or "")
    return list(dict.fromkeys(given))


def _credential(
    teacher: TeacherConfig, ref: ModelRef, environ: Mapping[str, str], url: str
) -> str | AwsKeys | VertexKey | None:
    if ref.prefix == "vertex":
        named = api_key(teacher, environ) if teacher.api_key_env else None
        return hosts.vertex_key(environ, named, teacher.model)
    key = api_key(teacher, environ)
    return hosts.bedrock_key(environ, key, teacher.model, url) if ref.prefix == "bedrock" else key


def open_keyless(teacher: TeacherConfig, root: Path | None = None) -> Opened:
    """The same without its key: its wire format can be read and written, but no request can be sent.

    Where region and project are not part of what identifies a model, they need not be known either.
    """
    ref, anywhere = parse_model(teacher.model), {"AWS_REGION": "us-east-1", "GOOGLE_CLOUD_PROJECT": "-"}
    variables = HOSTS[ref.prefix].keys if ref.prefix in HOSTS else ()
    keys = dict.fromkeys([*variables, *filter(None, [key_variable(teacher)])], NO_KEY)
    return open_teacher(teacher, environ={**anywhere, **os.environ, **keys}, root=root)


def about_key(teacher: TeacherConfig) -> str:
    """Where the key of a refused request came from, for the end of a message."""
    variable, ref = key_variable(teacher), parse_model(teacher.model)
    if variable is not None and os.environ.get(variable):
        return f"The key was read from {variable}."
    if ref.prefix in HOSTS:
        return ""  # keys of AWS, a token of gcloud: the provider's own words name them
    return (
        "No key was sent, because this model has no `api_key_env` in distil.yaml: set it to the name of the "
        "environment variable that holds the key."
    )


def key_variable(teacher: TeacherConfig, environ: Mapping[str, str] | None = None) -> str | None:
    """Name of the environment variable with its key; None for a self-hosted server without one.

    Raises UserError, without repeating it, when the config holds a key instead of its variable's name.
    """
    ref = parse_model(teacher.model)
    if teacher.api_key_env is not None and _no_name(teacher.api_key_env):
        raise UserError(
            f"`api_key_env` of {teacher.model} is not the name of an environment variable, such as OPENAI_API_KEY. If it is the "
            "key itself: take it out of distil.yaml, type `export OPENAI_API_KEY=...` and write api_key_env: OPENAI_API_KEY."
        )
    if teacher.api_key_env is not None or ref.prefix not in HOSTS:
        return teacher.api_key_env
    variables = HOSTS[ref.prefix].keys
    return hosts.first_set(hosts.environment(environ), variables) or variables[0]


def _no_name(text: str) -> bool:
    """No name at all, or a long one that mixes small letters and digits as keys do."""
    mixed = any(sign.islower() for sign in text) and any(sign.isdigit() for sign in text)
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is None or (len(text) >= 20 and mixed)


def api_key(teacher: TeacherConfig, environ: Mapping[str, str]) -> str | None:
    """The key from the environment; None for a server that needs none. Raises UserError when it is missing, or can't be one."""
    variable, ref = key_variable(teacher, environ), parse_model(teacher.model)
    if variable is None:
        return None
    key = clean_key(environ.get(variable, ""), variable)
    if not key and teacher.api_key_env is None and ref.prefix in HOSTS and HOSTS[ref.prefix].keyless:
        return None
    if not key:
        raise UserError(
            f"No API key for {teacher.model}: the environment variable {variable} is not set. "
            f"Type `export {variable}=...` and run again, or set `api_key_env` of this model to another variable."
        )
    return key


def price_id(ref: ModelRef) -> str | None:
    """Under which vendor the table of prices lists a model; None for servers of one's own."""
    if ref.prefix in ("http", "https", "ollama"):
        return None
    if ref.prefix == "huggingface":  # ORG/MODEL:HOST; each host behind the router has its own prices
        _, mark, host = ref.name.partition(":")
        return f"huggingface_{host}" if mark else None
    return HOSTS[ref.prefix].prices or ref.prefix


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
