"""Engine: an OpenAI-compatible server in front of the student (vLLM, SGLang, llama.cpp, ...). Made by engines.make_engine.

Not the way to the teacher: what costs money goes through distil.calls. Log-probabilities are always asked for, since the
confidence is made from them, and taken out again where the client did not want them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from distil.ids import content_id
from distil.records import Usage
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed

TIMEOUT_S = 600.0


class UpstreamEngine:
    """Asks `base`/chat/completions for the model `name`."""

    def __init__(self, base: str, name: str, key: str | None = None) -> None:
        self.base, self.name = base, name
        self.identity = content_id("server", [base, name])
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: Any = None
        self.failures = 0

    async def start(self) -> None:
        """Opens the connection pool; the server itself is first asked by a request."""
        import aiohttp

        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def stop(self) -> None:
        """Closes the connections."""
        await self._session.close()

    def gauges(self) -> dict[str, float]:
        """How often the server could not answer."""
        return {"distil_engine_failures_total": self.failures}

    async def answer(self, asked: ChatRequest) -> ChatReply:
        """Raises BadRequest with the server's own message and status, or EngineFailed when it can't be reached."""
        import aiohttp

        body = self._body(asked) | {"stream": False, "logprobs": True}
        body.pop("stream_options", None)
        try:
            async with self._session.post(f"{self.base}/chat/completions", json=body) as reply:
                raw = await reply.read()
                if reply.status != 200:
                    raise self._refused(reply.status, raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            raise EngineFailed(f"The student's server {self.base} does not answer ({type(error).__name__}).") from None
        return self._parse(raw, asked)

    async def stream(self, asked: ChatRequest) -> AsyncIterator[bytes]:
        """The server's own stream, byte by byte; a cut connection ends with an error event, never as if all was well."""
        import aiohttp

        try:
            async with self._session.post(f"{self.base}/chat/completions", json=self._body(asked)) as reply:
                if reply.status != 200:
                    raise self._refused(reply.status, await reply.read())
                done = False
                async for line in reply.content:
                    done = done or line.strip() == b"data: [DONE]"
                    yield line
            if not done:
                raise EngineFailed(f"The student's server {self.base} ended the stream early.")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failures += 1
            raise EngineFailed(f"The student's server {self.base} broke off ({type(error).__name__}).") from None

    def _body(self, asked: ChatRequest) -> dict[str, Any]:
        sampling = asked.sampling
        return asked.body | {
            "model": self.name,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
        }

    def _refused(self, status: int, raw: bytes) -> BadRequest:
        self.failures += 1
        try:
            error = json.loads(raw).get("error") or {}
            message = error.get("message") if isinstance(error, dict) else str(error)
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
            message = raw[:300].decode("utf-8", "replace")
        if status in (400, 413, 422):
            return BadRequest(str(message), status=400)
        return EngineFailed(f"The student's server answered {status}: {message}")

    def _parse(self, raw: bytes, asked: ChatRequest) -> ChatReply:
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
                logprobs=content if asked.logprobs else None,
            )
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
            self.failures += 1
            raise EngineFailed(
                f"The student's server sent no readable answer ({type(error).__name__}: {error})."
            ) from None
