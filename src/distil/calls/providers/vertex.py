"""vertex/NAME: Gemini on Google Cloud. The wire format is the Gemini API's (google.py); address and key are Google Cloud's.

With a project: {LOCATION-}aiplatform.googleapis.com/.../projects/PROJECT/locations/LOCATION/..., and an access token. Without one
(express mode): aiplatform.googleapis.com/.../publishers/google/models/NAME, and an API key. Sends nothing, but may run gcloud.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.calls.faults import FaultKind
from distil.calls.providers.base import WireRequest
from distil.calls.providers.google import GoogleProvider
from distil.calls.request import JsonObject, Request
from distil.errors import UserError

TOKEN_LIFE_S = 1800.0
"""Google's access tokens last an hour."""
GCLOUD_S = 60.0


class VertexKey(NamedTuple):
    """How requests are allowed: one of the three."""

    api_key: str | None = None
    """Express mode."""
    token: str | None = None
    """An access token, from the environment: it ends within the hour."""
    command: Sequence[str] = ()
    """Prints a new access token."""


class VertexProvider(GoogleProvider):
    """One Gemini model. base_url: up to and without /publishers, as `address` makes it."""

    def __init__(self, name: str, base_url: str, api_key: VertexKey | None) -> None:
        super().__init__(name.removeprefix("publishers/google/models/"), base_url, None)
        self._credential = api_key or VertexKey()
        self._token: tuple[str, float] | None = None
        self._lock = asyncio.Lock()

    def wire(self, request: Request) -> WireRequest:
        """The model's name is in the URL."""
        url = f"{self.base_url}/publishers/google/models/{self.name}:generateContent"
        return WireRequest(url, self.headers(), self.body(request))

    def body(self, request: Request) -> JsonObject:
        """Raises UserError for the flex tier, which the request's body does not choose here."""
        if request.tier == "flex":
            raise UserError(
                "Distil does not use Vertex AI's flex tier. Set `collect.tier` to standard, or use google/ instead."
            )
        return super().body(request)

    async def signed(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers with an API key or a token that is still good. Raises UserError when gcloud gives none."""
        if self._credential.api_key:
            return {**headers, "x-goog-api-key": self._credential.api_key}
        token = self._credential.token
        if self._credential.command:
            async with self._lock:
                if self._token is None or time.monotonic() > self._token[1]:
                    made = await asyncio.to_thread(access_token, self._credential.command)
                    self._token = made, time.monotonic() + TOKEN_LIFE_S
                token = self._token[0]
        return {**headers, "Authorization": f"Bearer {token}"} if token else dict(headers)

    def _explain(self, status: int, kind: FaultKind, word: str, message: str) -> str:
        detail = f" It says: {message}" if message else ""
        if kind == "auth":
            return (
                f"Google Cloud refused the request for {self.name} ({status} {word}).{detail} An access token lasts an hour: "
                "make a new one (`export VERTEX_ACCESS_TOKEN=$(gcloud auth print-access-token)`), or leave "
                "VERTEX_ACCESS_TOKEN out so that gcloud is asked for each. Check that the project has the Vertex AI API "
                "switched on."
            )
        if kind == "not_found":
            return (
                f"Vertex AI has no model {self.name!r} at {self.base_url} ({status}).{detail} Correct `model` in distil.yaml, "
                "or the region: export GOOGLE_CLOUD_LOCATION=global"
            )
        return super()._explain(status, kind, word, message)


def address(project: str | None, location: str, host: str | None = None) -> str:
    """The URL before /publishers. project None: express mode, which has no location."""
    region = "" if project is None or location == "global" else f"{location}-"
    origin = (
        (host or f"https://{region}aiplatform.googleapis.com").rstrip("/").removesuffix("/v1beta1").removesuffix("/v1")
    )
    return f"{origin}/v1beta1" + (f"/projects/{project}/locations/{location}" if project is not None else "")


def access_token(command: Sequence[str]) -> str:
    """What the command prints. Raises UserError with its own words when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GCLOUD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(
            f"`{' '.join(command)}` could not be run ({type(error).__name__}). Set VERTEX_ACCESS_TOKEN to its output yourself."
        ) from None
    token = done.stdout.strip()
    if done.returncode or not token:
        said = " ".join(done.stderr.split())[:300]
        raise UserError(
            f"`{' '.join(command)}` gave no token: {said or 'no output'}. Log in with `gcloud auth login`, then run again."
        )
    return token
