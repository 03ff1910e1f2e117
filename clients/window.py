"""Limits of a stream of images: how many are in progress at once, and which errors end the stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from camserve.argument_checks import check_whole
from camserve.errors import CamserveError, UsageError

__all__ = ["WINDOW_BYTES", "End", "Errors", "MemoryLimit", "Window", "without_frames"]

Errors = Literal["raise", "yield"]

WINDOW_BYTES = 256 * 1024 * 1024
"""Default of the memory that the images in progress may use together, in bytes."""

_AHEAD = 2
"""Images taken for each concurrent request, so that a slow first image does not leave the other requests idle."""


@dataclass(frozen=True)
class Window:
    """How much of a stream is in progress at once.

    Attributes:
        concurrency: Number of images to decode and classify at once.
        bytes: Memory that the images in progress may use together; see `MemoryLimit`.
        errors: What to do with an error that affects one image: end the stream (`raise`), or yield it instead of the
            result (`yield`).

    Raises:
        UsageError: If a value is not an integer, is less than 1, or is not one of the choices.
    """

    concurrency: int = 8
    bytes: int = WINDOW_BYTES
    errors: Errors = "raise"

    def __post_init__(self) -> None:
        for name, value in (("concurrency", self.concurrency), ("window_bytes", self.bytes)):
            check_whole(name, value)
            if value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}", hint="Pass a positive integer, or omit it")
        if self.errors not in get_args(Errors):
            raise UsageError(f"unknown value of errors: {self.errors!r}", hint="Choose 'raise' or 'yield'")

    @property
    def length(self) -> int:
        """Number of images that are taken before the first result is yielded."""
        return self.concurrency * _AHEAD


class MemoryLimit:
    """The memory of the images in progress: each counts with its file, and then with its pixels, too.

    The first image in progress never waits, so it may exceed the limit: images that all wait would wait forever.

    Args:
        window: Defines the limit.
    """

    def __init__(self, window: Window) -> None:
        self._limit = window.bytes
        self._total = 0
        self._used: dict[int, int] = {}  # by place, in the order of the images

    def enter(self, place: int) -> None:
        """Add an image, which uses no memory yet."""
        self._used[place] = 0

    def fits(self, place: int, size: int) -> bool:
        """Return whether the image at a place may now use so many bytes in total."""
        return place == next(iter(self._used)) or self._total - self._used[place] + size <= self._limit

    def take(self, place: int, size: int) -> None:
        """Set the number of bytes that an image uses in total."""
        self._total += size - self._used[place]
        self._used[place] = size

    def leave(self, place: int) -> None:
        """Remove an image and free its memory."""
        self._total -= self._used.pop(place)


class End:
    """The place at which a stream ends early: at its first error that affects more than one image, or at once."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._place: float = math.inf

    def at(self, place: int, error: BaseException) -> None:
        """End the stream with an error: no image after this place is classified any more."""
        if place < self._place:
            self._error, self._place = error, place

    def at_once(self) -> None:
        """End the stream for all images."""
        self.at(-1, UsageError("the stream of images has ended", hint="Start a new one"))

    def check(self, place: int) -> None:
        """Raise the error that ended the stream before this place, if there is one."""
        if self._error is not None and self._place < place:
            raise self._error


def without_frames(error: CamserveError) -> CamserveError:
    """Return an error, which may be kept, without the frames behind it, which hold the bytes of the image."""
    behind: BaseException | None = error
    while behind is not None:
        behind = behind.with_traceback(None).__context__
    return error
