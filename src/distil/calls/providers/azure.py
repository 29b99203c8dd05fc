"""azure/DEPLOYMENT: OpenAI's models in an Azure resource, by the v1 path or by a dated api-version.

Without an api-version: {resource}/openai/v1/chat/completions, where `model` is the deployment. With one:
{resource}/openai/deployments/DEPLOYMENT/chat/completions?api-version=DATE. The key is in the header `api-key`. Sends nothing.
(learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle)
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from distil.calls.faults import FaultKind
from distil.calls.providers.base import WireRequest
from distil.calls.providers.openai import OpenAIProvider
from distil.calls.providers.openai_names import refuses_sampling
from distil.calls.providers.responses import ResponsesProvider
from distil.calls.request import Request
from distil.errors import UserError

HOSTS = (
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    ".openai.azure.us",
    ".openai.azure.cn",
)
_UNDATED = ("v1", "preview", "latest", "")
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)")


class Resource(NamedTuple):
    """An Azure address, taken apart."""

    origin: str
    """https://NAME.openai.azure.com, or what a gateway in front of it has before /openai."""
    deployment: str | None
    """Where the address names one."""
    version: str
    """The api-version, as a date; empty for the v1 path."""


def is_azure(url: str) -> bool:
    """Whether an address is an Azure resource."""
    return (urlsplit(url).hostname or "").lower().endswith(HOSTS)


def resource(url: str, version: str | None = None) -> Resource:
    """Any address that Azure's portal or its examples show, up to the whole `.../chat/completions?api-version=...`.

    version: the api-version from the environment, which one in the address overrules. Raises UserError on other queries.
    """
    parts = urlsplit(url if "://" in url else f"https://{url}")
    query = parse_qs(parts.query)
    if set(query) - {"api-version"} or parts.username or parts.password:
        raise UserError(
            f"The address of the Azure resource {parts.hostname} holds more than an api-version. Write "
            f"https://NAME.openai.azure.com "
            "(and ?api-version=DATE where you need a dated one); the key goes into AZURE_OPENAI_API_KEY."
        )
    found = _DEPLOYMENT.search(parts.path)
    path = re.split(r"/openai(?:/|$)|/models(?:/|$)", parts.path, maxsplit=1)[0].rstrip("/")
    dated = query["api-version"][0] if "api-version" in query else "" if "/openai/v1" in parts.path else version or ""
    return Resource(
        f"{parts.scheme}://{parts.netloc}{path}", found[1] if found else None, "" if dated in _UNDATED else dated
    )


class AzureProvider(OpenAIProvider):
    """Chat completions of one deployment. base_url: as `resource` reads it, its api-version included."""

    vendor = "Azure"
    operation = "chat/completions"

    def __init__(self, name: str, base_url: str, api_key: str | None) -> None:
        super().__init__(name, base_url, api_key)
        self._resource = resource(base_url)
        # A deployment's name need not name its model; the other field is learned from a refusal.
        self.max_tokens_field = "max_completion_tokens" if refuses_sampling(name, None) else "max_tokens"

    def wire(self, request: Request) -> WireRequest:
        """By the dated path where there is an api-version, else by the v1 path."""
        origin, _, version = self._resource
        if version:
            path = f"deployments/{quote(self.name, safe='')}/{self.operation}?api-version={quote(version)}"
        else:
            path = f"v1/{self.operation}"
        return WireRequest(f"{origin}/openai/{path}", self.headers(), self.body(request))

    def headers(self) -> dict[str, str]:
        """Azure's own header for the key."""
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["api-key"] = self._key
        return headers

    def explain(self, status: int, kind: FaultKind, code: str, message: str) -> str:
        """What is different at Azure: deployments instead of models, and keys that belong to one resource."""
        if kind == "not_found":
            detail = f" It says: {message}" if message else ""
            return (
                f"The Azure resource {self._resource.origin} has no deployment {self.name!r} ({status}).{detail} Write the "
                "deployment's name, which need not be the model's (Foundry portal, Deployments): azure/DEPLOYMENT."
            )
        if kind == "auth":
            return (
                f"{self._resource.origin} refused the API key ({status}{', ' + code if code else ''}). A key belongs to one "
                "resource: check that both are of the same (portal, Keys and Endpoint)."
            )
        return super().explain(status, kind, code, message)


class AzureResponsesProvider(AzureProvider, ResponsesProvider):
    """The same for models that only live on the Responses API, which Azure has on its v1 path."""

    def wire(self, request: Request) -> WireRequest:
        """Always by the v1 path."""
        return WireRequest(f"{self._resource.origin}/openai/v1/responses", self.headers(), self.body(request))
