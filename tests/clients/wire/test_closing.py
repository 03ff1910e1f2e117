"""Closing, cancelling and interrupting calls, which never cancels them at the server, and what remains afterwards."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.chaos import times
from support.open_connections import connections
from support.python_models import slow_request
from support.scripted_server import Context, ScriptedServer, logits
from support.transports import TransportClass, deadline, toy_request

from camserve.clients.observing.monitor import Monitor
from camserve.clients.wire import health_checks
from camserve.clients.wire.async_transport import AsyncTransport
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.pending import EXIT_SECONDS
from camserve.clients.wire.transport import Transport
from camserve.errors import ConnectionFailedError, DeadlineError, UsageError
from camserve.serving import TritonServer

PROMPTLY = 1.0
THREADS = 8
_ROUND = 500


class HeldReply:
    """Holds back a reply until it is released, and records whether its call was cancelled."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.cancelled = threading.Event()
        self.released = threading.Event()

    def __call__(self, message: bytes, context: Context) -> bytes:
        context.add_callback(self._ended)
        self.began.set()
        self.released.wait(20)
        return logits()

    def let_run_out(self, server: ScriptedServer) -> None:
        """Release the reply, and check that its call was not cancelled and that its connection is closed then."""
        time.sleep(0.3)
        assert not self.cancelled.is_set()
        assert len(list(connections(server.port))) == 1
        self.released.set()
        end = time.monotonic() + 5
        while list(connections(server.port)):
            assert time.monotonic() < end
            time.sleep(0.01)

    def _ended(self) -> None:
        if not self.released.is_set():
            self.cancelled.set()


def test_closed_transport_raises_and_closes_twice(transport: TransportClass, toy_server: TritonServer) -> None:
    for urls in ([toy_server.grpc_url], [toy_server.grpc_url, "127.0.0.1:1"]):
        client = transport(*urls)
        client.infer(toy_request(), deadline=deadline())
        infer, describe = client.infer, client.describe
        client.close()
        client.close()
        if transport.__name__ == "ThreadTransport":
            with pytest.raises(UsageError, match="is closed"):
                infer(toy_request(), deadline=deadline())
            with pytest.raises(UsageError, match="is closed"):
                describe("toy", deadline=deadline())


def test_closed_async_transport_raises() -> None:
    async def use() -> None:
        client = AsyncTransport(("127.0.0.1:1",), ConnectionOptions(), Monitor())
        await client.close()
        await client.close()
        with pytest.raises(UsageError, match="is closed"):
            await client.run(Exchange.describe, "toy", deadline=deadline())

    asyncio.run(use())


@pytest.mark.timed
def test_closing_ends_pending_calls(transport: TransportClass) -> None:
    held = HeldReply()
    with ScriptedServer(held) as server, ThreadPoolExecutor(1) as pool:
        client = transport(server.url)
        call = pool.submit(client.infer, toy_request(), deadline=deadline(20))
        assert held.began.wait(5)
        start = time.monotonic()
        client.close()
        with pytest.raises(UsageError, match="is closed"):
            call.result(5)
        assert time.monotonic() - start <= PROMPTLY
        held.let_run_out(server)


@pytest.mark.timed
def test_closing_ends_the_wait_before_a_retry(transport: TransportClass, refused_port: int) -> None:
    with ThreadPoolExecutor(1) as pool:
        client = transport(f"127.0.0.1:{refused_port}")
        call = pool.submit(client.infer, toy_request(), deadline=deadline(20))
        time.sleep(0.3)
        start = time.monotonic()
        client.close()
        with pytest.raises(UsageError, match="is closed"):
            call.result(5)
        assert time.monotonic() - start <= PROMPTLY


def test_cancelled_task_leaves_its_call_to_the_server() -> None:
    held = HeldReply()

    async def use(server: ScriptedServer) -> None:
        client = AsyncTransport((server.url,), ConnectionOptions(), Monitor())
        task = asyncio.create_task(client.run(Exchange.infer, toy_request(), deadline=deadline(20)))
        while not held.began.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await asyncio.to_thread(held.cancelled.wait, 0.3)
        held.released.set()
        assert (await client.run(Exchange.infer, toy_request(), deadline=deadline(5))).attempts == 1
        await client.close()

    with ScriptedServer(held) as server:
        asyncio.run(use(server))
    assert not held.cancelled.is_set()


def test_call_runs_to_its_end_after_its_event_loop() -> None:
    held = HeldReply()

    async def use(server: ScriptedServer) -> None:
        client = AsyncTransport((server.url,), ConnectionOptions(), Monitor())
        task = asyncio.create_task(client.run(Exchange.infer, toy_request(), deadline=deadline(20)))
        while not held.began.is_set():
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_soon(task.get_loop().stop)

    with ScriptedServer(held) as server:
        with suppress(RuntimeError):  # the event loop was stopped
            asyncio.run(use(server))
        assert not held.cancelled.wait(0.3)
        held.released.set()
    assert not held.cancelled.is_set()


def test_transport_is_for_one_event_loop(toy_server: TritonServer) -> None:
    client = AsyncTransport((toy_server.grpc_url,), ConnectionOptions(), Monitor())
    asyncio.run(client.run(Exchange.infer, toy_request(), deadline=deadline()))
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(client.run(Exchange.infer, toy_request(), deadline=deadline()))


def test_dropped_transport_ends_its_health_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "INTERVAL", 0.05)
    dropped = Transport(("127.0.0.1:1", "127.0.0.1:2"), ConnectionOptions(), Monitor())
    (checking,) = (thread for thread in threading.enumerate() if thread.name == "camserve-health")
    time.sleep(0.2)
    was_alive = checking.is_alive()
    del dropped
    checking.join(5)
    assert (was_alive, checking.is_alive()) == (True, False)


def test_dropped_async_transport_ends_its_health_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "INTERVAL", 0.05)

    async def use() -> threading.Thread:
        dropped = AsyncTransport(("127.0.0.1:1", "127.0.0.1:2"), ConnectionOptions(retries=0), Monitor())
        with suppress(ConnectionFailedError):
            await dropped.run(Exchange.describe, "toy", deadline=deadline())
        (checking,) = (thread for thread in threading.enumerate() if thread.name == "camserve-health")
        return checking

    checking = asyncio.run(use())
    gc.collect()  # the traceback of the error referred to it
    checking.join(5)
    assert not checking.is_alive()


_CALL = """
import sys
sys.path.insert(0, {tests!r})
from support.transports import ThreadTransport, deadline, toy_request
client = ThreadTransport(*{urls!r})
print("sending", flush=True)
try:
    client.infer(toy_request(), deadline=deadline(30))
except KeyboardInterrupt:
    client.close()
    print("interrupted", flush=True)
"""


@pytest.mark.timed
@pytest.mark.parametrize("servers", [1, 2])
def test_interrupt_ends_the_wait_but_not_the_call(servers: int) -> None:
    held = [HeldReply() for _ in range(servers)]
    running = [ScriptedServer(each).__enter__() for each in held]
    code = _CALL.format(tests=str(Path(__file__).parents[2]), urls=[server.url for server in running])
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "sending\n"
        while not any(each.began.is_set() for each in held):
            time.sleep(0.02)
        start = time.monotonic()
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "interrupted\n"
        assert time.monotonic() - start <= PROMPTLY
        time.sleep(0.3)
        assert program.poll() is None, "waits for the call"
        for each in held:
            each.released.set()
        assert program.wait(PROMPTLY) == 0
    assert not any(each.cancelled.is_set() for each in held)
    for server in running:
        server.stop()


@pytest.mark.timed
def test_exit_waits_a_few_seconds_for_a_call_that_hangs(transport: TransportClass) -> None:
    held = HeldReply()
    code = _LEAVE.format(tests=str(Path(__file__).parents[2]), kind=transport.__name__)
    with ScriptedServer(held) as server:
        start = time.monotonic()
        result = subprocess.run([sys.executable, "-c", code, server.url], capture_output=True, text=True, check=False)
        assert EXIT_SECONDS <= time.monotonic() - start <= EXIT_SECONDS + 4 * PROMPTLY
        assert (result.returncode, result.stdout, result.stderr) == (0, "late\n", "")
        held.released.set()


_LEAVE = """
import sys
sys.path.insert(0, {tests!r})
from camserve.errors import DeadlineError
from support.transports import {kind} as Client, deadline, toy_request
client = Client(sys.argv[1])
try:
    client.infer(toy_request(), deadline=deadline(0.2))
except DeadlineError:
    print("late")
client.close()
"""


_USE = """
import asyncio, json, os, sys, threading, time
sys.path.insert(0, {tests!r})
from support.transports import TRANSPORTS, deadline, toy_request

def left():
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

def settled(target):
    for _ in range(100):
        if left() <= target:
            break
        time.sleep(0.1)
    return left()

began = left()
for _ in range({rounds}):
    with TRANSPORTS[{kind}](*{urls!r}) as client:
        for _ in range(20):
            client.infer(toy_request(), deadline=deadline())
        time.sleep(0.05)
    assert threading.active_count() == 1, threading.enumerate()
print(json.dumps([began, settled(began)]))
"""


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("kind", [0, 1], ids=["threads", "asyncio"])
def test_closing_leaves_no_thread_and_no_descriptor(toy_server: TritonServer, kind: int, servers: int) -> None:
    """In a separate process, so that nothing else is counted."""
    import json

    with ScriptedServer() as other:
        urls = [toy_server.grpc_url, other.url][:servers]
        code = _USE.format(tests=str(Path(__file__).parents[2]), kind=kind, urls=urls, rounds=5)
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    before, after = json.loads(result.stdout)
    assert after == before


@pytest.mark.chaos
def test_random_deadlines_leave_nothing_behind(
    transport: TransportClass, python_server: TritonServer, record_property: Callable[[str, object], None]
) -> None:
    """Three in ten are too late; the others pass while the late ones run to their end."""
    plan = seconds_and_deadlines(times(10_000))
    outcomes: Counter[str] = Counter()
    with transport(python_server.grpc_url) as client:
        with ThreadPoolExecutor(THREADS) as pool:

            def send(each: tuple[float, float]) -> str:
                return outcome(client, *each)

            outcomes.update(pool.map(send, plan[:_ROUND]))
            before = _left()
            for first in range(0, len(plan), _ROUND):  # pending work of a pool uses memory, too
                outcomes.update(pool.map(send, plan[first : first + _ROUND]))
            end = time.monotonic() + 10
            while (after := _left())[1] > before[1] and time.monotonic() < end:
                time.sleep(0.1)  # gRPC's thread ends after the last call, which nobody waits for if it is late
        assert client.infer(slow_request(0.0), deadline=deadline()).attempts == 1
    record_property("outcomes", dict(outcomes))
    record_property("descriptors_threads_kib", [before, after])
    assert set(outcomes) == {"answered", "late"}
    assert after[0] <= before[0]
    assert after[1] <= before[1], threading.enumerate()
    assert after[2] - before[2] <= 1024


def seconds_and_deadlines(count: int) -> list[tuple[float, float]]:
    chance = random.Random(0)
    late = [(0.06, chance.uniform(0.001, 0.03)) for _ in range(count * 3 // 10)]
    plan = late + [(chance.uniform(0, 0.01), 5.0) for _ in range(count - len(late))]
    chance.shuffle(plan)
    return plan


def outcome(client: Any, takes: float, allowed: float) -> str:
    try:
        client.infer(slow_request(takes), deadline=deadline(allowed))
    except DeadlineError:
        return "late"
    return "answered"


def _left() -> tuple[int, int, int]:
    """Descriptors, threads without workers, and resident KiB of this process.

    Idle workers end after ten seconds, so their number may differ between two calls; it is only limited.
    """
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("camserve-call") <= THREADS, names
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return len(list(Path("/proc/self/fd").iterdir())), len(names) - names.count("camserve-call"), resident
