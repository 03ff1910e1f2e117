"""A stream of images through tasks of an event loop: answers in order, a bounded window, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Generic, TypeVar

from camserve.clients.images.files import bytes_to_read
from camserve.clients.images.loading import Opened
from camserve.clients.window import End, Room, Window, without_frames
from camserve.errors import CamserveError

__all__ = ["AsyncStream"]

P = TypeVar("P")
T = TypeVar("T")


class AsyncStream(Generic[P, T]):
    """Answers to images, in their order, by tasks that end with it.

    Args:
        window: How much is under way at once.
        open_: Reads an image's file and header; called in a thread.
        answer: Decodes an image and asks for its answer.
        concerns_one: Whether an error is the fault of its image.
    """

    def __init__(
        self,
        window: Window,
        open_: Callable[[P], Opened],
        answer: Callable[[Opened], Awaitable[T]],
        concerns_one: Callable[[CamserveError], Awaitable[bool]],
    ) -> None:
        self._window = window
        self._open = open_
        self._answer = answer
        self._concerns_one = concerns_one
        self._end = End()
        self._room = Room(window)
        self._slots = asyncio.Semaphore(window.concurrency)
        self._changed = asyncio.Event()

    async def answers(self, images: Iterable[P] | AsyncIterable[P]) -> AsyncGenerator[T | CamserveError, None]:
        """Answers the images, which are taken up no further than the window reaches.

        What is answered is handed out before the next image is waited for.
        """
        under_way: deque[asyncio.Task[T | CamserveError]] = deque()
        place = 0
        try:
            async with aclosing(_each(images)) as taken_up:
                async for image in taken_up:
                    under_way.append(asyncio.create_task(self._at(place, image)))
                    place += 1
                    while under_way and (len(under_way) >= self._window.length or under_way[0].done()):
                        yield await under_way.popleft()
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _at(self, place: int, image: P) -> T | CamserveError:
        async with self._slots:
            self._room.enter(place)
            try:
                return await self._one(place, image)
            except Exception as error:
                self._end.because(error, place)
                raise
            finally:
                self._room.leave(place)
                self._notify()

    async def _one(self, place: int, image: P) -> T | CamserveError:
        try:
            return await self._answered(place, image)
        except CamserveError as error:
            if self._window.errors == "yield" and await self._concerns_one(error):
                return without_frames(error)
            raise

    async def _answered(self, place: int, image: P) -> T:
        await self._take(place, await asyncio.to_thread(bytes_to_read, image))
        opened = await asyncio.to_thread(self._open, image)
        await self._take(place, opened.decoded_bytes)
        return await self._answer(opened)

    async def _take(self, place: int, size: int) -> None:
        """Waits until the image may take so many bytes in all; raises what ended the stream meanwhile."""
        self._end.check(place)
        while not self._room.fits(place, size):
            await self._changed.wait()
            self._end.check(place)
        self._room.take(place, size)

    def _notify(self) -> None:
        """Wakes who waits for room now; who begins to wait afterwards waits for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()


async def _each(images: Iterable[P] | AsyncIterable[P]) -> AsyncGenerator[P, None]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
        return
    for image in images:
        yield image
