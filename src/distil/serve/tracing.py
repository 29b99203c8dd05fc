"""A span for each answered request, sent by OpenTelemetry: only where it is installed and OTEL_EXPORTER_OTLP_ENDPOINT is set.

Names are OpenTelemetry's semantic conventions for generative AI (opentelemetry.io/docs/specs/semconv/gen-ai). No contents.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from distil.progress import say
from distil.serve.served import Served, Watcher

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def spans() -> tuple[Watcher, Callable[[], None]] | None:
    """(a watcher, what ends it); None where nothing is to be sent, or the packages for it are missing."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return None
    if any(not _installed(name) for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")):
        say("distil serve: OTEL_EXPORTER_OTLP_ENDPOINT is set, but there is no OpenTelemetry to send spans with. Type: pip "
            "install 'distil[tracing]'")  # fmt: skip
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "distil"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return watcher(provider), provider.shutdown


def watcher(provider: TracerProvider) -> Watcher:
    """Makes a span of each answered request."""
    from opentelemetry.trace import SpanKind

    tracer = provider.get_tracer("distil.serve")

    def watch(served: Served) -> None:
        end = int(served.at * 1e9)
        span = tracer.start_span(
            f"chat {served.request.model}",
            kind=SpanKind.SERVER,
            attributes=attributes(served),
            start_time=end - int(served.seconds * 1e9),
        )
        span.end(end)

    return watch


def attributes(served: Served) -> dict[str, str | float | int | list[str]]:
    """What a span says."""
    request, usage = served.request, served.reply.usage
    found: dict[str, str | float | int | list[str] | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "distil",
        "gen_ai.request.model": request.model,
        "gen_ai.request.temperature": request.sampling.temperature,
        "gen_ai.request.max_tokens": request.sampling.max_tokens,
        "gen_ai.request.top_p": request.sampling.top_p,
        "gen_ai.response.id": served.id,
        "gen_ai.response.finish_reasons": [served.reply.finish_reason],
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "distil.answered_by": served.decision.by,
        "distil.reason": served.decision.reason,
        "distil.confidence": served.confidence,
        "distil.usd": served.usd,
    }
    return {name: value for name, value in found.items() if value is not None}


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False
