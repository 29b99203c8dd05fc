"""Engine: an OpenAI-compatible server in front of the student (vLLM, SGLang, llama.cpp, ...).

Not for the teacher: what costs money goes through distil.calls. Log-probabilities are always requested, since the confidence
is computed from them, and removed from the reply where the client did not want them.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import aiohttp

from distil.calls.keys import clean_key
from distil.errors import UserError
from distil.ids import content_id
from distil.records import Usage
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed, JsonObject

TIMEOUT_S = 600.0


class UpstreamEngine:
    """Sends requests for the model `name` to `base`/chat/completions."""

    def __init__(self, base: str, name: str, key: str | None = None) -> None:
        self.base, self.name = base, name
        self.identity = server_identity(base, name)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None
        self.failures = 0

    async def start(self) -> None:
        """Opens the connection pool; nothing is sent yet."""
        timeout, connector = aiohttp.ClientTimeout(total=TIMEOUT_S), aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector)

    async def stop(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    def gauges(self) -> dict[str, float]:
        """How many requests the server could not answer."""
        return {"distil_engine_failures_total": self.failures}

    async def answer(self, request: ChatRequest) -> ChatReply:
        """Raises BadRequest with the server's own message and status, or EngineFailed when it can't be reached."""
        body = self._body(request) | {"stream": False, "logprobs": True}
        body.pop("stream_options", None)
        try:
            async with self._post(body) as response:
                raw = await response.read()
                if response.status != 200:
                    raise self._refusal(response.status, raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            raise EngineFailed(f"The student's server {self.base} does not answer ({type(error).__name__}).") from None
        return self._parse(raw, request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[bytes]:
        """The server's own stream, byte by byte. A cut connection raises EngineFailed instead of looking like an end."""
        try:
            async with self._post(self._body(request)) as response:
                if response.status != 200:
                    raise self._refusal(response.status, await response.read())
                done = False
                async for line in response.content:
                    done = done or line.strip() == b"data: [DONE]"
                    yield line
            if not done:
                raise EngineFailed(f"The student's server {self.base} ended the stream early.")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            raise EngineFailed(
                f"The connection to the student's server {self.base} broke ({type(error).__name__})."
            ) from None

    def _post(self, body: JsonObject) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._session is not None, "the engine is not started"
        # No redirect is followed: it would carry the prompts to another server.
        return self._session.post(f"{self.base}/chat/completions", json=body, allow_redirects=False)

    def _body(self, request: ChatRequest) -> JsonObject:
        sampling = request.sampling
        return request.body | {
            "model": self.name,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
        }

    def _refusal(self, status: int, raw: bytes) -> BadRequest:
        self.failures += 1
        try:
            error = json.loads(raw).get("error") or {}
            message = error.get("message") if isinstance(error, dict) else str(error)
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
            message = raw[:300].decode("utf-8", "replace")
        if status in (400, 413, 422):
            return BadRequest(str(message), status=400)
        return EngineFailed(f"The student's server answered {status}: {message}")

    def _parse(self, raw: bytes, request: ChatRequest) -> ChatReply:
        try:
            body = json.loads(raw)
            choice = body["choices"][0]
            message = choice["message"]
            content = (choice.get("logprobs") or {}).get("content") or []
            usage = body.get("usage") or {}
            return ChatReply(
                text=message.get("content") or "",
                finish_reason=choice.get("finish_reason") or "stop",
                usage=Usage(
                    input_tokens=usage.get("prompt_tokens", 0),
                    output_tokens=usage.get("completion_tokens", len(content)),
                ),
                tool_calls=message.get("tool_calls") or None,
                token_logprobs=[float(token["logprob"]) for token in content],
                logprobs=content if request.logprobs else None,
            )
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
            self.failures += 1
            raise EngineFailed(
                f"The student's server sent an unreadable answer ({type(error).__name__}: {error})."
            ) from None


def split_url(ref: str) -> tuple[str, str]:
    """`http://host:8001/v1#name` -> (base url, model name). Raises UserError."""
    base, _, name = ref.partition("#")
    if not base.startswith(("http://", "https://")) or not name:
        raise UserError(
            f"serve.engine: found {ref!r}, expected a URL with the model's name, such as http://127.0.0.1:8001/v1#name."
        )
    return base.rstrip("/"), name


def engine_key(variable: str | None) -> str | None:
    """The API key in an environment variable. Raises UserError when the variable is not set."""
    if variable is None:
        return None
    key = clean_key(os.environ.get(variable, ""), variable)
    if not key:
        raise UserError(f"serve.engine_key_env names {variable}, which is not set. Type: export {variable}=...")
    return key


def server_identity(base: str, name: str) -> str:
    """Hash of a server's address and its model's name: a server reveals no more about its model."""
    return content_id("server", [base, name])
