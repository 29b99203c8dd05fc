"""A span for each answered request, under the names of OpenTelemetry's own package of semantic conventions."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from distil.records import Message, Sampling, Usage
from distil.serve.policy import Decision
from distil.serve.served import Served
from distil.serve.tracing import attributes, spans, watcher
from distil.serve.wire import Caller, ChatReply, ChatRequest

KNOWN = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}


def served() -> Served:
    request = ChatRequest(
        "student", [Message(role="user", content="SECRET")], Sampling(), caller=Caller("req_1", "app")
    )
    reply = ChatReply("SECRET", "stop", Usage(input_tokens=12, output_tokens=34))
    return Served(request, Decision("student", "confident"), 0.9, reply, None, 0.5, at=1_700_000_000.0)


def test_the_names_are_those_of_the_conventions() -> None:
    names = [name for name in attributes(served()) if name.startswith("gen_ai.")]
    assert len(names) > 6 and set(names) <= KNOWN


def test_a_span_lasts_as_long_as_its_request_without_contents() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watcher(provider)(served())
    (span,) = exporter.get_finished_spans()
    assert span.name == "chat student" and span.start_time is not None and span.end_time is not None
    assert span.end_time - span.start_time == 500_000_000
    assert span.attributes is not None and span.attributes["gen_ai.usage.output_tokens"] == 34
    assert "SECRET" not in span.to_json()


def test_without_an_endpoint_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert spans() is None
