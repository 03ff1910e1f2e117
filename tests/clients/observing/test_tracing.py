from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from support.stub_server import StubServer, correct_answer
from support.toy import toy_contract

from camserve.clients import AsyncClassifier, Classifier
from camserve.clients.observing.monitor import Monitor
from camserve.errors import ConnectionFailedError, DeadlineError


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collect the spans of the test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # set_tracer_provider accepts only one provider per process.
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def attributes(span: Any) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_request_is_a_span_with_server_and_version(exporter: InMemorySpanExporter) -> None:
    with Monitor().observe("signs") as observed:
        observed.record_reply("dns:///triton.example:8001", "3", 4096, 2)
    span = only(exporter)
    assert (span.name, span.kind, span.status.status_code) == (
        "camserve infer signs",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert attributes(span) == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
        "server.address": "triton.example",
        "server.port": 8001,
        "camserve.model": "signs",
        "camserve.model_version": "3",
        "camserve.received_bytes": 4096,
        "camserve.tries": 2,
    }


@pytest.mark.parametrize(
    ("url", "address", "port"), [("[::1]:8001", "::1", 8001), ("unix:/run/triton.sock", "unix:/run/triton.sock", None)]
)
def test_address_is_split_into_attributes(url: str, address: str, port: int | None, exporter: Any) -> None:
    with Monitor().observe("signs") as observed:
        observed.record_reply(url, "3", 4096, 1)
    found = attributes(only(exporter))
    assert (found["server.address"], found.get("server.port")) == (address, port)


def test_failed_attempt_is_a_span_event(exporter: InMemorySpanExporter) -> None:
    with Monitor().observe("signs") as observed:
        observed.record_failure("a:1", ConnectionFailedError("gone\nwith the wind"), 0.25)
        observed.record_reply("b:2", "3", 4096, 2)
    (event,) = only(exporter).events
    assert attributes(event) == {
        "server.address": "a",
        "server.port": 1,
        "error.type": "ConnectionFailedError",
        "error.message": "gone\\nwith the wind",
        "camserve.delay": 0.25,
    }


def test_error_is_the_span_status_without_traceback(exporter: InMemorySpanExporter) -> None:
    error = DeadlineError("too late", hint="Allow more time")

    def fail() -> None:
        with Monitor().observe("signs") as observed:
            observed.record_failure("a:1", error, None)
            raise error from ValueError("what a cause quotes")

    with pytest.raises(DeadlineError):
        fail()
    span = only(exporter)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "too late")
    assert attributes(span)["error.type"] == "DeadlineError"
    assert attributes(span)["camserve.tries"] == 1
    assert "cause" not in span.to_json()


def test_foreign_error_is_recorded_by_type_only(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(asyncio.CancelledError), Monitor().observe("signs"):
        raise asyncio.CancelledError("the reason")
    assert only(exporter).status.description == "CancelledError"
    assert "the reason" not in only(exporter).to_json()


def test_span_is_a_child_and_in_the_headers(exporter: InMemorySpanExporter) -> None:
    with trace.get_tracer("caller").start_as_current_span("page"), Monitor().observe("signs") as observed:
        (header,) = observed.headers
    span, page = exporter.get_finished_spans()
    assert span.context is not None
    assert page.context is not None
    assert span.parent == page.context
    carried = trace.get_current_span(TraceContextTextMapPropagator().extract(dict([header]))).get_span_context()
    assert (carried.trace_id, carried.span_id) == (page.context.trace_id, span.context.span_id)


def by_threads(url: str, images: list[Any]) -> None:
    with Classifier(url, "toy") as classifier, trace.get_tracer("caller").start_as_current_span("page"):
        list(classifier.classify_many(images))


def by_tasks(url: str, images: list[Any]) -> None:
    async def main() -> None:
        async with AsyncClassifier(url, "toy") as classifier:
            with trace.get_tracer("caller").start_as_current_span("page"):
                [answer async for answer in classifier.classify_many(images)]

    asyncio.run(main())


@pytest.mark.parametrize("classify_all", [by_threads, by_tasks])
def test_spans_of_a_stream_are_children_of_the_caller(
    classify_all: Callable[[str, list[Any]], None], exporter: InMemorySpanExporter
) -> None:
    contract = toy_contract()
    with StubServer(contract, lambda names, _: {name: correct_answer(contract)[name] for name in names}) as server:
        classify_all(server.url, [np.zeros((9, 11), np.uint8)] * 3)
    spans = exporter.get_finished_spans()
    (page,) = (span for span in spans if span.name == "page")
    assert [span.parent for span in spans if span.name == "camserve infer toy"] == [page.context] * 3


def test_no_trace_headers_without_a_span() -> None:
    with Monitor().observe("signs") as observed:
        assert observed.headers == ()


def test_invalid_trace_headers_are_left_out(monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter) -> None:
    from opentelemetry import propagate

    def inject(carrier: dict[str, str]) -> None:
        carrier.update({"X-B3-TraceId": "0af7", "x ray": "1", "name-bin": "1", "city": "Zürich", "line": "a\nb"})

    monkeypatch.setattr(propagate, "inject", inject)
    with Monitor().observe("signs") as observed:
        assert observed.headers == (("x-b3-traceid", "0af7"),)


def test_tasks_have_their_own_spans(exporter: InMemorySpanExporter) -> None:
    monitor = Monitor()

    async def observe(model: str) -> tuple[tuple[str, str], ...]:
        with monitor.observe(model) as observed:
            await asyncio.sleep(0.01)
            return observed.headers

    async def main() -> None:
        headers = await asyncio.gather(*(observe(f"m{number}") for number in range(8)))
        assert len(set(headers)) == 8

    asyncio.run(main())
    assert {span.parent for span in exporter.get_finished_spans()} == {None}
