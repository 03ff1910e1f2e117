"""Calls to Triton, to a server that hangs, and without a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.chaos import times
from support.python_models import slow_request
from support.suspending import suspended
from support.toy import expected_outputs, toy_images
from support.transports import TransportClass, deadline, toy_request

from camserve.bundle import Bundle
from camserve.clients.wire.values import ServedTensor
from camserve.contract import CONTRACT_PARAMETER
from camserve.errors import ConnectionFailedError, DeadlineError, NotLoadedError, RequestError
from camserve.serving import TritonServer

GRACE = 0.5
CONNECT = 1.0


@pytest.fixture
def own_server(toy_repository: Path) -> Iterator[TritonServer]:
    """A server for this test only: 24.10 may crash if calls end just as it replies."""
    server = TritonServer(toy_repository)
    server.start()
    yield server
    server.stop(grace=0.0)


def test_describe_returns_the_served_version(transport: TransportClass, toy_server: TritonServer) -> None:
    with transport(toy_server.grpc_url) as client:
        for version in ("", "1"):
            served = client.describe("toy", version, deadline=deadline())
            assert (served.name, served.version, served.max_batch_size) == ("toy", "1", 8)
            assert served.inputs == (ServedTensor("image", "FP32", (-1, 8, 8, 3)),)
            assert [tensor.name for tensor in served.outputs] == ["probabilities", "logits", "cam", "cam_class"]
            assert CONTRACT_PARAMETER in served.parameters


def test_reply_equals_the_model(transport: TransportClass, toy_server: TritonServer, toy_bundle: Bundle) -> None:
    images = toy_images(toy_bundle, 3)
    expected = expected_outputs(toy_bundle, images)
    with transport(toy_server.grpc_url) as client:
        reply = client.infer(toy_request(images, outputs=("cam_class", "logits")), deadline=deadline())
    assert set(reply.tensors) == {"cam_class", "logits"}
    np.testing.assert_allclose(reply.tensors["logits"], expected["logits"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(reply.tensors["cam_class"], expected["cam_class"])
    assert (reply.version, reply.url, reply.attempts) == ("1", toy_server.grpc_url, 1)
    assert 3 * (4 * 4 + 3 * 4) < reply.size < 400
    assert 0 < reply.seconds < 10


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda images: images.astype(np.float64), "byte size mismatch"),
        (lambda images: images.astype(np.uint8), "byte size mismatch"),
        (lambda images: images[0], "unexpected shape"),
        (lambda images: images.transpose(0, 3, 1, 2), "unexpected shape"),
        (lambda images: images[:, :7], "unexpected shape"),
        (lambda images: images[:0], "byte size mismatch"),
        (lambda images: np.concatenate([images] * 9), "batch-size must be <= 8"),
    ],
    ids=["float64", "uint8", "no batch", "NCHW", "too small", "empty", "too many"],
)
def test_wrong_tensor_is_refused_without_retry(
    transport: TransportClass,
    toy_server: TritonServer,
    toy_bundle: Bundle,
    change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
    why: str,
) -> None:
    images = toy_images(toy_bundle)
    with transport(toy_server.grpc_url) as client:
        with pytest.raises(RequestError, match=rf"refused the request: .*{why}.*\(INVALID_ARGUMENT\)") as caught:
            client.infer(toy_request(change(images)), deadline=deadline())
        assert "attempts" not in caught.value.message
        logits = client.infer(toy_request(images), deadline=deadline()).tensors["logits"]
    np.testing.assert_allclose(logits, expected_outputs(toy_bundle, images)["logits"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("model", "version"), [("none", ""), ("toy", "7")])
def test_unloaded_model_is_not_ready(
    transport: TransportClass, toy_server: TritonServer, model: str, version: str
) -> None:
    with transport(toy_server.grpc_url) as client:
        assert not client.is_ready(model, version, deadline=deadline())
        with pytest.raises(NotLoadedError, match=f"model '{model}'.* is not loaded: Request for unknown model"):
            client.describe(model, version, deadline=deadline())
        with pytest.raises(NotLoadedError):
            client.infer(toy_request(model=model, version=version), deadline=deadline())
        assert client.is_ready("toy", deadline=deadline())


def test_statistics_count_the_requests(transport: TransportClass, toy_server: TritonServer) -> None:
    url = toy_server.grpc_url
    with transport(url) as client:
        before = client.statistics("toy", "1", url=url, deadline=deadline())
        for _ in range(3):
            client.infer(toy_request(), deadline=deadline())
        after = client.statistics("toy", "1", url=url, deadline=deadline())
    assert after.requests - before.requests == 3
    assert 0 < after.queue - before.queue < 10
    assert 0 < after.compute - before.compute < 10


@pytest.mark.timed
def test_silent_server_is_a_deadline_error_on_time(transport: TransportClass, silent_port: int) -> None:
    with transport(f"127.0.0.1:{silent_port}") as client:
        for call in (
            lambda: client.describe("any", deadline=deadline(0.3)),
            lambda: client.is_ready("any", deadline=deadline(0.3)),
            lambda: client.infer(toy_request(model="any"), deadline=deadline(0.3)),
        ):
            start = time.monotonic()
            with pytest.raises(DeadlineError, match=r"model 'any' at 127.0.0.1:\d+ did not respond within 0.3 s"):
                call()
            assert 0.25 <= time.monotonic() - start <= 0.3 + GRACE


@pytest.mark.timed
@pytest.mark.parametrize("where", ["refused_port", "black_hole"])
def test_describe_without_a_server_fails_within_the_deadline(
    transport: TransportClass, where: str, request: pytest.FixtureRequest
) -> None:
    url = f"127.0.0.1:{request.getfixturevalue(where)}"
    with transport(url, connect_timeout=CONNECT) as client:
        start = time.monotonic()
        with pytest.raises((ConnectionFailedError, DeadlineError), match=url):
            client.describe("any", deadline=deadline(CONNECT))
        # A wrong address is reported at once.
        assert time.monotonic() - start <= (0.5 if where == "refused_port" else CONNECT + GRACE)


@pytest.mark.timed
def test_unknown_host_fails_within_the_deadline(transport: TransportClass) -> None:
    with transport("no-such-host.invalid:8001") as client:
        start = time.monotonic()
        with pytest.raises((ConnectionFailedError, DeadlineError), match=r"no-such-host\.invalid"):
            client.describe("any", deadline=deadline(CONNECT))
        assert time.monotonic() - start <= CONNECT + GRACE


@pytest.mark.timed
def test_connect_timeout_applies_to_each_connection_attempt(transport: TransportClass, black_hole: int) -> None:
    with transport(f"127.0.0.1:{black_hole}", connect_timeout=CONNECT, retries=0) as client:
        start = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            client.infer(toy_request(), deadline=deadline(30))
        assert time.monotonic() - start <= CONNECT + GRACE


@pytest.mark.parametrize("service", ["HTTP", "metrics"])
def test_other_port_of_triton_is_reported(transport: TransportClass, toy_server: TritonServer, service: str) -> None:
    with (
        transport(toy_server.addresses[service]) as client,
        pytest.raises(ConnectionFailedError, match="no Triton server at") as caught,
    ):
        client.describe("toy", deadline=deadline())
    assert "8001" in (caught.value.hint or "")


@pytest.mark.timed
def test_slow_model_is_a_deadline_error_on_time(transport: TransportClass, python_server: TritonServer) -> None:
    with transport(python_server.grpc_url) as client:
        client.infer(slow_request(0.0), deadline=deadline())
        for _ in range(5):
            start = time.monotonic()
            with pytest.raises(DeadlineError, match=r"did not respond within 0\.2 s"):
                client.infer(slow_request(0.7), deadline=deadline(0.2))
            assert 0.15 <= time.monotonic() - start <= 0.2 + GRACE
            assert client.infer(slow_request(0.0), deadline=deadline()).attempts == 1


@pytest.mark.timed
@pytest.mark.chaos
def test_calls_to_a_suspended_server_return_on_time(
    transport: TransportClass, own_server: TritonServer, record_property: Callable[[str, object], None]
) -> None:
    with transport(own_server.grpc_url) as client:
        client.infer(toy_request(), deadline=deadline())
        with suspended(own_server), ThreadPoolExecutor(50) as pool:
            late = list(pool.map(lambda number: lateness(client, 0.1 + number % 5 / 10), range(times(1000))))
        assert client.infer(toy_request(), deadline=deadline()).attempts == 1
    record_property("most_late_seconds", max(late))
    assert max(late) <= GRACE


def lateness(client: Any, seconds: float) -> float:
    """Return the seconds by which a call exceeds its deadline."""
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        client.infer(toy_request(), deadline=deadline(seconds))
    return time.monotonic() - start - seconds
