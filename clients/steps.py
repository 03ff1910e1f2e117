"""Steps of a request: what it has to wait for, independent of threads and asyncio.

A request is a generator. It waits with `yield from step`, which returns the outcome of the step or raises its error,
and uses no socket, no clock and no event loop itself. A transport performs the steps: `run_steps` in a thread,
`run_steps_async` in a task.

Example:
    def is_ready(server: Server) -> Steps[bool]:
        reply = yield from Call(server.url, "ServerReady", b"", (), 1.0)
        return ServerReadyResponse.FromString(reply).ready
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, Union

__all__ = ["Call", "Metadata", "Step", "Steps", "Wait", "Work", "run_steps", "run_steps_async"]

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]
Step = Union["Call", "Wait", "Work[Any]"]
Steps = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Call:
    """Send a message to a server and return the bytes of its reply, or raise `CallFailed`.

    Attributes:
        url: The server.
        method: Name of the method in Triton's gRPC service.
        message: The serialized request.
        metadata: Headers of the request.
        seconds: Timeout of the wait for the reply. The call itself is not cancelled.
        ended: Called once the server does not work on the call any more, or will not, which may be long after the wait.
    """

    url: str
    method: str
    message: bytes
    metadata: Metadata
    seconds: float
    ended: Callable[[], None] | None = None

    def __iter__(self) -> Steps[bytes]:
        reply: bytes = yield self
        return reply


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for some seconds."""

    seconds: float

    def __iter__(self) -> Steps[None]:
        yield self


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """Compute something that takes long, such as decoding an image, without blocking an event loop."""

    compute: Callable[[], T]

    def __iter__(self) -> Steps[T]:
        value: T = yield self
        return value


def run_steps(steps: Steps[T], perform: Callable[[Step], object]) -> T:
    """Run a request to its end in this thread.

    Args:
        steps: The request.
        perform: Performs one step and returns its outcome.
    """
    resume: Callable[[], Step] = partial(next, steps)
    try:
        while True:
            resume = _after(resume(), steps, perform)
    except StopIteration as end:
        value: T = end.value
        return value
    except BaseException as error:
        _clear_frames(error)
        raise
    finally:
        del resume  # the traceback of an error refers to this frame, and `resume` may refer to the error
        steps.close()  # if Ctrl-C came between two steps


async def run_steps_async(steps: Steps[T], perform: Callable[[Step], Awaitable[object]]) -> T:
    """Run a request to its end in this task; see `run_steps`."""
    resume: Callable[[], Step] = partial(next, steps)
    try:
        while True:
            resume = await _after_async(resume(), steps, perform)
    except StopIteration as end:
        value: T = end.value
        return value
    except BaseException as error:
        _clear_frames(error)
        raise
    finally:
        del resume
        steps.close()


def _after(step: Step, steps: Steps[Any], perform: Callable[[Step], object]) -> Callable[[], Step]:
    """Perform a step and return what resumes the request.

    The request is resumed outside of the `except` clause: an error that it raises has no other error as its context.
    """
    try:
        return partial(steps.send, perform(step))
    except BaseException as error:  # noqa: BLE001  (the request releases what it holds, also at Ctrl-C)
        return partial(steps.throw, error)


async def _after_async(
    step: Step, steps: Steps[Any], perform: Callable[[Step], Awaitable[object]]
) -> Callable[[], Step]:
    try:
        return partial(steps.send, await perform(step))
    except BaseException as error:  # noqa: BLE001  (and when its task is cancelled)
        return partial(steps.throw, error)


def _clear_frames(error: BaseException) -> None:
    """Clear the local variables of the frames behind an error; its traceback can still be printed.

    Some of them refer to the error, and the error to them: an image and its tensor would stay in memory until the next
    garbage collection.
    """
    behind: BaseException | None = error
    while behind is not None:
        traceback.clear_frames(behind.__traceback__)
        behind = behind.__cause__ or (behind.__context__ if behind.__suppress_context__ else None)
