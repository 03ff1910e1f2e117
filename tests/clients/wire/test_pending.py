"""Calls that are abandoned: counted, limited, and neither cancelled nor in the way of others."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from support.scripted_server import Context, ScriptedServer, logits
from support.transports import TransportClass, deadline, toy_request

from camserve.clients.steps import Call
from camserve.clients.wire.failures import CallFailed
from camserve.clients.wire.pending import Line, PendingCall
from camserve.errors import ClientError, DeadlineError


def call() -> Call:
    return Call("server", "ModelInfer", b"", (), 1.0)


def test_line_sends_as_many_waiting_calls_as_the_limit_allows() -> None:
    line, sent = Line(limit=2), []
    calls = [PendingCall(call(), line) for _ in range(6)]
    for each in calls:
        if each is calls[2]:
            calls[0].abandon(CallFailed("UNAVAILABLE", "left"))
            calls[1].abandon(CallFailed("UNAVAILABLE", "left"))
        line.begin(each, lambda each=each: sent.append(each), lambda: None)  # type: ignore[misc]
    assert sent == calls[:2]
    calls[0].end(b"dropped")
    assert sent == calls[:3]
    calls[2].end(b"reply")
    assert sent == calls[:4]
    assert calls[2].wait(0) == b"reply"
    calls[1].end(b"dropped")
    assert sent == calls
    for each in calls[3:]:
        each.end(b"reply")


def test_call_abandoned_before_it_is_sent_is_dropped_and_not_counted() -> None:
    line, dropped = Line(limit=1), []
    first, second, third = (PendingCall(call(), line) for _ in range(3))
    line.begin(first, lambda: None, lambda: None)
    first.abandon(CallFailed("UNAVAILABLE", "left"))
    line.begin(second, lambda: pytest.fail("sent"), lambda: dropped.append(second))
    with pytest.raises(CallFailed) as caught:
        second.wait(0.01)
    assert (caught.value.status, caught.value.why) == (
        "DEADLINE_EXCEEDED",
        "1 abandoned request is still under way there",
    )
    assert dropped == [second]
    first.end(b"dropped")
    line.begin(third, lambda: third.end(b"reply"), lambda: None)
    assert third.wait(0) == b"reply"


def test_end_and_abandonment_at_once_give_one_outcome() -> None:
    for _ in range(300):
        line = Line()
        pending = PendingCall(call(), line)
        line.begin(pending, lambda: None, lambda: None)
        both = threading.Barrier(2)

        def end(pending: PendingCall = pending, both: threading.Barrier = both) -> None:
            both.wait()
            pending.end(b"reply")

        thread = threading.Thread(target=end)
        thread.start()
        both.wait()
        pending.abandon(CallFailed("UNAVAILABLE", "left"))
        thread.join()
        try:
            outcome = pending.wait(0).decode()
        except CallFailed as failed:
            outcome = failed.why
        assert outcome in ("reply", "left")
        assert not line._abandoned


def test_request_without_time_left_is_not_sent(transport: TransportClass) -> None:
    with ScriptedServer() as server, transport(server.url) as client:
        late = deadline(0.001)
        time.sleep(0.01)
        for _ in range(100):  # more than the limit of abandoned calls
            with pytest.raises(DeadlineError):
                client.infer(toy_request(), deadline=late)
        assert server.requests() == 0
        assert client.infer(toy_request(), deadline=deadline()).attempts == 1


@pytest.mark.timed
def test_clock_that_jumps_changes_neither_deadline_nor_answer(
    transport: TransportClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, jumps = time.time, itertools.cycle((0, -7200, 7200, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    held = threading.Event()

    def answer(message: bytes, context: Context) -> bytes:
        if held.is_set():
            time.sleep(1.5)
        return logits()

    with ScriptedServer(answer) as server, transport(server.url) as client:
        for _ in range(10):
            assert client.infer(toy_request(), deadline=deadline(20)).version == "1"
        held.set()
        began = time.monotonic()
        with pytest.raises(DeadlineError):
            client.infer(toy_request(), deadline=deadline(0.5))
        assert 0.4 <= time.monotonic() - began <= 1.0


def test_missing_thread_is_an_error_and_the_next_request_succeeds(
    transport: TransportClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer() as server, transport(server.url) as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _no_thread)
            with pytest.raises(ClientError, match="no thread can be started"):
                client.infer(toy_request(), deadline=deadline())
        assert client.infer(toy_request(), deadline=deadline()).attempts == 1


def _no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_segment_of_an_abandoned_call_is_not_used_again_before_its_end(transport: TransportClass) -> None:
    held, regions = threading.Event(), []

    def answer(message: bytes, context: Context) -> bytes:
        regions.append(message[message.index(b"camserve-client-") :][:80])
        if len(regions) == 1:
            held.wait(20)
        return logits()

    with ScriptedServer(answer, memory=True) as server, transport(server.url, shared_memory=True) as client:
        with pytest.raises(DeadlineError):
            client.infer(toy_request(np.ones((1, 8, 8, 3), np.float32)), deadline=deadline(0.3))
        client.infer(toy_request(), deadline=deadline())
        client.infer(toy_request(), deadline=deadline())
        closing = threading.Thread(target=client.close)
        closing.start()
        closing.join(2)
        assert not closing.is_alive(), "close waits for the call"
        assert "SystemSharedMemoryUnregister" not in server.methods
        held.set()
        end = time.monotonic() + 5
        while server.methods.count("SystemSharedMemoryUnregister") < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert server.methods.count("SystemSharedMemoryUnregister") == 2
    first, second, third = regions
    assert first != second == third
