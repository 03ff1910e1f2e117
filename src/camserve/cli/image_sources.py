"""The images that a command line names: files, folders to search, and standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from camserve.errors import UsageError

__all__ = ["Source", "find_sources"]

_STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Source:
    """An image and its name.

    Attributes:
        name: The path as it was found; `-` for standard input.
        image: The path, or the bytes of standard input.
    """

    name: Path
    image: Path | bytes = field(repr=False)

    @property
    def stem(self) -> str:
        """The start of the name of each file that is made from the image."""
        return self.name.stem if isinstance(self.image, Path) else "stdin"


def find_sources(paths: Sequence[str], max_bytes: int) -> list[Source]:
    """Find the images of a command line.

    Args:
        paths: Files, folders, and `-` for standard input; a file of that name is `./-`.
        max_bytes: The most bytes that an image may have.

    Returns:
        The images in this order, those of a folder sorted by name.

    Raises:
        UsageError: If a path does not exist, a folder contains no image or cannot be read, or standard input is empty
            or given twice.
    """
    return list(_find(paths, max_bytes))


def _find(paths: Sequence[str], max_bytes: int) -> Iterator[Source]:
    from camserve.clients import find_images

    if paths.count(_STANDARD_INPUT) > 1:
        raise UsageError("standard input (-) was given twice", hint="Give - once: standard input is one image")
    for path in paths:
        if path == _STANDARD_INPUT:
            yield Source(Path(path), _read_standard_input(max_bytes))
        else:
            yield from (Source(each, each) for each in find_images([path]))


def _read_standard_input(max_bytes: int) -> bytes:
    """Read what is piped in, up to one byte more than an image may have."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "standard input is a terminal, not an image",
            hint="Redirect an image to it: camserve classify --model NAME - < cat.jpg",
        )
    return sys.stdin.buffer.read(max_bytes + 1)
