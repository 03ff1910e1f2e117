"""Text from file names and servers is always one line, and credentials are never shown."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import prometheus_client
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from camserve.clients import Classifier
from camserve.clients.observing.metrics import Metrics
from camserve.clients.observing.monitor import Monitor
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import redact
from camserve.clients.wire.transport import Transport
from camserve.clients.wire.values import Request, ServedTensor
from camserve.errors import ClientError, ImageError, UsageError
from camserve.serving import TritonServer
from camserve.tls import ClientTls

TOKEN = "tok-9f2c7a61"
KEY = "key-51b0e4d8"
SECRETS = (TOKEN, KEY)
ODD = "line one\nCRITICAL root: forged\r\x1b[31mred\x1b[0m\x00\u2028\u202eabc\x85 end"
REQUEST = Request("toy", "", ServedTensor("image", "FP32", (-1, 2)), np.zeros((1, 2), np.float32), ["logits"])
ODD_REQUEST = Request(f"toy{ODD}", "", REQUEST.tensor, REQUEST.batch, REQUEST.outputs)


class Echo(grpc.GenericRpcHandler):
    """A server that refuses every request and quotes its headers in the error."""

    def __init__(self) -> None:
        self.status = grpc.StatusCode.INVALID_ARGUMENT
        self.received: list[dict[str, str]] = []

    def service(self, details: Any) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.unary_unary_rpc_method_handler(self._refuse)

    def _refuse(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        headers = {key: str(value) for key, value in context.invocation_metadata()}
        self.received.append(headers)
        context.abort(self.status, f"{ODD}: bad token {headers['authorization']}, bad key {headers['x-api-key']}")
        raise AssertionError("abort raises")


@pytest.fixture
def echo() -> Iterator[tuple[Echo, str]]:
    handler = Echo()
    server = grpc.server(ThreadPoolExecutor(2), [handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def is_one_line(text: str) -> bool:
    """Return whether a terminal and a log reader take a text for one line without control sequences."""
    return text.isprintable()


def leaked(text: str, secrets: tuple[str, ...] = SECRETS) -> list[str]:
    """Return the secrets that a text contains."""
    return [secret for secret in secrets if secret in text]


def test_checks_find_forged_lines_and_secrets() -> None:
    assert not is_one_line(f"cannot read {ODD}")
    for odd in ("\n", "\r", "\x1b", "\x00", "\u2028", "\u202e", "\x85"):
        assert not is_one_line(f"cannot read a{odd}b")
    assert is_one_line("cannot read 'Zürich 東京.jpg'")
    assert leaked(f"authorization: Bearer {TOKEN}") == [TOKEN]
    assert leaked("authorization: Bearer [hidden]") == []


@pytest.mark.parametrize("status", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE])
def test_server_text_is_one_line_without_secrets_everywhere(
    status: grpc.StatusCode,
    echo: tuple[Echo, str],
    exporter: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler, url = echo
    handler.status = status
    registry = CollectorRegistry()
    options = ConnectionOptions(token=TOKEN, headers={"x-api-key": KEY}, retries=2)
    transport = Transport([url], options, Monitor(metrics=Metrics(registry)))
    with caplog.at_level(logging.DEBUG), pytest.raises(ClientError) as caught:
        transport.run(Exchange.infer, REQUEST, deadline=Deadline(10))
    transport.close()

    tries = 1 if status is grpc.StatusCode.INVALID_ARGUMENT else 3
    assert [(each["authorization"], each["x-api-key"]) for each in handler.received] == [
        (f"Bearer {TOKEN}", KEY)
    ] * tries
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("camserve")]
    (span,) = exporter.get_finished_spans()
    texts = [str(caught.value), *lines, str(span.status.description), *(str(e.attributes) for e in span.events)]
    assert len(lines) == tries
    assert len(span.events) == tries
    assert all(is_one_line(each) for each in texts), texts
    assert all("CRITICAL root: forged" in each for each in texts), "the text of the server is reported"
    shown = [repr(caught.value), "".join(traceback.format_exception(caught.value)), caplog.text, span.to_json()]
    shown += [prometheus_client.generate_latest(registry).decode(), repr(options), repr(transport), repr(vars(span))]
    assert leaked("\n".join([*texts, *shown])) == []


def test_trace_context_is_sent_with_the_headers(echo: tuple[Echo, str], exporter: InMemorySpanExporter) -> None:
    handler, url = echo
    transport = Transport([url], ConnectionOptions(token=TOKEN, headers={"x-api-key": KEY}), Monitor())
    with pytest.raises(ClientError), trace.get_tracer("caller").start_as_current_span("page"):
        transport.run(Exchange.infer, REQUEST, deadline=Deadline(10))
    transport.close()
    (received,) = handler.received
    span, page = exporter.get_finished_spans()
    assert span.context is not None
    assert page.context is not None
    assert received["traceparent"].startswith(f"00-{page.context.trace_id:032x}-{span.context.span_id:016x}-")
    assert received["x-api-key"] == KEY


def test_model_name_is_one_line(echo: tuple[Echo, str], caplog: pytest.LogCaptureFixture) -> None:
    _, url = echo
    transport = Transport([url], ConnectionOptions(token=TOKEN, headers={"x-api-key": KEY}), Monitor())
    with caplog.at_level(logging.DEBUG, "camserve"), pytest.raises(ClientError) as caught:
        transport.run(Exchange.infer, ODD_REQUEST, deadline=Deadline(10))
    transport.close()
    assert all(is_one_line(text) for text in (str(caught.value), *caplog.messages))


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8 no image", b"GIF89a"])
def test_file_name_is_one_line(
    content: bytes | None, toy_server: TritonServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"{ODD.replace(chr(0), '')}.jpg"
    if content is not None:
        path.write_bytes(content)
    with Classifier(toy_server.grpc_url, "toy") as classifier, caplog.at_level(logging.DEBUG, "camserve"):
        with pytest.raises(ImageError) as caught:
            classifier.classify(path)
        classifier.classify(np.zeros((8, 8), np.uint8))
    assert is_one_line(str(caught.value)), str(caught.value)
    assert "forged" in str(caught.value)
    assert caplog.messages
    assert all(is_one_line(message) for message in caplog.messages)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConnectionOptions(token=f"{TOKEN}\n"),
        lambda: ConnectionOptions(token=f"{TOKEN} é"),
        lambda: ConnectionOptions(headers={"x-api-key": f"{TOKEN}\x1b"}),
        lambda: ConnectionOptions(headers={"Authorization": TOKEN}),
        lambda: Transport(["triton.example:8001"], ConnectionOptions(token=TOKEN), Monitor()),
        lambda: Classifier("triton.example:8001", "toy", token=TOKEN, headers={"x-api-key": KEY}),
        lambda: Classifier(f"a:1{ODD}", "toy", token=TOKEN, headers={"x-api-key": KEY}),
        lambda: ClientTls(key=Path(KEY), certificate=Path(ODD.replace("\0", ""))).read(),
    ],
)
def test_refused_value_is_not_in_the_one_line_error(make: Any) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert is_one_line(str(caught.value)), str(caught.value)
    assert leaked("".join(traceback.format_exception(caught.value)), (TOKEN,)) == []


def test_invalid_key_is_not_quoted(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(f"-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n")
    with pytest.raises(UsageError) as caught:
        ClientTls(key=key, certificate=key)
    assert leaked("".join(traceback.format_exception(caught.value))) == []


def test_only_long_header_values_are_redacted() -> None:
    metadata = (("authorization", f"Bearer {TOKEN}"), ("x-api-key", f"{TOKEN}-more"), ("x-tenant", "7"))
    text = f"7 tokens: {TOKEN}, {TOKEN}-more"
    assert redact(text, metadata) == "7 tokens: [hidden], [hidden]"
