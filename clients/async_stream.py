"""A stream of images through tasks of an event loop: results in order, within a window, without leftover tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Generic, TypeVar

from camserve.clients.file_queries import Opened
from camserve.clients.threads import starting_threads
from camserve.clients.window import End, MemoryLimit, Window, without_frames
from camserve.errors import CamserveError
from camserve.images.files import bytes_to_read

__all__ = ["AsyncStream"]

P = TypeVar("P")
T = TypeVar("T")


class AsyncStream(Generic[P, T]):
    """Classifies images in tasks that end with it.

    Args:
        window: How much is in progress at once.
        open_: Reads the file and the header of an image; called in a thread.
        answer: Decodes and classifies an image.
        affects_one: Whether an error affects only its image.
    """

    def __init__(
        self,
        window: Window,
        open_: Callable[[P], Opened],
        answer: Callable[[Opened], Awaitable[T]],
        affects_one: Callable[[CamserveError], Awaitable[bool]],
    ) -> None:
        self._window = window
        self._open = open_
        self._answer = answer
        self._affects_one = affects_one
        self._end = End()
        self._memory = MemoryLimit(window)
        self._slots = asyncio.Semaphore(window.concurrency)
        self._changed = asyncio.Event()

    async def answers(self, images: Iterable[P] | AsyncIterable[P]) -> AsyncGenerator[T | CamserveError, None]:
        """Yield the result of each image in order, and take images only as far as the window allows.

        A finished result is yielded before the next image is taken.
        """
        pending: deque[asyncio.Task[T | CamserveError]] = deque()
        place = 0
        try:
            async with aclosing(_each(images)) as taken:
                async for image in taken:
                    pending.append(asyncio.create_task(self._at(place, image)))
                    place += 1
                    while pending and (len(pending) >= self._window.length or pending[0].done()):
                        yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _at(self, place: int, image: P) -> T | CamserveError:
        async with self._slots:
            self._memory.enter(place)
            try:
                return await self._result(place, image)
            except Exception as error:
                self._end.at(place, error)
                raise
            finally:
                self._memory.leave(place)
                self._notify()

    async def _result(self, place: int, image: P) -> T | CamserveError:
        try:
            with starting_threads():
                size = await asyncio.to_thread(bytes_to_read, image)
            await self._wait_for_memory(place, size)
            with starting_threads():
                opened = await asyncio.to_thread(self._open, image)
            await self._wait_for_memory(place, opened.decoded_bytes)
            return await self._answer(opened)
        except CamserveError as error:
            if self._window.errors == "yield" and await self._affects_one(error):
                return without_frames(error)
            raise

    async def _wait_for_memory(self, place: int, size: int) -> None:
        """Wait until the image may use so many bytes in total; raise the error if the stream has ended."""
        self._end.check(place)
        while not self._memory.fits(place, size):
            await self._changed.wait()
            self._end.check(place)
        self._memory.take(place, size)

    def _notify(self) -> None:
        """Wake the tasks that wait for memory; a task that waits from now on waits for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()


async def _each(images: Iterable[P] | AsyncIterable[P]) -> AsyncGenerator[P, None]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
        return
    for image in images:
        yield image
