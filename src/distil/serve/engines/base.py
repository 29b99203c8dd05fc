"""The engine of a student: a model in this process, or an OpenAI-compatible server in front of it. Not the fallback."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from distil import loops
from distil.calls.fine_tuning.served import as_engine, tuned
from distil.progress import say
from distil.runs.artifacts import Project
from distil.serve.config import ServeConfig
from distil.serve.engines.local import LocalEngine, model_identity
from distil.serve.engines.piece import Piece
from distil.serve.engines.upstream import UpstreamEngine, engine_key, server_identity, split_url
from distil.serve.wire import ChatReply, ChatRequest


class Engine(Protocol):
    """One model that answers chat requests."""

    identity: str
    """Changes when the model changes: a calibrated threshold is bound to it. Set by `start` at the latest."""

    async def start(self) -> None:
        """Gets ready to answer. Raises UserError when it can't."""
        ...

    async def stop(self) -> None:
        """Ends its threads and connections; waiting requests fail."""
        ...

    async def answer(self, request: ChatRequest) -> ChatReply:
        """Answers, with token log-probabilities where it can. Raises BadRequest (EngineFailed, Overloaded among them)."""
        ...

    async def ready(self) -> bool:
        """Whether it could answer now."""
        ...

    def gauges(self) -> dict[str, float]:
        """Figures for /metrics: name -> value."""
        ...


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine that can pass on an answer while it is generated."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """The answer in pieces, with token log-probabilities where it can. Closed early (`aclose`), it stops generating.

        Raises BadRequest (EngineFailed, Overloaded among them): before the first piece where the request is refused, later where
        the answer breaks off. Without an error the last pieces have the finish reason and the usage.
        """
        ...


@runtime_checkable
class CountingEngine(Engine, Protocol):
    """An engine that knows how many tokens a request has."""

    async def count_tokens(self, request: ChatRequest) -> int:
        """Tokens of the rendered conversation. Raises BadRequest."""
        ...


def make_engine(
    ref: str,
    *,
    batch_size: int,
    queue: int,
    engine: str | None = None,
    key_env: str | None = None,
    scored_streams: bool = True,
) -> Engine:
    """The engine for a local model reference, or for the server `engine` when one is named. Raises UserError.

    scored_streams: whether somebody reads the log-probabilities of its streams.
    """
    if engine is None:
        return LocalEngine(ref, batch_size=batch_size, queue=queue)
    base, name = split_url(engine)
    return UpstreamEngine(base, name, engine_key(key_env), scored_streams=scored_streams)


def behind_provider(project: Project, name: str, section: ServeConfig) -> ServeConfig:
    """The section with the address of a student that was tuned at a provider; unchanged where it names an engine itself.

    Raises UserError when the student's job is not done.
    """
    if section.engine is not None or project.model(name).is_dir():
        return section
    serving = tuned(project.provider_job(name), name)
    if serving is None:
        return section
    engine, key_env = as_engine(serving)
    return section.model_copy(update={"engine": engine, "engine_key_env": section.engine_key_env or key_env})


def require_answers(engine: str | None, key_env: str | None) -> None:
    """Waits until the server `engine` has loaded its model; nothing to do without one. Raises UserError when it can't answer."""
    if engine is None:
        return
    base, name = split_url(engine)
    server = UpstreamEngine(base, name, engine_key(key_env))

    async def wait() -> None:
        await server.start()
        try:
            await server.wait_until_ready(lambda: say(f"Waiting for {engine}, which is loading its model"))
        finally:
            await server.stop()

    loops.run(wait())


def identity_of(ref: str, engine: str | None) -> str:
    """The identity that the engine for `ref` or `engine` has, without starting it."""
    return model_identity(ref) if engine is None else server_identity(*split_url(engine))
