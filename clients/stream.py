"""A stream of images through threads: answers in order, a bounded window, and nothing left behind."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Generic, TypeVar

from camserve.clients.images.files import bytes_to_read
from camserve.clients.images.loading import Opened
from camserve.clients.window import End, Room, Window, without_frames
from camserve.errors import CamserveError

__all__ = ["Stream"]

P = TypeVar("P")
T = TypeVar("T")


class Stream(Generic[P, T]):
    """Answers to images, in their order, by threads that end with it.

    Args:
        window: How much is under way at once.
        open_: Reads an image's file and header.
        answer: Decodes an image and asks for its answer.
        concerns_one: Whether an error is the fault of its image.
    """

    def __init__(
        self,
        window: Window,
        open_: Callable[[P], Opened],
        answer: Callable[[Opened], T],
        concerns_one: Callable[[CamserveError], bool],
    ) -> None:
        self._window = window
        self._open = open_
        self._answer = answer
        self._concerns_one = concerns_one
        self._end = End()
        self._room = Room(window)
        self._changed = threading.Condition()

    def answers(self, images: Iterable[P], leave: Callable[[], None]) -> Iterator[T | CamserveError]:
        """Answers the images, which are taken up no further than the window reaches.

        What is answered is handed out before the next image is waited for. Each image has the context variables of
        whoever takes the answers, such as the span that is traced, as they stand when it is taken up.

        Args:
            images: Of any number.
            leave: Ends the requests under way; called at the end, whatever the end is.
        """
        pool = ThreadPoolExecutor(self._window.concurrency, thread_name_prefix="camserve-stream")
        under_way: deque[Future[T | CamserveError]] = deque()
        try:
            for place, image in enumerate(images):
                with self._changed:
                    self._room.enter(place)
                under_way.append(pool.submit(copy_context().run, self._at, place, image))
                while under_way and (len(under_way) >= self._window.length or under_way[0].done()):
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            with self._changed:
                self._end.at_once()
                self._changed.notify_all()
            leave()
            pool.shutdown(cancel_futures=True)

    def _at(self, place: int, image: P) -> T | CamserveError:
        try:
            return self._one(place, image)
        except BaseException as error:
            with self._changed:
                self._end.because(error, place)
            raise
        finally:
            with self._changed:
                self._room.leave(place)
                self._changed.notify_all()

    def _one(self, place: int, image: P) -> T | CamserveError:
        try:
            return self._answered(place, image)
        except CamserveError as error:
            if self._window.errors == "yield" and self._concerns_one(error):
                return without_frames(error)
            raise

    def _answered(self, place: int, image: P) -> T:
        self._take(place, bytes_to_read(image))
        opened = self._open(image)
        self._take(place, opened.decoded_bytes)
        return self._answer(opened)

    def _take(self, place: int, size: int) -> None:
        """Waits until the image may take so many bytes in all; raises what ended the stream meanwhile."""
        with self._changed:
            self._end.check(place)
            while not self._room.fits(place, size):
                self._changed.wait()
                self._end.check(place)
            self._room.take(place, size)
