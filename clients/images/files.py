"""The bytes of an image, from a path, a stream or memory: plain files only, and never more than was allowed."""

from __future__ import annotations

import io
import os
import stat
from contextlib import suppress
from typing import IO, Any, BinaryIO

from camserve.errors import ImageError
from camserve.text import printable

__all__ = ["FileInput", "bytes_to_read", "is_file_input", "read_bytes"]

FileInput = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of a file, or a stream that is open for reading in binary."""

_BLOCK = 1024 * 1024
_LONGEST_NAME = 4096  # what Linux takes for a path
_KEPT_OF_NAME = 80
_AGAIN = "Get the file again from its source"
_CHECK_PATH = "Check the path; web addresses and ~ are not followed"
_FROM_START = "A stream is read from where it stands: seek(0) if it was written or read before"


def is_file_input(source: object) -> bool:
    """Whether `read_bytes` reads it."""
    return isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(source, "read")


def bytes_to_read(source: object) -> int:
    """What an image takes before its header is known: the size of its file.

    Zero where that is not known before it is read, and where the image is in memory already, which is its owner's.
    """
    with suppress(OSError, ValueError):
        if isinstance(source, str | os.PathLike):
            return os.stat(source).st_size  # noqa: PTH116  (a path may be of bytes, which Path does not take)
        if isinstance(source, io.FileIO | io.BufferedReader):
            return os.fstat(source.fileno()).st_size
    return 0


def read_bytes(source: FileInput, max_bytes: int) -> tuple[bytes, str]:
    """The bytes of a file, and what a message calls it.

    A path is read whole at once, so that what happens to the file meanwhile cannot reach a decoder. A stream is read
    from where it stands, seekable or not, to its end.

    Raises:
        ImageError: If it cannot be read, is empty, is larger than `max_bytes`, or is not a plain file.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        name = f"the image of {len(data):,} bytes"
    elif isinstance(source, str | os.PathLike):
        name = _shortened(printable(os.fsdecode(source))) or "the empty path"
        data = _read_path(source, name, max_bytes)
    else:
        name = _name_of(source)
        data = _read_stream(source, name, max_bytes)
    if not data:
        raise ImageError(f"{name} is empty", hint=_why_empty(source))
    _check_length(len(data), name, max_bytes)
    return data, name


def _why_empty(source: FileInput) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return "Check that whatever gave the bytes, such as a download, has worked"
    return _FROM_START if hasattr(source, "seek") else _AGAIN


def _name_of(stream: IO[Any]) -> str:
    name = getattr(stream, "name", None)
    return printable(name) if isinstance(name, str) else "the stream"


def _shortened(name: str) -> str:
    """Encoded pixels that are taken for a path must not fill the message."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_KEPT_OF_NAME]}… ({len(name):,} characters)"


def _read_path(path: str | os.PathLike[str], name: str, max_bytes: int) -> bytes:
    with _open_plain_file(path, name) as stream:
        # A file that is too large is not read at all; one that grows meanwhile is met by the limit below.
        _check_length(os.fstat(stream.fileno()).st_size, name, max_bytes)
        return _read_stream(stream, name, max_bytes)


def _read_stream(stream: BinaryIO, name: str, max_bytes: int) -> bytes:
    blocks, left = [], max_bytes + 1  # the one byte more tells that there is more
    try:
        while left > 0 and (block := stream.read(min(left, _BLOCK))):
            blocks.append(block)
            left -= len(block)
        return b"".join(blocks)
    except (TypeError, UnicodeDecodeError):
        raise ImageError(
            f"{name} gives text, not bytes", hint='Open it in binary: open(path, "rb"), sys.stdin.buffer'
        ) from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{name} cannot be read: {_why(error)}", hint="Check that it is open for reading") from error


def _open_plain_file(path: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        # Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist", hint=_CHECK_PATH) from None
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name} cannot be opened: {_why(error)}", hint="Check the path and its permissions"
        ) from error
    try:
        _check_plain(os.fstat(descriptor), name)
    except ImageError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb", buffering=0)


def _check_plain(status: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name} is a folder, not an image", hint="Give the image files in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(
            f"{name} is a pipe, a device or a socket, not an image file",
            hint="Give a plain file; from Python, an open stream such as sys.stdin.buffer is read too",
        )


def _check_length(length: int, name: str, max_bytes: int) -> None:
    if length > max_bytes:
        raise ImageError(
            f"{name} has more than {max_bytes:,} bytes",
            hint="Make it smaller; if you trust its source, Reading in Python takes a larger max_bytes",
        )


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
