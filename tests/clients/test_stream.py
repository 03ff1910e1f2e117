"""What both streams do with threads and tasks, without a server: room, order, and who is waited for."""

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
from camserve.clients.images.files import bytes_to_read
from camserve.clients.images.loading import Opened
from camserve.clients.stream import Stream
from camserve.clients.window import MemoryLimit, Window
from camserve.errors import CamserveError, ImageError

SECONDS = 30.0
Open = Callable[[Any], int]
Answer = Callable[[int], int]
Ask = Callable[[Window, list[Any], Open, Answer], list[Any]]


class Sized:
    """Stands for an opened image."""

    def __init__(self, decoded_bytes: int) -> None:
        self.decoded_bytes = decoded_bytes


class Image:
    """Something that is gone once nobody holds it."""


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


both = pytest.mark.parametrize("ask", [by_threads, by_tasks])


def test_the_first_is_never_held_up_and_the_others_wait_until_they_fit() -> None:
    room = MemoryLimit(Window(bytes=10))
    for place in (3, 4, 5):
        room.enter(place)
    assert room.fits(3, 99)
    room.take(4, 6)
    assert [room.fits(4, 10), room.fits(4, 11)] == [True, False]
    assert [room.fits(5, 4), room.fits(5, 5)] == [True, False]
    room.take(3, 99)
    assert [room.fits(4, 7), room.fits(5, 1)] == [False, False]
    room.leave(3)
    assert [room.fits(4, 99), room.fits(5, 4), room.fits(5, 5)] == [True, True, False]
    room.leave(4)
    assert room.fits(5, 99)


def test_images_take_at_most_the_window_and_what_the_first_takes() -> None:
    chance = random.Random(1)
    for _ in range(50):
        room, held = MemoryLimit(Window(bytes=100)), {}
        for place in range(200):
            room.enter(place)
            held[place] = 0
            for one in chance.sample(sorted(held), len(held)):
                size = held[one] + chance.randrange(150)
                if room.fits(one, size):
                    room.take(one, size)
                    held[one] = size
            assert sum(held.values()) - held[min(held)] <= 100
            for gone in chance.sample(sorted(held), chance.randrange(len(held))):
                room.leave(gone)
                del held[gone]


def test_a_file_takes_its_size_before_it_is_read_and_what_is_in_memory_or_unknown_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(b"12345")
    with path.open("rb") as buffered, path.open("rb", buffering=0) as plain:
        assert [bytes_to_read(source) for source in (path, str(path), buffered, plain)] == [5, 5, 5, 5]
    for source in (tmp_path / "none.png", "\0", "", b"12345", io.BytesIO(b"12345"), np.zeros((9, 9)), buffered, None):
        assert bytes_to_read(source) == 0


@both
def test_images_that_all_wait_for_more_room_than_there_is_do_not_wait_for_ever(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(bytes(10))
    both_read = threading.Barrier(2)

    def open_(image: object) -> int:
        both_read.wait(SECONDS)
        return 99

    assert ask(Window(concurrency=2, bytes=20), [path] * 6, open_, lambda size: size) == [99] * 6


@both
def test_images_that_fail_give_back_what_they_took(ask: Ask, tmp_path: Path) -> None:
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

    found = ask(Window(concurrency=2, bytes=100, errors="yield"), [path, 1, path, 1, path, 50, 50], open_, answer)
    assert [isinstance(each, ImageError) for each in found] == [True] * 5 + [False] * 2
    assert found[5:] == [50, 50]


def test_whoever_waits_for_room_is_woken_when_the_stream_is_left() -> None:
    asked, opened_last, woken, left = (threading.Event() for _ in range(4))
    found = []

    def open_(image: int) -> Opened:
        if image == 11:  # there will be no room for it
            asked.wait(SECONDS)
            opened_last.set()
        return opened(image)

    def answer(image: Opened) -> int:
        if image.decoded_bytes == 10:
            asked.set()
            left.wait(2 * SECONDS)
        else:
            opened_last.wait(SECONDS)
        return image.decoded_bytes

    def leave() -> None:
        found.append(woken.wait(SECONDS))
        left.set()

    def affects_one(error: CamserveError) -> bool:
        woken.set()
        return False

    window = Window(concurrency=3, bytes=10, errors="yield")
    answers = Stream(window, open_, answer, affects_one).answers([0, 10, 11], leave)
    assert next(answers) == 0
    cast(Generator[Any, Any, Any], answers).close()
    assert found == [True]


def test_threads_hand_out_what_is_answered_before_the_next_image_is_waited_for() -> None:
    may_answer = threading.Event()
    gone = [threading.Event() for _ in range(4)]
    handed: list[object] = []
    at_next: list[int] = []

    def images() -> Iterator[Image]:
        for event in gone:
            image = Image()
            weakref.finalize(image, event.set)  # once its answer is there, and another one was taken up
            yield image
            del image
        may_answer.set()
        assert all(event.wait(SECONDS) for event in gone[:3])
        yield Image()
        at_next.append(len(handed))

    def answer(image: Opened) -> bool:
        return may_answer.wait(SECONDS)

    stream: Stream[Image, bool] = Stream(Window(concurrency=4), lambda _: opened(1), answer, lambda _: False)
    for each in stream.answers(images(), stop=lambda: None):
        handed.append(each)
    assert len(handed) == 5
    assert at_next[0] >= 3


def test_tasks_hand_out_what_is_answered_before_the_next_image_is_waited_for() -> None:
    handed: list[object] = []
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
            at_next.append(len(handed))

        async def answer(image: Opened) -> bool:
            return await may_answer.wait()

        async def affects_one(error: CamserveError) -> bool:
            return False

        stream: AsyncStream[int, bool] = AsyncStream(Window(concurrency=4), lambda _: opened(1), answer, affects_one)
        async for each in stream.answers(images()):
            handed.append(each)

    asyncio.run(main())
    assert len(handed) == 5
    assert at_next[0] >= 4
