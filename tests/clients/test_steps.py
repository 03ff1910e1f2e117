"""The drivers of threads and of asyncio: what a request receives, and what remains of its errors."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from camserve.clients.steps import Call, Step, Steps, Wait, Work, run_steps, run_steps_async

CALL = Call("a:1", "ServerReady", b"message", (), 1.0)
Run = Callable[[Steps[Any], Callable[[Step], object]], Any]


def run_in_task(steps: Steps[Any], perform: Callable[[Step], object]) -> Any:
    async def perform_async(step: Step) -> object:
        await asyncio.sleep(0)
        return perform(step)

    return asyncio.run(run_steps_async(steps, perform_async))


both = pytest.mark.parametrize("run", [run_steps, run_in_task])


class LostError(Exception):
    """What `lose` raises."""


class Message:
    """An object that supports weak references."""


def lose(step: Step) -> object:
    raise LostError


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@both
def test_request_receives_the_outcomes_in_order(run: Run) -> None:
    def request() -> Steps[tuple[bytes, int]]:
        reply = yield from CALL
        yield from Wait(0.5)
        value = yield from Work(lambda: 3)
        return reply, value

    def perform(step: Step) -> object:
        performed.append(step)
        return step.compute() if isinstance(step, Work) else b"reply"

    performed: list[Step] = []
    assert run(request(), perform) == (b"reply", 3)
    assert performed[:2] == [CALL, Wait(0.5)]


@both
def test_request_may_handle_the_error_of_a_step(run: Run) -> None:
    def request() -> Steps[str]:
        try:
            yield from CALL
        except LostError:
            return "handled"
        return "unreachable"

    assert run(request(), lose) == "handled"


@both
def test_error_raised_after_a_handled_one_has_no_context(run: Run) -> None:
    def request() -> Steps[None]:
        try:
            yield from CALL
        except LostError:
            error = ValueError("no server")
        raise error

    with pytest.raises(ValueError, match="no server") as caught:
        run(request(), lose)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_interrupt_releases_what_the_request_holds(error: type[BaseException]) -> None:
    def request() -> Steps[None]:
        try:
            yield from CALL
        finally:
            released.append(True)

    def interrupt(step: Step) -> object:
        raise error

    released: list[bool] = []
    with pytest.raises(error):
        run_steps(request(), interrupt)
    assert released == [True]


@both
@pytest.mark.usefixtures("no_collector")
def test_handled_error_does_not_hold_the_request(run: Run) -> None:
    def request(message: Message) -> Steps[None]:
        try:
            yield from CALL
        except LostError as lost:
            error = ValueError(str(lost))
        raise error

    message = Message()
    watched = weakref.ref(message)
    with pytest.raises(ValueError):
        run(request(message), lose)
    del message
    assert watched() is None


@both
def test_error_before_the_first_step_is_raised(run: Run) -> None:
    def request() -> Steps[None]:
        raise LostError
        yield  # type: ignore[unreachable]

    with pytest.raises(LostError):
        run(request(), lose)
