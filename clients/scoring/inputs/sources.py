"""Where the bytes of images are that are not files of their own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from camserve.errors import ImageError
from camserve.images.files import check_length
from camserve.images.memory import enough_memory
from camserve.regular_file import open_regular_file
from camserve.text import printable, reason

__all__ = ["BytesSource", "PartOfFile", "UnreadableSource", "checked"]


@dataclass(frozen=True, slots=True)
class BytesSource:
    """Bytes that were read already."""

    name: str
    data: bytes = field(repr=False)

    def read(self, max_bytes: int) -> bytes:
        """Return the bytes."""
        return checked(self.data, self.name, max_bytes)


@dataclass(frozen=True, slots=True)
class PartOfFile:
    """A part of a file, such as a member of a tar archive.

    Attributes:
        name: What messages call the image.
        path: The file.
        offset: First byte of the part.
        size: Number of bytes.
    """

    name: str
    path: str
    offset: int
    size: int

    def read(self, max_bytes: int) -> bytes:
        """Read the part."""
        check_length(self.size, printable(self.name), max_bytes)
        try:
            with open_regular_file(Path(self.path)) as stream, enough_memory(printable(self.name)):
                data = _pread(stream.fileno(), self.size, self.offset)
        except OSError as error:
            raise ImageError(
                f"{printable(self.name)} cannot be read: {reason(error)}", hint="Check the file and its permissions"
            ) from None
        return checked(data, self.name, max_bytes, self.size)


@dataclass(frozen=True, slots=True)
class UnreadableSource:
    """An image without bytes, such as an empty cell of a table.

    Attributes:
        message: What reading raises.
        hint: How to fix it.
    """

    message: str
    hint: str

    def read(self, max_bytes: int) -> bytes:  # noqa: ARG002  (there is nothing to read)
        """Raise the error."""
        raise ImageError(self.message, hint=self.hint)


def checked(data: bytes, name: str, max_bytes: int, size: int | None = None) -> bytes:
    """Return the bytes of an image.

    Args:
        data: The bytes.
        name: The image.
        max_bytes: The most bytes that it may have.
        size: The number of bytes that it should have, if known.

    Raises:
        ImageError: If there are none, or more or less than that.
    """
    name = printable(name)
    if size is not None and len(data) != size:
        raise ImageError(
            f"{name} is truncated: {len(data):,} of {size:,} bytes could be read",
            hint="Get its archive again from its source",
        )
    if not data:
        raise ImageError(f"{name} is empty", hint="Get it again from its source")
    check_length(len(data), name, max_bytes)
    return data


def _pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read at an offset; the operating system may return less than 2 GB at once."""
    blocks = []
    while size > 0 and (block := os.pread(descriptor, size, offset)):
        blocks.append(block)
        size -= len(block)
        offset += len(block)
    return b"".join(blocks)
