"""Files that contain many images: tables and tar shards, on this host or under a URL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from camserve.clients.scoring.inputs.sources import PartOfFile
from camserve.clients.scoring.items import Source
from camserve.errors import UsageError
from camserve.regular_file import open_regular_file
from camserve.text import printable, reason

__all__ = ["Container", "LocalContainer"]


class Container(Protocol):
    """A file that contains many images."""

    @property
    def name(self) -> str:
        """Its path or URL."""

    def open(self, *, in_order: bool = False) -> BinaryIO:
        """Open it for reading at any position, or only in order.

        Raises:
            CamserveError: If that fails.
        """

    def part(self, name: str, offset: int, size: int) -> Source:
        """Return the source of an image that is a part of the file.

        Args:
            name: What messages call the image.
            offset: Its first byte.
            size: Its number of bytes.
        """


@dataclass(frozen=True)
class LocalContainer:
    """A file of this host."""

    path: Path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def open(self, *, in_order: bool = False) -> BinaryIO:  # noqa: ARG002  (any file can be read in any order)
        """Open it.

        Raises:
            UsageError: If it cannot be opened, or is not a regular file.
        """
        try:
            return open_regular_file(self.path)
        except OSError as error:
            raise UsageError(
                f"cannot read {printable(self.path)}: {reason(error, self.path)}",
                hint="Check the path and its permissions",
            ) from None

    def part(self, name: str, offset: int, size: int) -> Source:
        """Return the source of an image in it."""
        return PartOfFile(name, os.path.abspath(self.path), offset, size)  # noqa: PTH100  (Path keeps ..)
