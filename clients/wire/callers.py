"""Ways to make calls without waiting for them in the calling thread: worker threads, and gRPC's own thread.

Workers are the faster way for calls one after the other, and need a thread for each call under way. gRPC's thread
serves any number of calls, and is started again for each that is alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol, TypeAlias

import grpc

from camserve.clients.wire.failures import DEADLINE_REASON, CallFailed, clock_set
from camserve.clients.wire.pending import LONGEST, Outcome, PendingCall

__all__ = ["Caller", "GrpcThread", "Method", "Mixed", "Workers"]

Method: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"
Done = Callable[[Outcome], None]

_IDLE_SECONDS = 10.0
_LONE = 3
"""Number of calls in a row that were alone, after which the next one that is alone is made in a worker."""


class Caller(Protocol):
    """Makes calls.

    Attributes:
        breaks_connections: Whether a connection is useless after a call for which no thread could be started.
    """

    breaks_connections: bool

    def start(self, method: Method, pending: PendingCall, done: Done) -> None:
        """Make a call, and give its outcome to `done` in another thread.

        Raises:
            RuntimeError: If no thread can be started.
        """

    def close(self) -> None:
        """End the threads, those that make calls after their calls."""


class GrpcThread:
    """Makes calls in a thread of gRPC; see `Caller`."""

    breaks_connections = True  # gRPC takes the thread for started, and never hears of the end of a call

    def start(self, method: Method, pending: PendingCall, done: Done) -> None:
        """Make a call; see `Caller`."""
        call = pending.call
        future = method.future(call.message, timeout=call.seconds + LONGEST, metadata=call.metadata)
        future.add_done_callback(lambda ended: done(_outcome(ended.result, pending)))

    def close(self) -> None:
        """Do nothing: the thread ends with the calls."""


class Workers:
    """Makes blocking calls in threads that are used again; see `Caller`."""

    breaks_connections = False

    def __init__(self) -> None:
        self._rest = _Rest()

    def start(self, method: Method, pending: PendingCall, done: Done) -> None:
        """Make a call; see `Caller`."""

        def work() -> Outcome:
            call = pending.call
            return _outcome(
                lambda: method(call.message, timeout=call.seconds + LONGEST, metadata=call.metadata), pending
            )

        jobs = self._rest.leave() or self._new_worker()
        jobs.put((work, done))

    def close(self) -> None:
        """End the threads; see `Caller`."""
        self._rest.end()

    def _new_worker(self) -> _Jobs:
        jobs: _Jobs = SimpleQueue()
        threading.Thread(target=_work, args=(jobs, self._rest), name="camserve-call", daemon=True).start()
        return jobs


class Mixed:
    """Makes calls one after the other in a worker, and calls at the same time in a thread of gRPC; see `Caller`.

    So neither is a thread started for each of many calls one after the other, nor does each of many calls at the same
    time need one. Replies to calls at the same time often arrive together, so that the next call is alone for a moment:
    it is made in gRPC's thread as well.
    """

    breaks_connections = True

    def __init__(self) -> None:
        self._workers = Workers()
        self._grpc = GrpcThread()
        self._lock = threading.Lock()
        self._calls = 0
        self._lone = _LONE  # the first calls read the model, one after the other

    def start(self, method: Method, pending: PendingCall, done: Done) -> None:
        """Make a call; see `Caller`."""

        def counted(outcome: Outcome) -> None:
            self._leave()
            done(outcome)

        caller: Caller = self._workers if self._enter() else self._grpc
        try:
            caller.start(method, pending, counted)
        except RuntimeError:
            self._leave()
            raise

    def close(self) -> None:
        """End the threads; see `Caller`."""
        self._workers.close()

    def _enter(self) -> bool:
        """Count a call; return whether it and those just before it were alone."""
        with self._lock:
            self._calls += 1
            self._lone = self._lone + 1 if self._calls == 1 else 0
            return self._lone > _LONE

    def _leave(self) -> None:
        with self._lock:
            self._calls -= 1


_Jobs = SimpleQueue[tuple[Callable[[], Outcome], Done] | None]


class _Rest:
    """The workers without work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[_Jobs, threading.Thread]] = []
        self._ended = False

    def enter(self, jobs: _Jobs) -> bool:
        """Add the worker of the current thread; return whether it is to go on."""
        with self._lock:
            if not self._ended:
                self._idle.append((jobs, threading.current_thread()))
            return not self._ended

    def leave(self, jobs: _Jobs | None = None) -> _Jobs | None:
        """Remove a worker: the one with these jobs, or any. Return its jobs, or None if there is no such worker."""
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if jobs is None or self._idle[place][0] is jobs:
                    return self._idle.pop(place)[0]
        return None

    def end(self) -> None:
        """End all workers, and wait for those without work."""
        with self._lock:
            self._ended = True
            idle, self._idle = self._idle, []
        for jobs, _ in idle:
            jobs.put(None)
        for _, thread in idle:
            thread.join()


def _work(jobs: _Jobs, rest: _Rest) -> None:
    """Do the jobs of one worker until it has been idle for long."""
    while True:
        try:
            job = jobs.get(timeout=_IDLE_SECONDS)
        except Empty:
            if rest.leave(jobs):
                return
            continue  # a job is about to come
        if job is None:
            return
        work, done = job
        outcome = work()
        goes_on = rest.enter(jobs)  # first, so that the next call of who waits finds this worker idle
        done(outcome)
        del job, work, done, outcome
        if not goes_on:
            return


def _outcome(receive: Callable[[], bytes], pending: PendingCall) -> Outcome:
    """Return the reply or the failure of a call that has ended."""
    try:
        return receive()
    except grpc.RpcError as error:
        # A future of gRPC raises itself, so its traceback refers to it: a cycle, which would keep the frames of the
        # callers, and the image in them, until the next garbage collection.
        error.__traceback__ = None
        status, why = error.code(), error.details() or ""
        if status is grpc.StatusCode.DEADLINE_EXCEEDED and why == DEADLINE_REASON:
            return clock_set()
        return CallFailed(status.name, why, pending.call.metadata)
    except (ValueError, grpc.FutureCancelledError):  # the channel is closed
        return CallFailed("UNAVAILABLE", "the connection was closed")
    except MemoryError as error:  # who waits learns it
        return error
