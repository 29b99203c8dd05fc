"""Where each vendor's API lives, which variables hold its key and address, and under which name its prices are listed.

A table and lookups in the environment; nothing is sent. Sources: the vendors' quick starts, and the variables that their own
SDKs read.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from distil.calls.keys import clean_key
from distil.calls.providers import aws, azure, vertex
from distil.errors import UserError


class Host(NamedTuple):
    """One vendor."""

    base_url: str | None
    """None: the environment says where (azure, bedrock, vertex)."""
    keys: tuple[str, ...]
    """Variables that hold its key; the first that is set counts, and the first is named when none is."""
    keyless: bool = False
    """It also answers without a key."""
    prices: str | None = None
    """Its id in the table of prices, where that is not the prefix."""


HOSTS: dict[str, Host] = {
    "openai": Host("https://api.openai.com/v1", ("OPENAI_API_KEY",)),
    "openai-responses": Host("https://api.openai.com/v1", ("OPENAI_API_KEY",), prices="openai"),
    "anthropic": Host("https://api.anthropic.com", ("ANTHROPIC_API_KEY",)),
    "google": Host("https://generativelanguage.googleapis.com", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    "vertex": Host(None, ("VERTEX_ACCESS_TOKEN", "VERTEX_API_KEY", "GOOGLE_API_KEY"), keyless=True, prices="google"),
    "azure": Host(None, ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY")),
    "bedrock": Host(None, ("AWS_BEARER_TOKEN_BEDROCK",), keyless=True, prices="aws"),
    "ollama": Host("http://127.0.0.1:11434/v1", ("OLLAMA_API_KEY",), keyless=True),
    "huggingface": Host(
        "https://router.huggingface.co/v1", ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_API_KEY")
    ),
    "cerebras": Host("https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",)),
    "cohere": Host("https://api.cohere.ai/compatibility/v1", ("COHERE_API_KEY", "CO_API_KEY")),
    "deepinfra": Host("https://api.deepinfra.com/v1/openai", ("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")),
    "deepseek": Host("https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
    "fireworks": Host("https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY")),
    "groq": Host("https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
    "mistral": Host("https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
    "moonshotai": Host("https://api.moonshot.ai/v1", ("MOONSHOT_API_KEY",)),
    "nvidia": Host("https://integrate.api.nvidia.com/v1", ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY")),
    "openrouter": Host("https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
    "perplexity": Host("https://api.perplexity.ai", ("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY", "PPLX_API_KEY")),
    "together": Host("https://api.together.xyz/v1", ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY")),
    "x-ai": Host("https://api.x.ai/v1", ("XAI_API_KEY",)),
    "zai": Host("https://api.z.ai/api/paas/v4", ("ZAI_API_KEY",)),
}

_AZURE_ADDRESS = ("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE", "AZURE_OPENAI_BASE_URL")
_AZURE_VERSION = ("OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION", "AZURE_API_VERSION")
_PROJECT = ("GOOGLE_CLOUD_PROJECT", "VERTEXAI_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
_LOCATION = ("GOOGLE_CLOUD_LOCATION", "VERTEXAI_LOCATION", "GOOGLE_CLOUD_REGION", "CLOUD_ML_REGION")
_OPERATIONS = re.compile(r"/(?:chat/completions|completions|responses|models|embeddings|messages)/*$")


def first_set(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """The name of the first variable that is set."""
    return next((name for name in names if environ.get(name, "").strip()), None)


def address(prefix: str, environ: Mapping[str, str], model: str) -> str:
    """The base URL of a vendor. Raises UserError with what to type where the environment has to say it and does not."""
    if prefix == "azure":
        return _azure(environ, model)
    if prefix == "bedrock":
        return _bedrock(environ, model)
    if prefix == "vertex":
        return _vertex(environ, model)
    if prefix == "ollama" and environ.get("OLLAMA_HOST", "").strip():
        return _ollama(environ["OLLAMA_HOST"].strip())
    base_url = HOSTS[prefix].base_url
    assert base_url is not None
    return base_url


def _azure(environ: Mapping[str, str], model: str) -> str:
    name = first_set(environ, _AZURE_ADDRESS)
    if name is None:
        raise UserError(
            f"{model} needs the address of your Azure resource. Type `export "
            "AZURE_OPENAI_ENDPOINT=https://NAME.openai.azure.com`, or write base_urls: [https://NAME.openai.azure.com] under "
            "the model. A dated api-version, where you need one, goes into OPENAI_API_VERSION or behind the address as "
            "?api-version=DATE."
        )
    version = first_set(environ, _AZURE_VERSION)
    return with_version(environ[name].strip(), environ[version].strip() if version else None)


def with_version(url: str, version: str | None) -> str:
    """An Azure address in one form: the resource, and its api-version behind it where there is one."""
    found = azure.resource(url, version)
    return f"{found.origin}?api-version={found.version}" if found.version else found.origin


def _bedrock(environ: Mapping[str, str], model: str) -> str:
    if environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "").strip():
        return environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"].strip()
    region = aws.find_region(environ)
    if region is None:
        raise UserError(
            f"{model} needs a region: no AWS_REGION is set, and ~/.aws/config has none. Type `export AWS_REGION=us-east-1` "
            f"(yours)."
        )
    return f"https://bedrock-runtime.{region}.amazonaws.com"


def _vertex(environ: Mapping[str, str], model: str) -> str:
    project, location = first_set(environ, _PROJECT), first_set(environ, _LOCATION)
    if project is None and first_set(environ, ("VERTEX_API_KEY", "GOOGLE_API_KEY")) is None:
        raise UserError(
            f"{model} needs a Google Cloud project: type `export GOOGLE_CLOUD_PROJECT=your-project` (and "
            f"GOOGLE_CLOUD_LOCATION, default "
            "global); or, without a project, `export VERTEX_API_KEY=...` for express mode."
        )
    where = environ[location].strip() if location else "global"
    return vertex.address(environ[project].strip() if project else None, where)


def _ollama(host: str) -> str:
    """OLLAMA_HOST is an address, a host with or without port, or the 0.0.0.0 on which the server listens."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    name = parts.hostname or "127.0.0.1"
    name = "127.0.0.1" if name in ("0.0.0.0", "::") else f"[{name}]" if ":" in name else name
    port = parts.port or (443 if parts.scheme == "https" else 11434)
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/').removesuffix('/v1')}/v1"


def clean_url(url: str) -> str:
    """A base URL without what is often pasted with it: the path of an operation, a slash."""
    return _OPERATIONS.sub("", url.strip().rstrip("/")).rstrip("/")


def vertex_key(environ: Mapping[str, str], given: str | None, model: str) -> vertex.VertexKey:
    """given: the value of `api_key_env`, which is a token or an API key. Raises UserError when there is no way in."""
    if given:
        is_token = given.startswith(("ya29.", "eyJ"))
        return vertex.VertexKey(token=given) if is_token else vertex.VertexKey(api_key=given)
    token = environ.get("VERTEX_ACCESS_TOKEN", "").strip()
    if token:
        return vertex.VertexKey(token=clean_key(token, "VERTEX_ACCESS_TOKEN"))
    name = first_set(environ, ("VERTEX_API_KEY", "GOOGLE_API_KEY"))
    if name is not None and (name == "VERTEX_API_KEY" or first_set(environ, _PROJECT) is None):
        return vertex.VertexKey(api_key=clean_key(environ[name], name))
    program = shutil.which("gcloud")
    if program is None:
        raise UserError(
            f"No access token for {model}: VERTEX_ACCESS_TOKEN is not set, and there is no gcloud here to ask for one. Type "
            "`export VERTEX_ACCESS_TOKEN=$(gcloud auth print-access-token)` where gcloud is, or use an API key: "
            "VERTEX_API_KEY."
        )
    default = ["application-default"] if environ.get("GOOGLE_APPLICATION_CREDENTIALS") else []
    return vertex.VertexKey(command=(program, "auth", *default, "print-access-token"))


def bedrock_key(environ: Mapping[str, str], given: str | None, model: str, url: str) -> str | aws.AwsKeys:
    """A Bedrock API key, or AWS keys that sign. Raises UserError when there are neither."""
    if given:
        return given
    host = (urlsplit(url).hostname or "").split(".")
    region = aws.find_region(environ) or (host[1] if len(host) > 2 else "us-east-1")
    keys = aws.find_keys(environ, region)
    if keys is None:
        raise UserError(
            f"No key for {model}: neither AWS_BEARER_TOKEN_BEDROCK (a Bedrock API key) nor AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY are set, and ~/.aws/credentials has none. After a single sign-on: "
            'eval "$(aws configure export-credentials --format env)"'
        )
    return keys


def environment(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    """The given variables, or the process's."""
    return os.environ if environ is None else environ
