"""Several servers behind one client: how work is shared among them, and what happens when one goes."""

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
from camserve.clients.wire.messages import Reply
from camserve.errors import ConnectionFailedError
from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

NOT_READY = b""
INTERVAL = 0.2


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health checks follow sooner than they do for users."""
    monkeypatch.setattr(health_checks, "INTERVAL", INTERVAL)
    monkeypatch.setattr(health_checks, "TIMEOUT", 0.5)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[TritonServer]:
    """A server with the models of `python_server`, whose end no other test minds."""
    server = TritonServer(write_python_models(tmp_path, instances=2))
    server.start()
    yield server
    server.stop(grace=0.0)


def ask_for(asking: ThreadTransport, seconds: float, until: threading.Event) -> list[Reply]:
    replies = []
    while not until.is_set():
        replies.append(asking.infer(slow_request(seconds), deadline=deadline(30)))
    return replies


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_server_that_goes_is_not_noticed_by_the_caller(
    transport: TransportClass, python_server: TritonServer, mortal: TritonServer, blow: signal.Signals
) -> None:
    """Requests of each kind are under way at both when it happens: short ones, and one that takes seconds."""
    until, survivor = threading.Event(), python_server.grpc_url
    with transport(mortal.grpc_url, survivor) as asking, ThreadPoolExecutor(5) as pool:
        short = [pool.submit(ask_for, asking, 0.01, until) for _ in range(3)]
        long = [pool.submit(asking.infer, slow_request(1.0), deadline=deadline(30)) for _ in range(2)]
        time.sleep(0.5)
        os.kill(mortal.pid, blow)
        try:
            answers = [call.result(30) for call in long]
            time.sleep(0.3)
        finally:
            until.set()
        shorts = [reply for call in short for reply in call.result(30)]
    assert {reply.url for reply in answers + shorts[-20:]} == {survivor}
    assert {reply.url for reply in shorts} == {mortal.grpc_url, survivor}
    assert max(reply.attempts for reply in shorts + answers) == 2
    assert max(reply.seconds for reply in shorts + answers) <= 10


def test_a_server_that_shuts_down_in_order_is_not_noticed_by_the_caller(
    transport: TransportClass, toy_server: TritonServer, toy_repository: Path
) -> None:
    """It unloads its models first, and says meanwhile that it does not have them."""
    going, until = TritonServer(toy_repository), threading.Event()
    going.start()
    gone = going.grpc_url
    with transport(gone, toy_server.grpc_url) as asking, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask_toy_for, asking, until) for _ in range(3)]
        time.sleep(0.5)
        going.stop()
        until.set()
        urls = [url for call in asked for url in call.result(30)]
    assert set(urls) == {gone, toy_server.grpc_url}


def ask_toy_for(asking: ThreadTransport, until: threading.Event) -> list[str]:
    urls = []
    while not until.is_set():
        urls.append(asking.infer(toy_request(), deadline=deadline(30)).url)
    return urls


def test_a_server_that_comes_back_is_given_work_again(transport: TransportClass) -> None:
    with ScriptedServer() as one, ScriptedServer() as other, transport(one.url, other.url) as asking:
        one.stop()
        assert {asking.infer(toy_request(), deadline=deadline()).url for _ in range(10)} == {other.url}
        with ScriptedServer(port=one.port):
            begin = time.monotonic()
            while asking.infer(toy_request(), deadline=deadline()).url != one.url:
                assert time.monotonic() - begin < 15
                time.sleep(0.05)


def test_work_goes_to_the_server_that_is_least_busy(transport: TransportClass) -> None:
    def slow(message: bytes, context: Context) -> bytes:
        time.sleep(0.2)
        return logits()

    with (
        ScriptedServer(slow) as one,
        ScriptedServer() as other,
        transport(one.url, other.url) as asking,
        ThreadPoolExecutor(4) as pool,
    ):
        shares = Counter(pool.map(lambda _: asking.infer(toy_request(), deadline=deadline()).url, range(200)))
    assert shares[other.url] > 3 * shares[one.url] > 0


def test_equally_busy_servers_have_their_turns(transport: TransportClass) -> None:
    with ScriptedServer() as one, ScriptedServer() as other, transport(one.url, other.url) as asking:
        answered = [asking.infer(toy_request(), deadline=deadline()).url for _ in range(10)]
    assert answered == [one.url, other.url] * 5


@pytest.mark.timed
def test_another_server_is_asked_at_once_when_one_is_not_available(transport: TransportClass) -> None:
    busy = failing(grpc.StatusCode.UNAVAILABLE, "busy")
    with ScriptedServer(busy) as one, ScriptedServer() as other, transport(one.url, other.url) as asking:
        reply = asking.infer(toy_request(), deadline=deadline())
        assert (reply.url, reply.attempts) == (other.url, 2)
        assert reply.seconds < 0.2
        assert asking.infer(toy_request(), deadline=deadline()).attempts == 1


def test_a_model_is_described_by_a_server_that_is_there(
    transport: TransportClass, toy_server: TritonServer, refused_port: int
) -> None:
    gone = f"127.0.0.1:{refused_port}"
    with transport(gone, toy_server.grpc_url) as asking:
        assert asking.describe("toy", deadline=deadline()).version == "1"
        assert asking.describe("toy", url=toy_server.grpc_url, deadline=deadline()).version == "1"
        with pytest.raises(ConnectionFailedError, match=gone):
            asking.describe("toy", url=gone, deadline=deadline(1.0))


def test_a_server_that_hangs_leaves_time_to_ask_another_about_the_model(
    transport: TransportClass, toy_server: TritonServer, silent_port: int
) -> None:
    hung = f"127.0.0.1:{silent_port}"
    with transport(hung, toy_server.grpc_url) as asking:
        assert asking.describe("toy", deadline=deadline(1.0)).version == "1"
    with transport(hung, toy_server.grpc_url) as asking:
        assert asking.is_ready("toy", deadline=deadline(1.0))


def test_a_server_that_is_not_ready_gets_no_requests(transport: TransportClass) -> None:
    one = ScriptedServer(ready=lambda message, context: NOT_READY)
    with one, ScriptedServer() as other, transport(one.url, other.url) as asking:
        asking.infer(toy_request(), deadline=deadline())
        while "ServerReady" not in one.asked or "ServerReady" not in other.asked:
            time.sleep(0.05)
        time.sleep(0.2)
        assert {asking.infer(toy_request(), deadline=deadline()).url for _ in range(10)} == {other.url}


def test_checks_go_on_after_one_that_fails_on_this_side(
    transport: TransportClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[bytes | CallFailed] = []

    def judge(answer: bytes | CallFailed) -> health_checks.Health:
        if len(failures) < 3:
            failures.append(answer)
            raise RuntimeError("can't start new thread")
        return judged(answer)

    judged = health_checks.judge
    monkeypatch.setattr(health_checks, "judge", judge)
    one = ScriptedServer(ready=lambda message, context: NOT_READY)
    with one, ScriptedServer() as other, transport(one.url, other.url) as asking:
        asking.infer(toy_request(), deadline=deadline())
        begin = time.monotonic()
        while {asking.infer(toy_request(), deadline=deadline()).url for _ in range(4)} != {other.url}:
            assert time.monotonic() - begin < 10
            time.sleep(INTERVAL)


def test_one_server_alone_is_not_asked_for_its_health(transport: TransportClass) -> None:
    with ScriptedServer() as one, transport(one.url) as asking:
        asking.infer(toy_request(), deadline=deadline())
        time.sleep(3 * INTERVAL)
    assert one.asked == ["ModelInfer"]


def test_calls_wait_for_the_only_server_that_is_left_even_if_it_hangs(
    transport: TransportClass, refused_port: int
) -> None:
    """There is nowhere else to go, so its calls are left to their deadline."""
    hanging = threading.Event()

    def slow(message: bytes, context: Context) -> bytes:
        hanging.wait(2)
        return logits()

    one = ScriptedServer(slow, ready=slow)
    with one, transport(one.url, f"127.0.0.1:{refused_port}") as asking:
        reply = asking.infer(toy_request(), deadline=deadline(20))
        hanging.set()
    assert reply.url == one.url
    assert one.requests() == 1
