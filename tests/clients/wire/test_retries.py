"""Retries: which requests, how often, and until when."""

from __future__ import annotations

import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from socket import IPPROTO_TCP, TCP_INFO, TCP_USER_TIMEOUT, socket

import grpc
import numpy as np
import pytest
from support.open_connections import connections
from support.scripted_server import Context, ScriptedServer, failing, logits
from support.transports import TransportClass, deadline, toy_request

from camserve.errors import CamserveError, ConnectionFailedError, DeadlineError, NotLoadedError, RequestError

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("failures", [1, 2])
def test_unavailable_server_is_retried(transport: TransportClass, failures: int) -> None:
    with ScriptedServer(failing(UNAVAILABLE, "busy", times=failures)) as server, transport(server.url) as client:
        assert client.infer(toy_request(), deadline=deadline()).attempts == failures + 1
    assert server.requests() == failures + 1


@pytest.mark.parametrize("retries", [0, 2])
def test_retries_option_limits_the_attempts(transport: TransportClass, retries: int) -> None:
    with (
        ScriptedServer(failing(UNAVAILABLE, "busy")) as server,
        transport(server.url, retries=retries) as client,
        pytest.raises(ConnectionFailedError, match="busy") as caught,
    ):
        client.infer(toy_request(), deadline=deadline(30))
    assert server.requests() == retries + 1
    assert (f"({retries + 1} attempts)" in caught.value.message) == (retries > 0)


@pytest.mark.parametrize(
    ("code", "why", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", RequestError),
        (grpc.StatusCode.INTERNAL, "out of memory", RequestError),
        (grpc.StatusCode.NOT_FOUND, "unknown model", NotLoadedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "too slow", DeadlineError),
        (grpc.StatusCode.CANCELLED, "cancelled by the server", RequestError),
        (UNAVAILABLE, "Request for unknown model: 'toy' has no available versions", NotLoadedError),
        (UNAVAILABLE, "This protocol is restricted, expecting header 'key'", RequestError),
    ],
    ids=["invalid", "internal", "not found", "deadline", "cancelled", "not loaded", "restricted"],
)
def test_refusal_is_not_retried(
    transport: TransportClass, code: grpc.StatusCode, why: str, kind: type[CamserveError]
) -> None:
    with ScriptedServer(failing(code, why)) as server, transport(server.url) as client, pytest.raises(kind):
        client.infer(toy_request(), deadline=deadline())
    assert server.requests() == 1


@pytest.mark.timed
def test_all_attempts_share_one_deadline(transport: TransportClass) -> None:
    requests = []

    def answer(message: bytes, context: Context) -> bytes:
        requests.append(time.monotonic())
        time.sleep(0.2)
        context.abort(UNAVAILABLE, "busy")

    with ScriptedServer(answer) as server, transport(server.url) as client:
        start = time.monotonic()
        with pytest.raises((ConnectionFailedError, DeadlineError)):
            client.infer(toy_request(), deadline=deadline(0.7))
        assert time.monotonic() - start <= 0.7 + 0.5
    assert 1 < len(requests) < 5
    assert requests[-1] - start <= 0.7, "no attempt begins after the deadline"


def test_lost_call_is_retried_at_the_restarted_server(transport: TransportClass) -> None:
    holding = threading.Event()

    def stuck(message: bytes, context: Context) -> bytes:
        holding.wait(20)
        return logits("1")

    with ScriptedServer(stuck) as first, transport(first.url) as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.infer, toy_request(), deadline=deadline(20))
        while not first.requests():
            time.sleep(0.01)
        first.stop()
        time.sleep(0.3)
        with ScriptedServer(lambda message, context: logits("2"), port=first.port):
            reply = call.result(20)
        holding.set()
    assert reply.version == "2"
    assert reply.attempts > 1


def test_invalid_reply_is_reported(transport: TransportClass) -> None:
    with (
        ScriptedServer(lambda message, context: b"\xff\xff\xff") as server,
        transport(server.url) as client,
        pytest.raises(ConnectionFailedError, match="not a message of Triton's"),
    ):
        client.infer(toy_request(), deadline=deadline())


def test_every_call_has_headers_and_token(transport: TransportClass) -> None:
    with ScriptedServer() as server, transport(server.url, token="t0ken", headers={"x-key": "k3y"}) as client:
        client.infer(toy_request(), deadline=deadline())
    assert server.metadata.items() >= {"authorization": "Bearer t0ken", "x-key": "k3y"}.items()


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_compression_option_is_used(transport: TransportClass, compression: str) -> None:
    images = np.zeros((1, 500, 500, 3), np.float32)
    with ScriptedServer() as server, transport(server.url, compression=compression) as client:
        client.infer(toy_request(images), deadline=deadline())
        (sent,) = (bytes_sent(connection) for connection in connections(server.port))
    assert (sent > images.nbytes) == (compression == "none")
    assert (sent < images.nbytes / 50) == (compression != "none")


def test_unacknowledged_data_ends_a_connection_after_ten_seconds(transport: TransportClass) -> None:
    """Detects a dead peer without pings, at which Triton would close the connection."""
    with ScriptedServer() as server, transport(server.url) as client:
        client.infer(toy_request(), deadline=deadline())
        (timeout,) = (each.getsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT) for each in connections(server.port))
    assert timeout == 10_000


def bytes_sent(connection: socket) -> int:
    """Return the acknowledged bytes of a connection."""
    (count,) = struct.unpack_from("Q", connection.getsockopt(IPPROTO_TCP, TCP_INFO, 256), 120)
    return int(count)
