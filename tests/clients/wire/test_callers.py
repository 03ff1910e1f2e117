"""Which thread makes a call."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from camserve.clients.steps import Call
from camserve.clients.wire.callers import Mixed
from camserve.clients.wire.pending import Line, PendingCall

WORKER, GRPC = "worker", "grpc"


class Method:
    """Notes who makes a call; a call in a thread of gRPC ends with `end`, one in a worker at once."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.futures: list[Future] = []

    def __call__(self, *_: object, **__: object) -> bytes:
        self.made.append(WORKER)
        return b"reply"

    def future(self, *_: object, **__: object) -> Future:
        self.made.append(GRPC)
        self.futures.append(Future())
        return self.futures[-1]

    def end(self) -> None:
        """End the calls in the thread of gRPC."""
        while self.futures:
            future = self.futures.pop()
            future.done(future)


class Future:
    def add_done_callback(self, done: Callable[[Future], None]) -> None:
        self.done = done

    def result(self) -> bytes:
        return b"reply"


def test_only_calls_one_after_the_other_are_made_in_a_worker() -> None:
    method: Any = Method()
    caller, replies = Mixed(), SimpleQueue[object]()

    def make(calls: int) -> None:
        for _ in range(calls):
            pending = PendingCall(Call("server", "ModelInfer", b"", (), 1.0), Line())
            caller.start(method, pending, replies.put)
        method.end()
        assert [replies.get(timeout=10) for _ in range(calls)] == [b"reply"] * calls

    for _ in range(5):
        make(1)
    assert method.made == [WORKER] * 5
    method.made.clear()
    make(1)
    for _ in range(3):
        caller._enter()  # another call is under way
        make(2)
        caller._leave()
        make(3)  # the first of which is alone for a moment
    assert method.made == [WORKER] + [GRPC] * 15
    method.made.clear()
    for _ in range(5):
        make(1)
    assert method.made == [GRPC] * 3 + [WORKER] * 2
    caller.close()
