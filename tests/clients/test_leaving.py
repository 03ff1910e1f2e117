"""Every way to leave a request early: it ends at once for the caller, and is never cancelled at the server."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress

import numpy as np
import pytest
from support.stream_gates import Gate
from support.stub_server import StubServer, Tensors
from support.toy import toy_contract

from camserve.clients import AsyncClassifier, Classifier
from camserve.clients.wire import pending
from camserve.errors import CamserveError, DeadlineError
from camserve.images.pixel_arrays import Pixels

CONTRACT = toy_contract()
IMAGE = Pixels(np.zeros((20, 30, 3), np.uint8), "rgb")
PROMPTLY = 1.5
UNDER_WAY = 4


class FirstOnly:
    """Answers the first request, and holds back the others until the gate is opened.

    Attributes:
        after: The first is answered once so many have been received.
    """

    def __init__(self) -> None:
        self.after = 1
        self.gate = Gate(CONTRACT)
        self._first = Gate(CONTRACT)
        self._first.open()
        self._numbers = itertools.count()

    def __call__(self, names: Sequence[str], count: int) -> Tensors:
        number = next(self._numbers)
        if number > 0:
            return self.gate(names, count)
        wait_until(lambda: self.gate.most >= self.after - 1)
        return self._first(names, count)


@pytest.fixture
def held() -> Iterator[StubServer]:
    """A server that answers only its first request; afterwards checks that no request was cancelled."""
    answer, others = FirstOnly(), set(pending._under_way)
    with StubServer(CONTRACT, answer) as server:
        yield server
        time.sleep(0.3)
        assert server.cancelled == 0, "requests were cancelled while they were left"
        assert len(server.batch_sizes) > 1, "requests were under way"
        answer.gate.open()
        wait_until(lambda: answer.gate.most > 0 and pending._under_way <= others)
        assert server.cancelled == 0


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def images(server: StubServer) -> Iterator[Pixels]:
    """Return images of which the first is received first, and answered while others are under way."""
    server.answer.after = 1 + UNDER_WAY  # type: ignore[attr-defined]
    yield IMAGE
    wait_until(lambda: bool(server.batch_sizes))
    yield from [IMAGE] * 60


async def async_images(server: StubServer) -> AsyncIterator[Pixels]:
    server.answer.after = 1 + UNDER_WAY  # type: ignore[attr-defined]
    yield IMAGE
    while not server.batch_sizes:
        await asyncio.sleep(0.01)
    for _ in range(60):
        yield IMAGE


def break_out(classifier: Classifier, server: StubServer) -> None:
    for _ in classifier.classify_many(images(server)):
        wait_until(lambda: len(server.batch_sizes) > UNDER_WAY)
        break


def raise_in_the_loop(classifier: Classifier, server: StubServer) -> None:
    with suppress(LookupError):
        for _ in classifier.classify_many(images(server)):
            wait_until(lambda: len(server.batch_sizes) > UNDER_WAY)
            raise LookupError


def close_the_iterator(classifier: Classifier, server: StubServer) -> None:
    with closing(classifier.classify_many(images(server))) as answers:
        next(answers)
        wait_until(lambda: len(server.batch_sizes) > UNDER_WAY)


def close_the_classifier(classifier: Classifier, server: StubServer) -> None:
    classifier.classify(IMAGE)
    with ThreadPoolExecutor(UNDER_WAY) as pool:
        calls = [pool.submit(classifier.classify, IMAGE) for _ in range(UNDER_WAY)]
        wait_until(lambda: len(server.batch_sizes) > UNDER_WAY)
        classifier.close()
        for call in calls:
            with pytest.raises(CamserveError, match="is closed"):
                call.result()


def miss_the_deadline(classifier: Classifier, server: StubServer) -> None:
    classifier.classify(IMAGE)
    with pytest.raises(DeadlineError):
        classifier.classify(IMAGE)


@pytest.mark.timed
@pytest.mark.parametrize(
    "leave", [break_out, raise_in_the_loop, close_the_iterator, close_the_classifier, miss_the_deadline]
)
def test_threads_never_cancel(leave: Callable[[Classifier, StubServer], None], held: StubServer) -> None:
    with Classifier(held.url, "toy", timeout=0.5 if leave is miss_the_deadline else 30) as classifier:
        began = time.monotonic()
        leave(classifier, held)
    assert time.monotonic() - began < PROMPTLY


async def requests_are_under_way(server: StubServer) -> None:
    await asyncio.to_thread(wait_until, lambda: len(server.batch_sizes) > UNDER_WAY)


async def close_the_stream(classifier: AsyncClassifier, server: StubServer) -> None:
    async with aclosing(classifier.classify_many(async_images(server))) as answers:
        async for _ in answers:
            await requests_are_under_way(server)
            break


async def stop_waiting_for_the_stream(classifier: AsyncClassifier, server: StubServer) -> None:
    async def use() -> None:
        async for _ in classifier.classify_many(async_images(server)):
            await requests_are_under_way(server)

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(use(), 0.5)


async def cancel_tasks(classifier: AsyncClassifier, server: StubServer) -> None:
    await classifier.classify(IMAGE)
    tasks = [asyncio.create_task(classifier.classify(IMAGE)) for _ in range(UNDER_WAY)]
    await requests_are_under_way(server)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def end_the_event_loop(classifier: AsyncClassifier, server: StubServer) -> None:
    await classifier.classify(IMAGE)
    for _ in range(UNDER_WAY):
        _tasks.append(asyncio.create_task(classifier.classify(IMAGE)))
    await requests_are_under_way(server)


async def close_the_async_classifier(classifier: AsyncClassifier, server: StubServer) -> None:
    await end_the_event_loop(classifier, server)
    await classifier.close()
    for error in await asyncio.gather(*_tasks[-UNDER_WAY:], return_exceptions=True):
        assert isinstance(error, CamserveError)


async def miss_the_deadline_in_a_task(classifier: AsyncClassifier, server: StubServer) -> None:
    await classifier.classify(IMAGE)
    with pytest.raises(DeadlineError):
        await classifier.classify(IMAGE)


_tasks: list[asyncio.Task[object]] = []


@pytest.mark.timed
@pytest.mark.parametrize(
    "leave",
    [
        close_the_stream,
        stop_waiting_for_the_stream,
        cancel_tasks,
        end_the_event_loop,
        close_the_async_classifier,
        miss_the_deadline_in_a_task,
    ],
)
def test_tasks_never_cancel(leave: Callable[[AsyncClassifier, StubServer], Awaitable[None]], held: StubServer) -> None:
    async def use() -> None:
        classifier = AsyncClassifier(held.url, "toy", timeout=0.5 if leave is miss_the_deadline_in_a_task else 30)
        await classifier.connect()
        await leave(classifier, held)
        if leave is not end_the_event_loop:
            await classifier.close()

    began = time.monotonic()
    asyncio.run(use())
    assert time.monotonic() - began < PROMPTLY


def test_further_requests_wait_while_too_many_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending.Line.__init__, "__defaults__", (UNDER_WAY,))
    gate = Gate(CONTRACT)
    with StubServer(CONTRACT, gate) as server, Classifier(server.url, "toy", timeout=0.3) as classifier:
        for _ in range(UNDER_WAY):
            with pytest.raises(DeadlineError, match=r"did not respond within 0\.3 s"):
                classifier.classify(IMAGE)
        for _ in range(3):
            with pytest.raises(DeadlineError, match=f"{UNDER_WAY} abandoned requests are still under way"):
                classifier.classify(IMAGE)
        assert len(server.batch_sizes) == UNDER_WAY
        threading.Timer(0.1, gate.open).start()
        assert classifier.classify(IMAGE).version == "1"
        assert len(server.batch_sizes) == UNDER_WAY + 1
        assert server.cancelled == 0
