from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from camserve.clients.wire.connection import CONNECT_TIMEOUT, Connection, ServedTensor
from camserve.errors import ConnectionFailedError, DeadlineError, RequestError, UsageError
from camserve.serving import TritonServer

GRACE = 0.5


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield int(listener.getsockname()[1])


@pytest.fixture
def refused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_server_that_never_answers_is_a_deadline_on_time(silent_port: int) -> None:
    connection = Connection(f"127.0.0.1:{silent_port}", timeout=0.5)
    for ask in (lambda: connection.describe("any"), lambda: connection.is_ready("any")):
        start = time.monotonic()
        with pytest.raises(DeadlineError, match=r"model 'any' at 127.0.0.1:\d+ gave no answer within 0.5 s"):
            ask()
        assert 0.4 <= time.monotonic() - start <= 0.5 + GRACE
    connection.close()


def test_a_request_to_a_server_that_never_answers_is_a_deadline_on_time(silent_port: int) -> None:
    connection = Connection(f"127.0.0.1:{silent_port}", timeout=0.5)
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        connection.infer("any", "", ServedTensor("image", "FP32", (-1, 2)), np.zeros((1, 2), np.float32), ["out"])
    assert time.monotonic() - start <= 0.5 + GRACE
    connection.close()


def test_connecting_has_its_own_deadline_below_that_of_a_request(silent_port: int) -> None:
    connection = Connection(f"127.0.0.1:{silent_port}", timeout=30.0, connect_timeout=0.5)
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        connection.describe("any")
    assert time.monotonic() - start <= 0.5 + GRACE
    assert CONNECT_TIMEOUT == 5.0
    connection.close()


def test_a_refused_port_is_a_failed_connection_at_once(refused_port: int) -> None:
    connection = Connection(f"127.0.0.1:{refused_port}")
    start = time.monotonic()
    with pytest.raises(ConnectionFailedError, match=f"127.0.0.1:{refused_port}"):
        connection.describe("any")
    assert time.monotonic() - start <= 1.0
    connection.close()


def test_a_host_that_does_not_exist_fails_within_the_connect_deadline() -> None:
    connection = Connection("no-such-host.invalid:8001")
    start = time.monotonic()
    with pytest.raises((ConnectionFailedError, DeadlineError), match=r"no-such-host\.invalid"):
        connection.describe("any")
    assert time.monotonic() - start <= CONNECT_TIMEOUT + GRACE
    connection.close()


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "http://localhost:8001", "https://localhost:8001", "localhost:", "localhost:grpc", "a b:8001"]
    + [f"localhost:{port}" for port in (0, 65_536, 99_999, 100_000)],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        Connection(url)


@pytest.mark.parametrize(
    "url", ["localhost:8001", "127.0.0.1:65535", "[::1]:8001", "dns:///triton:8001", "unix:/run/t"]
)
def test_what_is_an_address_is_taken(url: str) -> None:
    Connection(url).close()


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
def test_no_call_is_without_a_deadline(timeout: float) -> None:
    with pytest.raises(UsageError, match="timeout"):
        Connection("localhost:8001", timeout=timeout)


def test_a_message_of_a_hundred_megabytes_reaches_the_server(toy_server: TritonServer) -> None:
    """The server refuses the batch for its number of pictures, so it has taken the message."""
    connection = Connection(toy_server.grpc_url)
    described = connection.describe("toy")
    assert (described.max_batch_size, described.inputs[0].shape) == (8, (-1, 8, 8, 3))
    batch = np.zeros((140_000, 8, 8, 3), np.float32)
    assert batch.nbytes > 100_000_000
    with pytest.raises(RequestError, match="batch-size must be <= 8"):
        connection.infer("toy", "", described.inputs[0], batch, ["logits"])
    connection.close()
