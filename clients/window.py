"""Streams of images: how many are under way at once, and which errors end the stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from camserve.argument_checks import check_whole
from camserve.errors import CamserveError, UsageError

__all__ = ["WINDOW_BYTES", "End", "Errors", "Room", "Window", "without_frames"]

Errors = Literal["raise", "yield"]

WINDOW_BYTES = 256 * 1024 * 1024
"""Bytes that the images under way may take together, unless told otherwise."""

_AHEAD = 2
"""Images taken up for each request at a time, so that a slow answer at the head does not leave the others idle."""


@dataclass(frozen=True)
class Window:
    """How much of a stream is under way at once.

    Attributes:
        concurrency: How many images are decoded and asked for at a time.
        bytes: What they may take together, as `Room` keeps it.
        errors: What becomes of an error that concerns one image: it ends the stream (`raise`), or stands in the
            place of the answer (`yield`).

    Raises:
        UsageError: If a figure is no whole number or less than one, or there is no such choice.
    """

    concurrency: int = 8
    bytes: int = WINDOW_BYTES
    errors: Errors = "raise"

    def __post_init__(self) -> None:
        check_whole("concurrency", self.concurrency)
        check_whole("window_bytes", self.bytes)
        if self.concurrency < 1:
            raise UsageError(f"concurrency is {self.concurrency}", hint="Allow at least one request at a time")
        if self.bytes < 1:
            raise UsageError(f"window_bytes is {self.bytes}", hint="Allow at least one byte; an image always fits")
        if self.errors not in get_args(Errors):
            raise UsageError(f"errors is {self.errors!r}", hint=f"Give one of {', '.join(get_args(Errors))}")

    @property
    def length(self) -> int:
        """How many images are taken up before the first of them has its answer."""
        return self.concurrency * _AHEAD


class Room:
    """The bytes of a window, as the images under way take them: each those of its file, then those of its pixels too.

    Together they take at most the window. But the first of those under way is never held up, as images that all wait
    for more would wait for ever; so the window may be exceeded by what that one takes.

    Args:
        window: Whose bytes they are.
    """

    def __init__(self, window: Window) -> None:
        self._bytes = window.bytes
        self._taken = 0
        self._held: dict[int, int] = {}  # by place, in the order of their coming

    def enter(self, place: int) -> None:
        """An image comes, and takes nothing yet."""
        self._held[place] = 0

    def fits(self, place: int, size: int) -> bool:
        """Whether the image at a place may now take so many bytes in all."""
        return place == next(iter(self._held)) or self._taken - self._held[place] + size <= self._bytes

    def take(self, place: int, size: int) -> None:
        """It takes so many bytes in all."""
        self._taken += size - self._held[place]
        self._held[place] = size

    def leave(self, place: int) -> None:
        """It goes, and gives back what it took."""
        self._taken -= self._held.pop(place)


class End:
    """Where a stream ends early: at its first error that concerns more than one image, or at once."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._place: float = math.inf

    def because(self, error: BaseException, place: int) -> None:
        """Whatever stands behind this place is not asked for any more."""
        if place < self._place:
            self._error, self._place = error, place

    def at_once(self) -> None:
        """Nothing is asked for any more."""
        self.because(UsageError("the stream of images was left", hint="Begin another one"), -1)

    def check(self, place: int) -> None:
        """Raises what ended the stream before this place, if anything did."""
        if self._error is not None and self._place < place:
            raise self._error


def without_frames(error: CamserveError) -> CamserveError:
    """An error to stand in the place of an answer, which may be kept: the frames behind it hold the image's bytes."""
    behind: BaseException | None = error
    while behind is not None:
        behind = behind.with_traceback(None).__context__
    return error
