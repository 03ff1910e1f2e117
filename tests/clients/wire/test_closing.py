"""What ends a call before its time, and what is left afterwards."""

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
from grpc import aio
from support.chaos import times
from support.python_models import slow_request
from support.scripted_server import Context, ScriptedServer, logits
from support.transports import TransportClass, deadline, toy_request

from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Call
from camserve.clients.wire import health_checks
from camserve.clients.wire.async_channels import AsyncChannel
from camserve.clients.wire.async_transport import AsyncTransport
from camserve.clients.wire.channel_settings import dialler
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed
from camserve.clients.wire.transport import Transport
from camserve.errors import ConnectionFailedError, DeadlineError, UsageError
from camserve.serving import TritonServer

PROMPTLY = 1.0
THREADS = 8
_ROUND = 500


class Holding:
    """An answer that does not come until it is let go; knows whether its call was cancelled."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.cancelled = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, message: bytes, context: Context) -> bytes:
        context.add_callback(self._ended)
        self.began.set()
        self.let_go.wait(20)
        return logits()

    def _ended(self) -> None:
        if not self.let_go.is_set():
            self.cancelled.set()


def test_a_closed_transport_says_so_and_closing_twice_changes_nothing(
    transport: TransportClass, toy_server: TritonServer
) -> None:
    for urls in ([toy_server.grpc_url], [toy_server.grpc_url, "127.0.0.1:1"]):
        asking = transport(*urls)
        asking.infer(toy_request(), deadline=deadline())
        infer, describe = asking.infer, asking.describe
        asking.close()
        asking.close()
        if transport.__name__ == "ThreadTransport":
            with pytest.raises(UsageError, match="is closed"):
                infer(toy_request(), deadline=deadline())
            with pytest.raises(UsageError, match="is closed"):
                describe("toy", deadline=deadline())


def test_a_closed_transport_of_asyncio_says_so() -> None:
    async def use() -> None:
        asking = AsyncTransport(("127.0.0.1:1",), ConnectionOptions(), Monitor())
        await asking.close()
        await asking.close()
        with pytest.raises(UsageError, match="is closed"):
            await asking.run(Exchange.describe, "toy", deadline=deadline())

    asyncio.run(use())


@pytest.mark.timed
def test_closing_ends_the_calls_under_way(transport: TransportClass) -> None:
    holding = Holding()
    with ScriptedServer(holding) as server, ThreadPoolExecutor(1) as pool:
        asking = transport(server.url)
        call = pool.submit(asking.infer, toy_request(), deadline=deadline(20))
        assert holding.began.wait(5)
        start = time.monotonic()
        asking.close()
        with pytest.raises(UsageError, match="is closed"):
            call.result(5)
        assert time.monotonic() - start <= PROMPTLY
        assert holding.cancelled.wait(5)
        holding.let_go.set()


@pytest.mark.timed
def test_closing_ends_the_wait_for_the_next_try(transport: TransportClass, refused_port: int) -> None:
    with ThreadPoolExecutor(1) as pool:
        asking = transport(f"127.0.0.1:{refused_port}")
        call = pool.submit(asking.infer, toy_request(), deadline=deadline(20))
        time.sleep(0.3)
        start = time.monotonic()
        asking.close()
        with pytest.raises(UsageError, match="is closed"):
            call.result(5)
        assert time.monotonic() - start <= PROMPTLY


def test_cancelling_a_task_cancels_the_call_and_no_other() -> None:
    holding = Holding()

    async def use(url: str) -> None:
        asking = AsyncTransport((url,), ConnectionOptions(), Monitor())
        task = asyncio.create_task(asking.run(Exchange.infer, toy_request(), deadline=deadline(20)))
        while not holding.began.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(holding.cancelled.wait, 5)
        holding.let_go.set()
        assert (await asking.run(Exchange.infer, toy_request(), deadline=deadline(5))).attempts == 1
        await asking.close()

    with ScriptedServer(holding) as server:
        asyncio.run(use(server.url))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before, a task does not tell whether it was cancelled")
def test_a_task_that_is_cancelled_while_its_channel_is_reset_ends_as_cancelled() -> None:
    holding = Holding()

    async def use(url: str) -> None:
        channel = AsyncChannel(url, dialler(ConnectionOptions(), aio.insecure_channel, aio.secure_channel))
        for cancels, kind in ((True, asyncio.CancelledError), (False, CallFailed)):
            holding.began.clear()
            task = asyncio.create_task(channel.call(Call(url, "ModelInfer", b"", (), 20.0)))
            while not holding.began.is_set():
                await asyncio.sleep(0.01)
            if cancels:
                task.cancel()
            await channel.reset()
            with pytest.raises(kind):
                await task
        await channel.close()
        holding.let_go.set()

    with ScriptedServer(holding) as server:
        asyncio.run(use(server.url))


def test_one_client_serves_one_event_loop(toy_server: TritonServer) -> None:
    asking = AsyncTransport((toy_server.grpc_url,), ConnectionOptions(), Monitor())
    asyncio.run(asking.run(Exchange.infer, toy_request(), deadline=deadline()))
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(asking.run(Exchange.infer, toy_request(), deadline=deadline()))


def test_a_transport_that_is_dropped_ends_its_health_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "INTERVAL", 0.05)
    dropped = Transport(("127.0.0.1:1", "127.0.0.1:2"), ConnectionOptions(), Monitor())
    (checking,) = (thread for thread in threading.enumerate() if thread.name == "camserve-health")
    time.sleep(0.2)
    was_alive = checking.is_alive()
    del dropped
    checking.join(5)
    assert (was_alive, checking.is_alive()) == (True, False)


def test_tasks_of_a_transport_that_is_dropped_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "INTERVAL", 0.05)

    async def use() -> None:
        dropped = AsyncTransport(("127.0.0.1:1", "127.0.0.1:2"), ConnectionOptions(retries=0), Monitor())
        with suppress(ConnectionFailedError):
            await dropped.run(Exchange.describe, "toy", deadline=deadline())
        (checking,) = asyncio.all_tasks() - {asyncio.current_task()}
        del dropped
        gc.collect()  # the traceback of the error held it
        await asyncio.wait_for(checking, 5)

    asyncio.run(use())


_CALL = """
import sys
sys.path.insert(0, {tests!r})
from support.transports import ThreadTransport, deadline, toy_request
asking = ThreadTransport(*{urls!r})
print("asking", flush=True)
try:
    asking.infer(toy_request(), deadline=deadline(30))
except KeyboardInterrupt:
    asking.close()
    print("interrupted", flush=True)
"""


@pytest.mark.timed
@pytest.mark.parametrize("servers", [1, 2])
def test_an_interrupt_ends_a_call_promptly_and_cancels_it(servers: int) -> None:
    holding = [Holding() for _ in range(servers)]
    running = [ScriptedServer(each).__enter__() for each in holding]
    code = _CALL.format(tests=str(Path(__file__).parents[2]), urls=[server.url for server in running])
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        while not any(each.began.is_set() for each in holding):
            time.sleep(0.02)
        start = time.monotonic()
        program.send_signal(signal.SIGINT)
        said, _ = program.communicate(timeout=20)
        took = time.monotonic() - start
    assert said.splitlines() == ["asking", "interrupted"]
    assert program.returncode == 0
    assert took <= 2 * PROMPTLY
    assert any(each.cancelled.wait(5) for each in holding)
    for each, server in zip(holding, running, strict=True):
        each.let_go.set()
        server.stop()


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
    with TRANSPORTS[{kind}](*{urls!r}) as asking:
        for _ in range(20):
            asking.infer(toy_request(), deadline=deadline())
        time.sleep(0.05)
    assert threading.active_count() == 1, threading.enumerate()
print(json.dumps([began, settled(began)]))
"""


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("kind", [0, 1], ids=["threads", "asyncio"])
def test_closing_leaves_no_thread_and_no_descriptor(toy_server: TritonServer, kind: int, servers: int) -> None:
    """In a program of its own, so that nothing else of these tests is counted."""
    import json

    with ScriptedServer() as other:
        urls = [toy_server.grpc_url, other.url][:servers]
        code = _USE.format(tests=str(Path(__file__).parents[2]), kind=kind, urls=urls, rounds=5)
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    before, after = json.loads(result.stdout)
    assert after == before


@pytest.mark.chaos
def test_many_requests_with_random_deadlines_leave_nothing_behind(
    transport: TransportClass, python_server: TritonServer, record_property: Callable[[str, object], None]
) -> None:
    """Three in ten are late, by far: Triton 24.10 may crash when an answer is ready just as its call ends."""
    plan = seconds_and_deadlines(times(10_000))
    outcomes: Counter[str] = Counter()
    with transport(python_server.grpc_url) as asking:
        with ThreadPoolExecutor(THREADS) as pool:

            def ask(each: tuple[float, float]) -> str:
                return outcome(asking, *each)

            outcomes.update(pool.map(ask, plan[:_ROUND]))
            before = _left()
            for first in range(0, len(plan), _ROUND):  # what a pool has not begun yet takes memory, too
                outcomes.update(pool.map(ask, plan[first : first + _ROUND]))
            after = _left()
        assert asking.infer(slow_request(0.0), deadline=deadline()).attempts == 1
    record_property("outcomes", dict(outcomes))
    record_property("descriptors_threads_kib", [before, after])
    assert set(outcomes) == {"answered", "late"}
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert after[2] - before[2] <= 1024


def seconds_and_deadlines(count: int) -> list[tuple[float, float]]:
    chance = random.Random(0)
    late = [(0.06, chance.uniform(0.001, 0.03)) for _ in range(count * 3 // 10)]
    plan = late + [(chance.uniform(0, 0.01), 5.0) for _ in range(count - len(late))]
    chance.shuffle(plan)
    return plan


def outcome(asking: Any, takes: float, allowed: float) -> str:
    try:
        asking.infer(slow_request(takes), deadline=deadline(allowed))
    except DeadlineError:
        return "late"
    return "answered"


def _left() -> tuple[int, int, int]:
    """Descriptors, threads and resident KiB of this process."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), resident
