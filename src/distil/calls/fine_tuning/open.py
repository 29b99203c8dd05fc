"""Opens a provider's fine-tuning API: its address and its key from the environment, and its class, loaded on use.

The addresses are read from the variables that the vendors' own SDKs read (TOGETHER_BASE_URL, FIREWORKS_BASE_URL, OPENAI_BASE_URL,
AZURE_OPENAI_ENDPOINT), so that a gateway in front of one works here, too. A key is never written anywhere.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from distil.calls.batch.net import TRIES, Http
from distil.calls.fine_tuning.account import Account
from distil.calls.fine_tuning.api import FineTuningApi
from distil.calls.fine_tuning.offers import APIS, Offer
from distil.calls.keys import clean_key
from distil.calls.providers import azure, hosts
from distil.calls.providers.hosts import HOSTS
from distil.errors import UserError

FIREWORKS = "https://api.fireworks.ai"
_BASE_URL = {"together": "TOGETHER_BASE_URL", "fireworks": "FIREWORKS_BASE_URL", "openai": "OPENAI_BASE_URL"}
KEPT = "A job that was created and its files"


def open_account(offer: Offer, environ: Mapping[str, str]) -> Account:
    """The account that the environment names. Raises UserError with what to type when the key or the address is missing."""
    name = offer.name
    variable = hosts.first_set(environ, HOSTS[name].keys) or HOSTS[name].keys[0]
    key = clean_key(environ.get(variable, ""), variable)
    if not key:
        raise UserError(
            f"Fine-tuning at {offer.title} needs your API key: the environment variable {variable} is not set. Type "
            f"`export {variable}=...` and run again. It is never written to a file."
        )
    if name == "azure":
        found = azure.resource(hosts.address(name, environ, f"{name}/MODEL"))
        address = f"{found.origin}/openai" + ("" if found.version else "/v1")
        resource = hosts.with_version(found.origin, found.version)
        return Account(offer.title, address, {"api-key": key}, key=key, variable=variable, serves=resource)
    given = hosts.clean_url(environ.get(_BASE_URL[name], ""))
    headers = {"Authorization": f"Bearer {key}"}
    serves: str | None = given or None
    if name == "fireworks":
        url = given.removesuffix("/v1").removesuffix("/inference") or FIREWORKS
        serves = f"{url}/inference/v1" if given else None
    else:
        url = given or str(HOSTS[name].base_url)
    return Account(offer.title, url, headers, key=key, variable=variable, serves=serves)


@asynccontextmanager
async def open_fine_tuning(offer: Offer, environ: Mapping[str, str]) -> AsyncIterator[FineTuningApi]:
    """The provider's API with its HTTP session. Raises UserError."""
    account = open_account(offer, environ)
    module, _, name = APIS[offer.name].partition(":")
    kind = getattr(importlib.import_module(module), name)
    options: dict[str, object] = {}
    if offer.name == "fireworks":
        options["account_id"] = environ.get("FIREWORKS_ACCOUNT_ID", "").strip() or None
    if offer.name == "azure":
        options["version"] = azure.resource(hosts.address("azure", environ, "azure/MODEL")).version
    async with Http(account, tries=TRIES, kept=KEPT) as http:
        yield kind(http, account, **options)
