"""Engine: an OpenAI-compatible server in front of the student (vLLM, SGLang, llama.cpp, ...).

Not for the teacher: what costs money goes through distil.calls. Log-probabilities are always requested, since the confidence
is computed from them, and removed from the reply where the client did not want them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import aiohttp

from distil.calls.keys import clean_key
from distil.endings import ending
from distil.errors import UserError
from distil.ids import content_id
from distil.records import Usage
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed, JsonObject, TooLong
from distil.text import one_line

TIMEOUT_S = 600.0
START_S = 600.0
"""How long `wait_until_ready` waits for a server that says that it is still loading its model."""
READY_S = 2.0
_TOO_LONG = re.compile(r"context|too (?:long|large)|maximum.{0,20}tokens", re.IGNORECASE)
DATA = b"data: "


class UpstreamEngine:
    """Sends requests for the model `name` to `base`/chat/completions."""

    def __init__(self, base: str, name: str, key: str | None = None) -> None:
        self.base, self.name = base, name
        self.identity = server_identity(base, name)
        # Together takes a number there (its SDK's chat.completion_create_params).
        self._logprobs: bool | int = (
            1 if (urlsplit(base).hostname or "").endswith((".together.xyz", ".together.ai")) else True
        )
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
        body = self._body(request) | {"stream": False, "logprobs": self._logprobs}
        if not body.get("top_logprobs"):
            body["top_logprobs"] = 1  # where none is named llama.cpp sends 20 for each token
        body.pop("stream_options", None)
        try:
            async with self._post(body) as response:
                raw = await response.read()
                if response.status != 200:
                    raise self._refusal(response.status, raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            raise EngineFailed(
                f"The student's server does not answer ({type(error).__name__}).", detail=self.base
            ) from None
        return self._parse(raw, request)

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
                    raw = await response.read()
                    if response.status == 200:
                        return
                    fault = str(self._refusal(response.status, raw))
                    loading = response.status == 503
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
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

    async def stream(self, request: ChatRequest) -> AsyncIterator[bytes]:
        """The server's own events, under the name that the client asked for. A cut connection raises EngineFailed instead of
        looking like an end."""
        try:
            async with self._post(self._body(request)) as response:
                if response.status != 200:
                    raise self._refusal(response.status, await response.read())
                done = False
                async for line in response.content:
                    done = done or line.strip() == b"data: [DONE]"
                    yield _renamed(line, request.model)
            if not done:
                raise EngineFailed("The student's server ended the stream early.", detail=self.base)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            message = f"The connection to the student's server broke ({type(error).__name__})."
            raise EngineFailed(message, detail=self.base) from None

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
            return TooLong(str(message)) if _TOO_LONG.search(str(message)) else BadRequest(str(message))
        return EngineFailed(f"The student's server answered {status}: {message}")

    def _parse(self, raw: bytes, request: ChatRequest) -> ChatReply:
        try:
            body = json.loads(raw)
            choice = body["choices"][0]
            message = choice["message"]
            found = choice.get("logprobs") or {}
            content = found.get("content") or []
            # Together's shape: the numbers alone.
            bare = [{"logprob": value} for value in found.get("token_logprobs") or [] if value is not None]
            usage = body.get("usage") or {}
            finish_reason = choice.get("finish_reason")
            if ending(finish_reason) == "fault":
                raise ValueError(f"the finish reason is {finish_reason!r}")
            return ChatReply(
                text=_text(message.get("content")),
                finish_reason=finish_reason,
                usage=Usage(
                    input_tokens=usage.get("prompt_tokens") or 0,
                    output_tokens=usage.get("completion_tokens") or len(content),
                ),
                tool_calls=message.get("tool_calls") or None,
                token_logprobs=[_logprob(token) for token in content or bare],
                logprobs=_openai_logprobs(content, request.sampling.top_logprobs or 0) if request.logprobs else None,
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            self.failures += 1
            raise EngineFailed(
                f"The student's server sent an unreadable answer ({type(error).__name__}: {one_line(str(error), 200)})."
            ) from None


def _text(content: object) -> str:
    """A message's content: a text, nothing, or a list of parts of which some are texts. Raises TypeError otherwise."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise TypeError(f"content is a {type(content).__name__}")
    return "".join(part["text"] for part in content if part.get("type") == "text")


def _logprob(token: JsonObject) -> float:
    """A natural log-probability; rounding may put it just above 0. Raises ValueError for what is none."""
    value = float(token["logprob"])
    if not value <= 1e-3:  # also NaN
        raise ValueError(f"logprob {value} is not that of a probability")
    return min(value, 0.0)


def _openai_logprobs(content: list[JsonObject], alternatives: int) -> list[JsonObject]:
    """OpenAI's fields and as many alternatives as the client asked for; servers send more of both."""
    fields = ("token", "logprob", "bytes")

    def of_openai(token: JsonObject) -> JsonObject:
        return {name: token.get(name) for name in fields}

    return [
        of_openai(token)
        | {"top_logprobs": [of_openai(other) for other in (token.get("top_logprobs") or [])[:alternatives]]}
        for token in content
    ]


def _renamed(line: bytes, model: str) -> bytes:
    """A server-sent event with the gateway's name of the model: a server's own may be a path on its disk."""
    if not line.startswith(DATA) or b'"model"' not in line:
        return line
    try:
        event = json.loads(line[len(DATA) :])
    except (ValueError, RecursionError):
        return line
    if not isinstance(event, dict) or event.get("model") == model:
        return line
    named = json.dumps(event | {"model": model}, ensure_ascii=False, separators=(",", ":"))
    return DATA + named.encode("utf-8", "replace") + line[len(line.rstrip()) :]


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
