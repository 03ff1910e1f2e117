"""Calls to a real Triton, to one that hangs, and to none at all."""

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
from camserve.clients.wire.messages import ServedTensor
from camserve.contract import CONTRACT_PARAMETER
from camserve.errors import ConnectionFailedError, DeadlineError, NotLoadedError, RequestError
from camserve.serving import TritonServer

GRACE = 0.5
CONNECT = 1.0


@pytest.fixture
def own_server(toy_repository: Path) -> Iterator[TritonServer]:
    """A server whose end no other test minds: 24.10 may crash when calls end just as it answers them."""
    server = TritonServer(toy_repository)
    server.start()
    yield server
    server.stop(grace=0.0)


def test_a_model_is_described_in_the_version_that_is_served(
    transport: TransportClass, toy_server: TritonServer
) -> None:
    with transport(toy_server.grpc_url) as asking:
        for version in ("", "1"):
            served = asking.describe("toy", version, deadline=deadline())
            assert (served.name, served.version, served.max_batch_size) == ("toy", "1", 8)
            assert served.inputs == (ServedTensor("image", "FP32", (-1, 8, 8, 3)),)
            assert [tensor.name for tensor in served.outputs] == ["probabilities", "logits", "cam", "cam_class"]
            assert CONTRACT_PARAMETER in served.parameters


def test_an_answer_is_that_of_the_model(
    transport: TransportClass, toy_server: TritonServer, toy_bundle: Bundle
) -> None:
    images = toy_images(toy_bundle, 3)
    expected = expected_outputs(toy_bundle, images)
    with transport(toy_server.grpc_url) as asking:
        reply = asking.infer(toy_request(images, outputs=("cam_class", "logits")), deadline=deadline())
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
def test_a_wrong_tensor_is_refused_once_and_the_next_request_is_answered(
    transport: TransportClass,
    toy_server: TritonServer,
    toy_bundle: Bundle,
    change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
    why: str,
) -> None:
    images = toy_images(toy_bundle)
    with transport(toy_server.grpc_url) as asking:
        with pytest.raises(RequestError, match=rf"refused the request: .*{why}.*\(INVALID_ARGUMENT\)") as caught:
            asking.infer(toy_request(change(images)), deadline=deadline())
        assert "attempts" not in caught.value.message
        logits = asking.infer(toy_request(images), deadline=deadline()).tensors["logits"]
    np.testing.assert_allclose(logits, expected_outputs(toy_bundle, images)["logits"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("model", "version"), [("none", ""), ("toy", "7")])
def test_what_is_not_loaded_is_not_ready_and_told_as_such(
    transport: TransportClass, toy_server: TritonServer, model: str, version: str
) -> None:
    with transport(toy_server.grpc_url) as asking:
        assert not asking.is_ready(model, version, deadline=deadline())
        with pytest.raises(NotLoadedError, match=f"model '{model}'.* is not loaded: Request for unknown model"):
            asking.describe(model, version, deadline=deadline())
        with pytest.raises(NotLoadedError):
            asking.infer(toy_request(model=model, version=version), deadline=deadline())
        assert asking.is_ready("toy", deadline=deadline())


def test_a_server_tells_what_it_has_spent_on_a_model(transport: TransportClass, toy_server: TritonServer) -> None:
    url = toy_server.grpc_url
    with transport(url) as asking:
        before = asking.statistics("toy", "1", url=url, deadline=deadline())
        for _ in range(3):
            asking.infer(toy_request(), deadline=deadline())
        after = asking.statistics("toy", "1", url=url, deadline=deadline())
    assert after.requests - before.requests == 3
    assert 0 < after.queue - before.queue < 10
    assert 0 < after.compute - before.compute < 10


@pytest.mark.timed
def test_a_server_that_never_answers_is_a_deadline_on_time(transport: TransportClass, silent_port: int) -> None:
    with transport(f"127.0.0.1:{silent_port}") as asking:
        for ask in (
            lambda: asking.describe("any", deadline=deadline(0.3)),
            lambda: asking.is_ready("any", deadline=deadline(0.3)),
            lambda: asking.infer(toy_request(model="any"), deadline=deadline(0.3)),
        ):
            start = time.monotonic()
            with pytest.raises(DeadlineError, match=r"model 'any' at 127.0.0.1:\d+ did not respond within 0.3 s"):
                ask()
            assert 0.25 <= time.monotonic() - start <= 0.3 + GRACE


@pytest.mark.timed
@pytest.mark.parametrize("where", ["refused_port", "black_hole"])
def test_without_a_server_the_question_for_a_model_fails_within_its_deadline(
    transport: TransportClass, where: str, request: pytest.FixtureRequest
) -> None:
    url = f"127.0.0.1:{request.getfixturevalue(where)}"
    with transport(url, connect_timeout=CONNECT) as asking:
        start = time.monotonic()
        with pytest.raises((ConnectionFailedError, DeadlineError), match=url):
            asking.describe("any", deadline=deadline(CONNECT))
        # A wrong address is told at once.
        assert time.monotonic() - start <= (0.5 if where == "refused_port" else CONNECT + GRACE)


@pytest.mark.timed
def test_a_host_that_does_not_exist_fails_within_the_deadline(transport: TransportClass) -> None:
    with transport("no-such-host.invalid:8001") as asking:
        start = time.monotonic()
        with pytest.raises((ConnectionFailedError, DeadlineError), match=r"no-such-host\.invalid"):
            asking.describe("any", deadline=deadline(CONNECT))
        assert time.monotonic() - start <= CONNECT + GRACE


@pytest.mark.timed
def test_an_attempt_to_connect_has_its_own_deadline_below_that_of_a_request(
    transport: TransportClass, black_hole: int
) -> None:
    with transport(f"127.0.0.1:{black_hole}", connect_timeout=CONNECT, retries=0) as asking:
        start = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            asking.infer(toy_request(), deadline=deadline(30))
        assert time.monotonic() - start <= CONNECT + GRACE


@pytest.mark.parametrize("service", ["HTTP", "metrics"])
def test_another_port_of_triton_is_told_as_not_that_of_grpc(
    transport: TransportClass, toy_server: TritonServer, service: str
) -> None:
    with (
        transport(toy_server.addresses[service]) as asking,
        pytest.raises(ConnectionFailedError, match="no Triton server at") as caught,
    ):
        asking.describe("toy", deadline=deadline())
    assert "8001" in (caught.value.hint or "")


@pytest.mark.timed
def test_a_slow_model_is_a_deadline_on_time_and_the_next_call_succeeds(
    transport: TransportClass, python_server: TritonServer
) -> None:
    with transport(python_server.grpc_url) as asking:
        asking.infer(slow_request(0.0), deadline=deadline())
        for _ in range(5):
            start = time.monotonic()
            with pytest.raises(DeadlineError, match=r"did not respond within 0\.2 s"):
                asking.infer(slow_request(0.7), deadline=deadline(0.2))
            assert 0.15 <= time.monotonic() - start <= 0.2 + GRACE
            assert asking.infer(slow_request(0.0), deadline=deadline()).attempts == 1


@pytest.mark.timed
@pytest.mark.chaos
def test_every_call_to_a_stopped_server_returns_on_time(
    transport: TransportClass, own_server: TritonServer, record_property: Callable[[str, object], None]
) -> None:
    with transport(own_server.grpc_url) as asking:
        asking.infer(toy_request(), deadline=deadline())
        with suspended(own_server), ThreadPoolExecutor(50) as pool:
            late = list(pool.map(lambda number: lateness(asking, 0.1 + number % 5 / 10), range(times(1000))))
        assert asking.infer(toy_request(), deadline=deadline()).attempts == 1
    record_property("most_late_seconds", max(late))
    assert max(late) <= GRACE


def lateness(asking: Any, seconds: float) -> float:
    """By how much a call outlives its deadline."""
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        asking.infer(toy_request(), deadline=deadline(seconds))
    return time.monotonic() - start - seconds
