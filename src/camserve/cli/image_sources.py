"""Which images a command line names: files, folders to search, and standard input."""

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
    """An image, and what it is called in what is printed of it.

    Attributes:
        name: The path as it was found; `-` for standard input.
        image: The path, or the bytes of standard input.
    """

    name: Path
    image: Path | bytes = field(repr=False)

    @property
    def stem(self) -> str:
        """What files that are made of it are called after."""
        return self.name.stem if isinstance(self.image, Path) else "stdin"


def find_sources(given: Sequence[str]) -> list[Source]:
    """The images that were named, in that order, those of a folder by name; `-` is standard input, and `./-` a file.

    Raises:
        UsageError: If there is none, a folder cannot be read, or nothing comes from standard input.
    """
    return list(_found(given))


def _found(given: Sequence[str]) -> Iterator[Source]:
    from camserve.clients import find_images

    if given.count(_STANDARD_INPUT) > 1:
        raise UsageError("standard input is named twice", hint="It holds one image: give - once")
    for path in given:
        if path == _STANDARD_INPUT:
            yield Source(Path(path), _standard_input())
        else:
            yield from (Source(each, each) for each in find_images([path]))


def _standard_input() -> bytes:
    """What is piped in, up to one byte more than may be read of an image."""
    from camserve.clients import DecodeOptions

    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("nothing comes from standard input", hint="Pipe an image into it: … | camserve classify -")
    return sys.stdin.buffer.read(DecodeOptions().max_bytes + 1)
