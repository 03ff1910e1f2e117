"""A stream of images through threads: results in order, within a window, without leftover threads or requests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Generic, TypeVar

from camserve.clients.file_queries import Opened
from camserve.clients.threads import starting_threads
from camserve.clients.window import End, MemoryLimit, Window, without_frames
from camserve.errors import CamserveError
from camserve.images.files import bytes_to_read

__all__ = ["Stream"]

P = TypeVar("P")
T = TypeVar("T")


class Stream(Generic[P, T]):
    """Classifies images in threads that end with it.

    Args:
        window: How much is in progress at once.
        open_: Reads the file and the header of an image.
        answer: Decodes and classifies an image.
        affects_one: Whether an error affects only its image.
    """

    def __init__(
        self,
        window: Window,
        open_: Callable[[P], Opened],
        answer: Callable[[Opened], T],
        affects_one: Callable[[CamserveError], bool],
    ) -> None:
        self._window = window
        self._open = open_
        self._answer = answer
        self._affects_one = affects_one
        self._end = End()
        self._memory = MemoryLimit(window)
        self._changed = threading.Condition()

    def answers(self, images: Iterable[P], stop: Callable[[], None]) -> Iterator[T | CamserveError]:
        """Yield the result of each image in order, and take images only as far as the window allows.

        A finished result is yielded before the next image is taken. Each image has the context variables of the caller,
        such as the current span, at the time at which it is taken.

        Args:
            images: Any number of images.
            stop: Ends the pending requests; called at the end in any case.
        """
        pool = ThreadPoolExecutor(self._window.concurrency, thread_name_prefix="camserve-stream")
        pending: deque[Future[T | CamserveError]] = deque()
        try:
            for place, image in enumerate(images):
                with self._changed:
                    self._memory.enter(place)
                with starting_threads():
                    pending.append(pool.submit(copy_context().run, self._at, place, image))
                while pending and (len(pending) >= self._window.length or pending[0].done()):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            with self._changed:
                self._end.at_once()
                self._changed.notify_all()
            stop()
            pool.shutdown(cancel_futures=True)

    def _at(self, place: int, image: P) -> T | CamserveError:
        try:
            return self._result(place, image)
        except BaseException as error:
            with self._changed:
                self._end.at(place, error)
            raise
        finally:
            with self._changed:
                self._memory.leave(place)
                self._changed.notify_all()

    def _result(self, place: int, image: P) -> T | CamserveError:
        try:
            self._wait_for_memory(place, bytes_to_read(image))
            opened = self._open(image)
            self._wait_for_memory(place, opened.decoded_bytes)
            return self._answer(opened)
        except CamserveError as error:
            if self._window.errors == "yield" and self._affects_one(error):
                return without_frames(error)
            raise

    def _wait_for_memory(self, place: int, size: int) -> None:
        """Wait until the image may use so many bytes in total; raise the error if the stream has ended."""
        with self._changed:
            self._end.check(place)
            while not self._memory.fits(place, size):
                self._changed.wait()
                self._end.check(place)
            self._memory.take(place, size)
