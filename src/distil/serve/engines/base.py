"""What answers a request: a model in this process, or any OpenAI-compatible server. Not the decision between them: gateway.py.

Called by stage.py (which makes one) and gateway.py (which asks it).
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from distil.errors import UserError
from distil.ids import content_id
from distil.serve.wire import ChatReply, ChatRequest


class Engine(Protocol):
    """One model that answers chat requests."""

    identity: str
    """Changes when the model changes: a calibrated threshold is bound to it. Known after `start`."""

    async def start(self) -> None:
        """Gets ready to answer. Raises UserError when it can't."""
        ...

    async def stop(self) -> None:
        """Ends its threads and connections; requests under way fail."""
        ...

    async def answer(self, asked: ChatRequest) -> ChatReply:
        """Answers with token log-probabilities where it can. Raises BadRequest (EngineFailed, Overloaded among them)."""
        ...

    def gauges(self) -> dict[str, float]:
        """Figures for /metrics: name -> value."""
        ...


def split_url(ref: str) -> tuple[str, str]:
    """`http://host:8001/v1#name` -> (base url, model name). Raises UserError."""
    base, _, name = ref.partition("#")
    if not base.startswith(("http://", "https://")) or not name:
        raise UserError(
            f"serve.engine: found {ref!r}, expected a URL with the model's name, such as http://127.0.0.1:8001/v1#name."
        )
    return base.rstrip("/"), name


def engine_key(variable: str | None) -> str | None:
    """The key of a server behind, from the environment. Raises UserError when the variable is not set."""
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise UserError(f"serve.engine_key_env names {variable}, which is not set. Type: export {variable}=...")
    return key


def make_engine(
    ref: str, *, batch_size: int, queue: int, engine: str | None = None, key_env: str | None = None, **load: Any
) -> Engine:
    """The engine for a local model reference, or for the server `engine` when one is named."""
    if engine is not None:
        from distil.serve.engines.upstream import UpstreamEngine

        base, name = split_url(engine)
        return UpstreamEngine(base, name, engine_key(key_env))
    from distil.serve.engines.local import LocalEngine

    return LocalEngine(ref, batch_size=batch_size, queue=queue, **load)


def identity_of(ref: str, engine: str | None) -> str:
    """The identity that the engine for `ref` or `engine` has, without starting it."""
    if engine is not None:
        return content_id("server", list(split_url(engine)))
    from distil.serve.engines.local import model_identity

    return model_identity(ref)
