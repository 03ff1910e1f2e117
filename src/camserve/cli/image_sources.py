"""The images that a command line names: files, folders to search, and standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from camserve.cli.console import print_note
from camserve.errors import UsageError

if TYPE_CHECKING:
    from camserve.clients import LeftOut

__all__ = ["Source", "find_sources", "print_left_out"]

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


def find_sources(paths: Sequence[str], max_bytes: int, left_out: LeftOut) -> list[Source]:
    """Find the images of a command line.

    Args:
        paths: Files, folders, patterns, and `-` for standard input; a file of that name is `./-`.
        max_bytes: The most bytes that an image may have.
        left_out: Counts what is left out of the folders.

    Returns:
        The images in this order, those of a folder sorted by name.

    Raises:
        UsageError: If no image is found, a folder cannot be read, nothing matches a pattern, or standard input is a
            terminal or given twice.
    """
    from camserve.clients import find_images

    if paths.count(_STANDARD_INPUT) > 1:
        raise UsageError("standard input (-) was given twice", hint="Give - once: standard input is one image")
    if _STANDARD_INPUT not in paths:
        return [Source(path, path) for path in find_images(paths, left_out=left_out)]
    sources: list[Source] = []
    for path in paths:
        if path == _STANDARD_INPUT:
            sources.append(Source(Path(path), _read_standard_input(max_bytes)))
        else:
            sources += [Source(each, each) for each in find_images([path], left_out=left_out)]
    return sources


def print_left_out(left_out: LeftOut) -> None:
    """Print in one line what was left out of the folders, if anything."""
    if left_out:
        print_note(f"Left out: {left_out}")


def _read_standard_input(max_bytes: int) -> bytes:
    """Read what is piped in, up to one byte more than an image may have."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "standard input is a terminal, not an image",
            hint="Redirect an image to it: camserve classify --model NAME - < cat.jpg",
        )
    return sys.stdin.buffer.read(max_bytes + 1)
