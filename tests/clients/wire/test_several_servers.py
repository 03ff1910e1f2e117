"""Several servers: load balancing, failover and health checks."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from support.python_models import slow_request, write_python_models
from support.scripted_server import Context, ScriptedServer, failing, logits
from support.transports import ThreadTransport, TransportClass, deadline, toy_request

from camserve.clients.wire import health_checks
from camserve.clients.wire.failures import CallFailed
from camserve.clients.wire.values import Reply
from camserve.errors import ConnectionFailedError
from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

NOT_READY = b""
INTERVAL = 0.2


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the interval of health checks."""
    monkeypatch.setattr(health_checks, "INTERVAL", INTERVAL)
    monkeypatch.setattr(health_checks, "TIMEOUT", 0.5)


@pytest.fixture
def stoppable(tmp_path: Path) -> Iterator[TritonServer]:
    """A server with the models of `python_server` that the test may stop."""
    server = TritonServer(write_python_models(tmp_path, instances=2))
    server.start()
    yield server
    server.stop(grace=0.0)


def send_until(client: ThreadTransport, seconds: float, until: threading.Event) -> list[Reply]:
    replies = []
    while not until.is_set():
        replies.append(client.infer(slow_request(seconds), deadline=deadline(30)))
    return replies


@pytest.mark.parametrize("stop_signal", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_failover_when_a_server_stops(
    transport: TransportClass, python_server: TritonServer, stoppable: TritonServer, stop_signal: signal.Signals
) -> None:
    """Both servers have pending requests at that time: short ones, and one that takes seconds."""
    until, survivor = threading.Event(), python_server.grpc_url
    with transport(stoppable.grpc_url, survivor) as client, ThreadPoolExecutor(5) as pool:
        short = [pool.submit(send_until, client, 0.01, until) for _ in range(3)]
        long = [pool.submit(client.infer, slow_request(1.0), deadline=deadline(30)) for _ in range(2)]
        time.sleep(0.5)
        os.kill(stoppable.pid, stop_signal)
        try:
            answers = [call.result(30) for call in long]
            time.sleep(0.3)
        finally:
            until.set()
        shorts = [reply for call in short for reply in call.result(30)]
    assert {reply.url for reply in answers + shorts[-20:]} == {survivor}
    assert {reply.url for reply in shorts} == {stoppable.grpc_url, survivor}
    assert max(reply.attempts for reply in shorts + answers) == 2
    assert max(reply.seconds for reply in shorts + answers) <= 20, "well before the deadline"


def test_failover_when_a_server_shuts_down_in_order(
    transport: TransportClass, toy_server: TritonServer, toy_repository: Path
) -> None:
    """It unloads its models first, and reports meanwhile that they are not loaded."""
    going, until = TritonServer(toy_repository), threading.Event()
    going.start()
    gone = going.grpc_url
    with transport(gone, toy_server.grpc_url) as client, ThreadPoolExecutor(3) as pool:
        pending = [pool.submit(send_to_toy_until, client, until) for _ in range(3)]
        time.sleep(0.5)
        going.stop()
        until.set()
        urls = [url for call in pending for url in call.result(30)]
    assert set(urls) == {gone, toy_server.grpc_url}


def send_to_toy_until(client: ThreadTransport, until: threading.Event) -> list[str]:
    urls = []
    while not until.is_set():
        urls.append(client.infer(toy_request(), deadline=deadline(30)).url)
    return urls


@pytest.mark.timed
def test_restarted_server_receives_requests_again(transport: TransportClass) -> None:
    with ScriptedServer() as one, ScriptedServer() as other, transport(one.url, other.url) as client:
        one.stop()
        assert {client.infer(toy_request(), deadline=deadline()).url for _ in range(10)} == {other.url}
        with ScriptedServer(port=one.port):
            begin = time.monotonic()
            while client.infer(toy_request(), deadline=deadline()).url != one.url:
                assert time.monotonic() - begin < 15
                time.sleep(0.05)


def test_requests_go_to_the_least_busy_server(transport: TransportClass) -> None:
    def slow(message: bytes, context: Context) -> bytes:
        time.sleep(0.2)
        return logits()

    with (
        ScriptedServer(slow) as one,
        ScriptedServer() as other,
        transport(one.url, other.url) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        shares = Counter(pool.map(lambda _: client.infer(toy_request(), deadline=deadline()).url, range(200)))
    assert shares[other.url] > 3 * shares[one.url] > 0


def test_idle_servers_take_turns(transport: TransportClass) -> None:
    with ScriptedServer() as one, ScriptedServer() as other, transport(one.url, other.url) as client:
        answered = [client.infer(toy_request(), deadline=deadline()).url for _ in range(10)]
    assert answered == [one.url, other.url] * 5


@pytest.mark.timed
def test_other_server_is_used_at_once_if_one_is_unavailable(transport: TransportClass) -> None:
    busy = failing(grpc.StatusCode.UNAVAILABLE, "busy")
    with ScriptedServer(busy) as one, ScriptedServer() as other, transport(one.url, other.url) as client:
        reply = client.infer(toy_request(), deadline=deadline())
        assert (reply.url, reply.attempts) == (other.url, 2)
        assert reply.seconds < 0.2
        assert client.infer(toy_request(), deadline=deadline()).attempts == 1


def test_model_is_described_by_an_available_server(
    transport: TransportClass, toy_server: TritonServer, refused_port: int
) -> None:
    gone = f"127.0.0.1:{refused_port}"
    with transport(gone, toy_server.grpc_url) as client:
        assert client.describe("toy", deadline=deadline()).version == "1"
        assert client.describe("toy", url=toy_server.grpc_url, deadline=deadline()).version == "1"
        with pytest.raises(ConnectionFailedError, match=gone):
            client.describe("toy", url=gone, deadline=deadline(1.0))


@pytest.mark.timed
def test_hanging_server_leaves_time_for_another(
    transport: TransportClass, toy_server: TritonServer, silent_port: int
) -> None:
    hung = f"127.0.0.1:{silent_port}"
    with transport(hung, toy_server.grpc_url) as client:
        assert client.describe("toy", deadline=deadline(1.0)).version == "1"
    with transport(hung, toy_server.grpc_url) as client:
        assert client.is_ready("toy", deadline=deadline(1.0))


def test_server_not_ready_gets_no_requests(transport: TransportClass) -> None:
    one = ScriptedServer(ready=lambda message, context: NOT_READY)
    with one, ScriptedServer() as other, transport(one.url, other.url) as client:
        client.infer(toy_request(), deadline=deadline())
        while "ServerReady" not in one.methods or "ServerReady" not in other.methods:
            time.sleep(0.05)
        time.sleep(0.2)
        assert {client.infer(toy_request(), deadline=deadline()).url for _ in range(10)} == {other.url}


@pytest.mark.timed
def test_health_checks_continue_after_a_local_error(transport: TransportClass, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[bytes | CallFailed] = []

    def judge(answer: bytes | CallFailed) -> health_checks.Health:
        if len(failures) < 3:
            failures.append(answer)
            raise RuntimeError("can't start new thread")
        return judged(answer)

    judged = health_checks.judge
    monkeypatch.setattr(health_checks, "judge", judge)
    one = ScriptedServer(ready=lambda message, context: NOT_READY)
    with one, ScriptedServer() as other, transport(one.url, other.url) as client:
        client.infer(toy_request(), deadline=deadline())
        begin = time.monotonic()
        while {client.infer(toy_request(), deadline=deadline()).url for _ in range(4)} != {other.url}:
            assert time.monotonic() - begin < 10
            time.sleep(INTERVAL)


def test_single_server_has_no_health_checks(transport: TransportClass) -> None:
    with ScriptedServer() as one, transport(one.url) as client:
        client.infer(toy_request(), deadline=deadline())
        time.sleep(3 * INTERVAL)
    assert one.methods == ["ModelInfer"]


def test_calls_to_the_last_server_are_not_reset(transport: TransportClass, refused_port: int) -> None:
    """No other server is up, so the calls wait until their deadline."""
    hanging = threading.Event()

    def slow(message: bytes, context: Context) -> bytes:
        hanging.wait(2)
        return logits()

    one = ScriptedServer(slow, ready=slow)
    with one, transport(one.url, f"127.0.0.1:{refused_port}") as client:
        reply = client.infer(toy_request(), deadline=deadline(20))
        hanging.set()
    assert reply.url == one.url
    assert one.requests() == 1
