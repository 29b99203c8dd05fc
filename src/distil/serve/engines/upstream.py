"""Engine: an OpenAI-compatible server in front of the student (vLLM, SGLang, llama.cpp, ...).

Not for the teacher: what costs money goes through distil.calls. Log-probabilities are always requested, since the confidence
is computed from them, and removed from the reply where the client did not want them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import aiohttp

from distil.calls.http.body import TooLarge, whole_body
from distil.calls.keys import clean_key
from distil.errors import UserError
from distil.ids import content_id
from distil.serve.addresses import without_addresses
from distil.serve.engines.forwarded import forwarded
from distil.serve.engines.piece import Piece
from distil.serve.engines.reading import UNREADABLE, read_events, read_reply
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed, JsonObject, TooLong
from distil.text import one_line

TIMEOUT_S = 600.0
START_S = 600.0
"""How long `wait_until_ready` waits for a server that says that it is still loading its model."""
READY_S = 2.0
_TOO_LONG = re.compile(r"context|too (?:long|large)|maximum.{0,20}tokens", re.IGNORECASE)
GATHER_S = 0.03
"""What a stream brings within this time is passed on as one piece: one for each token would cost 20 times a plain reply."""
MAX_LINE = 4 << 20
"""Bytes of one event of a stream."""
LARGE = 1 << 18
"""Bytes of a reply from which reading it may hold up others."""


class UpstreamEngine:
    """Sends requests for the model `name` to `base`/chat/completions."""

    def __init__(self, base: str, name: str, key: str | None = None, *, scored_streams: bool = True) -> None:
        """scored_streams: whether streams need log-probabilities also where the client wants none."""
        self._scored_streams = scored_streams
        self.base, self.name = base, name
        self.identity = server_identity(base, name)
        # Together takes a number there (its SDK's chat.completion_create_params).
        self._logprobs: bool | int = (
            1 if (urlsplit(base).hostname or "").endswith((".together.xyz", ".together.ai")) else True
        )
        # Packed, a stream would have to be unpacked piece by piece, and a reply of a kilobyte could be a gigabyte.
        self._headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._session: aiohttp.ClientSession | None = None
        self.failures = 0

    async def start(self) -> None:
        """Opens the connection pool; nothing is sent yet."""
        timeout, connector = aiohttp.ClientTimeout(total=TIMEOUT_S), aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=timeout, connector=connector, auto_decompress=False
        )

    async def stop(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def ready(self) -> bool:
        """Whether something listens there that does not say that it is loading or broken."""
        assert self._session is not None, "the engine is not started"
        try:
            async with self._session.get(
                f"{self.base}/models", timeout=aiohttp.ClientTimeout(total=READY_S)
            ) as response:
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def gauges(self) -> dict[str, float]:
        """How many requests the server could not answer."""
        return {"distil_engine_failures_total": self.failures}

    async def answer(self, request: ChatRequest) -> ChatReply:
        """Raises BadRequest with the server's own message and status, or EngineFailed when it can't be reached."""
        body = forwarded(request, self.name) | {"stream": False, "logprobs": self._logprobs}
        if not body.get("top_logprobs"):
            body["top_logprobs"] = 1  # where none is named llama.cpp sends 20 for each token
        try:
            async with self._post(body) as response:
                raw = await whole_body(response)
                if response.status != 200:
                    raise self._refusal(response.status, raw)
        except (TooLarge, ValueError) as error:
            raise self._unreadable(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            raise EngineFailed(
                f"The student's server does not answer ({type(error).__name__}).", detail=self.base
            ) from None
        read = functools.partial(read_reply, raw, request)
        try:
            return await asyncio.to_thread(read) if len(raw) > LARGE else read()
        except UNREADABLE as error:
            raise self._unreadable(error) from None

    async def wait_until_ready(self, on_wait: Callable[[], None], seconds: float = START_S) -> None:
        """Asks for one token, and again while the server is loading its model (503), after `on_wait()`.

        Raises UserError when nothing listens, or when the server refuses: a gateway whose student can't be reached would send
        every request to the teacher.
        """
        body = {"model": self.name, "messages": [{"role": "user", "content": "?"}], "max_tokens": 1, "temperature": 0}
        deadline, waiting = time.monotonic() + seconds, False
        while True:
            try:
                async with self._post(body) as response:
                    raw = await whole_body(response)
                    if response.status == 200:
                        return
                    refusal = self._refusal(response.status, raw)
                    fault = f"{refusal} {refusal.detail}" if isinstance(refusal, EngineFailed) else str(refusal)
                    loading = response.status == 503
            except (aiohttp.ClientError, TimeoutError, OSError, TooLarge, ValueError) as error:
                fault, loading = f"No answer from {self.base} ({type(error).__name__}).", False
            if not loading or time.monotonic() >= deadline:
                raise UserError(
                    f"serve.engine is {self.base}#{self.name}. {fault} Start the student's server first, and give its URL with "
                    "/v1 and the name under which it serves the model (its /v1/models lists it)."
                )
            if not waiting:
                on_wait()
                waiting = True
            await asyncio.sleep(1)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """What comes at once is one piece. A stream that ends inside a line, without a finish reason or without `[DONE]` is
        broken: EngineFailed, as for a server that falls silent."""
        body = forwarded(request, self.name) | {"stream": True, "stream_options": {"include_usage": True}}
        if self._scored_streams or request.logprobs:
            body |= {"logprobs": self._logprobs, "top_logprobs": body.get("top_logprobs") or 1}
        try:
            async with self._post(body) as response:
                if response.status != 200:
                    raise self._refusal(response.status, await whole_body(response))
                rest, finished, done = b"", False, False
                async for part in response.content.iter_any():
                    lines, newline, rest = (rest + part).rpartition(b"\n")
                    if len(rest) > MAX_LINE:
                        raise ValueError(f"a line of more than {MAX_LINE >> 20} MB")
                    if newline:
                        piece, ended = read_events(lines, request)
                        finished, done = finished or piece.finish_reason is not None, done or ended
                        yield piece
                        if not done:
                            await asyncio.sleep(GATHER_S)
                if rest.strip() or not finished or not done:
                    raise EngineFailed("The student's server ended the stream early.", detail=self.base)
        except UNREADABLE as error:
            raise self._unreadable(error) from None
        except TooLarge:
            raise self._unreadable(ValueError("a refusal of many megabytes")) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            message = f"The connection to the student's server broke ({type(error).__name__})."
            raise EngineFailed(message, detail=self.base) from None

    def _post(self, body: JsonObject) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._session is not None, "the engine is not started"
        # No redirect is followed: it would carry the prompts to another server.
        return self._session.post(f"{self.base}/chat/completions", json=body, allow_redirects=False)

    def _refusal(self, status: int, raw: bytes) -> BadRequest:
        self.failures += 1
        try:
            error = json.loads(raw).get("error") or {}
            message = error.get("message") if isinstance(error, dict) else str(error)
        except (ValueError, AttributeError, RecursionError):
            message = raw[:300].decode("utf-8", "replace")
        if status in (400, 413, 422):
            told = without_addresses(str(message))
            return TooLong(told) if _TOO_LONG.search(told) else BadRequest(told)
        return EngineFailed(
            f"The student's server answered {status}.", detail=f"{self.base}: {one_line(str(message), 300)}"
        )

    def _unreadable(self, error: Exception) -> EngineFailed:
        self.failures += 1
        what = f"{type(error).__name__}: {one_line(str(error), 200)}"
        return EngineFailed("The student's server sent an unreadable answer.", detail=f"{self.base}: {what}")


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
