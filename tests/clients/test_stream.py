"""The streams of threads and of tasks, without a server: memory, order and waiting."""

from __future__ import annotations

import asyncio
import io
import random
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from camserve.clients.async_stream import AsyncStream
from camserve.clients.file_queries import Opened
from camserve.clients.stream import Stream
from camserve.clients.window import MemoryLimit, Window
from camserve.errors import CamserveError, ImageError
from camserve.images.files import bytes_to_read

SECONDS = 30.0
Open = Callable[[Any], int]
Answer = Callable[[int], int]
RunStream = Callable[[Window, list[Any], Open, Answer], list[Any]]


class Sized:
    """A stand-in for an opened image."""

    def __init__(self, decoded_bytes: int) -> None:
        self.decoded_bytes = decoded_bytes


class Image:
    """An object that supports weak references."""


def opened(size: int) -> Opened:
    return cast(Opened, Sized(size))


def by_threads(window: Window, images: list[Any], open_: Open, answer: Answer) -> list[Any]:
    stream: Stream[Any, int] = Stream(
        window,
        open_=lambda image: opened(open_(image)),
        answer=lambda of: answer(of.decoded_bytes),
        affects_one=lambda _: True,
    )
    return list(stream.answers(images, stop=lambda: None))


def by_tasks(window: Window, images: list[Any], open_: Open, answer: Answer) -> list[Any]:
    async def affects_one(error: CamserveError) -> bool:
        return True

    async def main() -> list[Any]:
        stream: AsyncStream[Any, int] = AsyncStream(
            window,
            open_=lambda image: opened(open_(image)),
            answer=lambda of: asyncio.to_thread(answer, of.decoded_bytes),
            affects_one=affects_one,
        )
        return [each async for each in stream.answers(images)]

    return asyncio.run(main())


both = pytest.mark.parametrize("run_stream", [by_threads, by_tasks])


def test_first_image_never_waits_and_others_wait_for_memory() -> None:
    memory = MemoryLimit(Window(bytes=10))
    for place in (3, 4, 5):
        memory.enter(place)
    assert memory.fits(3, 99)
    memory.take(4, 6)
    assert [memory.fits(4, 10), memory.fits(4, 11)] == [True, False]
    assert [memory.fits(5, 4), memory.fits(5, 5)] == [True, False]
    memory.take(3, 99)
    assert [memory.fits(4, 7), memory.fits(5, 1)] == [False, False]
    memory.leave(3)
    assert [memory.fits(4, 99), memory.fits(5, 4), memory.fits(5, 5)] == [True, True, False]
    memory.leave(4)
    assert memory.fits(5, 99)


def test_memory_of_images_stays_within_the_limit() -> None:
    chance = random.Random(1)
    for _ in range(50):
        memory, used = MemoryLimit(Window(bytes=100)), {}
        for place in range(200):
            memory.enter(place)
            used[place] = 0
            for one in chance.sample(sorted(used), len(used)):
                size = used[one] + chance.randrange(150)
                if memory.fits(one, size):
                    memory.take(one, size)
                    used[one] = size
            assert sum(used.values()) - used[min(used)] <= 100
            for gone in chance.sample(sorted(used), chance.randrange(len(used))):
                memory.leave(gone)
                del used[gone]


def test_file_counts_with_its_size_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(b"12345")
    with path.open("rb") as buffered, path.open("rb", buffering=0) as plain:
        assert [bytes_to_read(source) for source in (path, str(path), buffered, plain)] == [5, 5, 5, 5]
    for source in (tmp_path / "none.png", "\0", "", b"12345", io.BytesIO(b"12345"), np.zeros((9, 9)), buffered, None):
        assert bytes_to_read(source) == 0


@both
def test_images_larger_than_the_limit_do_not_deadlock(run_stream: RunStream, tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(bytes(10))
    both_read = threading.Barrier(2)

    def open_(image: object) -> int:
        both_read.wait(SECONDS)
        return 99

    assert run_stream(Window(concurrency=2, bytes=20), [path] * 6, open_, lambda size: size) == [99] * 6


@both
def test_failed_images_free_their_memory(run_stream: RunStream, tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(bytes(40))
    two_at_once = threading.Barrier(2)

    def open_(image: Any) -> int:
        if image == 1:
            raise ImageError("no image", hint="Give another one")
        return 100 if isinstance(image, Path) else int(image)

    def answer(size: int) -> int:
        if size == 100:
            raise ImageError("damaged", hint="Give another one")
        two_at_once.wait(SECONDS)
        return size

    found = run_stream(
        Window(concurrency=2, bytes=100, errors="yield"), [path, 1, path, 1, path, 50, 50], open_, answer
    )
    assert [isinstance(each, ImageError) for each in found] == [True] * 5 + [False] * 2
    assert found[5:] == [50, 50]


def test_waiting_images_end_with_the_stream() -> None:
    classifying, opened_last, woken, stopped = (threading.Event() for _ in range(4))
    found = []

    def open_(image: int) -> Opened:
        if image == 11:  # does not fit into the limit
            classifying.wait(SECONDS)
            opened_last.set()
        return opened(image)

    def answer(image: Opened) -> int:
        if image.decoded_bytes == 10:
            classifying.set()
            stopped.wait(2 * SECONDS)
        else:
            opened_last.wait(SECONDS)
        return image.decoded_bytes

    def stop() -> None:
        found.append(woken.wait(SECONDS))
        stopped.set()

    def affects_one(error: CamserveError) -> bool:
        woken.set()
        return False

    window = Window(concurrency=3, bytes=10, errors="yield")
    answers = Stream(window, open_, answer, affects_one).answers([0, 10, 11], stop)
    assert next(answers) == 0
    cast(Generator[Any, Any, Any], answers).close()
    assert found == [True]


def test_threads_yield_finished_results_before_the_next_image() -> None:
    may_answer = threading.Event()
    gone = [threading.Event() for _ in range(4)]
    results: list[object] = []
    at_next: list[int] = []

    def images() -> Iterator[Image]:
        for event in gone:
            image = Image()
            weakref.finalize(image, event.set)  # after its result, when the next one has been taken
            yield image
            del image
        may_answer.set()
        assert all(event.wait(SECONDS) for event in gone[:3])
        yield Image()
        at_next.append(len(results))

    def answer(image: Opened) -> bool:
        return may_answer.wait(SECONDS)

    stream: Stream[Image, bool] = Stream(Window(concurrency=4), lambda _: opened(1), answer, lambda _: False)
    for each in stream.answers(images(), stop=lambda: None):
        results.append(each)
    assert len(results) == 5
    assert at_next[0] >= 3


def test_tasks_yield_finished_results_before_the_next_image() -> None:
    results: list[object] = []
    at_next: list[int] = []

    async def main() -> None:
        may_answer = asyncio.Event()

        async def images() -> AsyncIterator[int]:
            for place in range(4):
                yield place
            may_answer.set()
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.001)
            yield 4
            at_next.append(len(results))

        async def answer(image: Opened) -> bool:
            return await may_answer.wait()

        async def affects_one(error: CamserveError) -> bool:
            return False

        stream: AsyncStream[int, bool] = AsyncStream(Window(concurrency=4), lambda _: opened(1), answer, affects_one)
        async for each in stream.answers(images()):
            results.append(each)

    asyncio.run(main())
    assert len(results) == 5
    assert at_next[0] >= 4
