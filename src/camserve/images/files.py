"""Read the bytes of an image from a path, a stream or memory: regular files only, up to a size limit."""

from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import suppress
from typing import BinaryIO

from camserve.errors import ClientError, ImageError
from camserve.images.memory import enough_memory
from camserve.text import printable

__all__ = ["FileInput", "bytes_to_read", "check_length", "is_file_input", "read_bytes"]

FileInput = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of a file, or a stream open for reading in binary mode."""

_BLOCK = 1024 * 1024
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_MAX_PATH = 4096  # of Linux
_SHOWN_OF_LONG_NAME = 80
_GET_AGAIN = "Get the file again from its source"
_CHECK_PATH = "Check the path; ~ is not expanded, and only score reads URLs"
_SEEK = "A stream is read from its current position: call seek(0) if it was written or read before"


def is_file_input(source: object) -> bool:
    """Return whether `read_bytes` accepts it."""
    return isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(source, "read")


def bytes_to_read(source: object) -> int:
    """Return the size of the file of an image, before it is opened.

    It is 0 if the size is unknown, or the image is in memory already.
    """
    with suppress(OSError, ValueError):
        if isinstance(source, str | os.PathLike):
            return os.stat(source).st_size  # noqa: PTH116  (Path does not accept paths of type bytes)
        if isinstance(source, io.FileIO | io.BufferedReader):
            return os.fstat(source.fileno()).st_size
    return 0


def read_bytes(source: FileInput, max_bytes: int, name: str | None = None) -> tuple[bytes, str]:
    """Read the bytes of a file, and return them with a name for messages.

    A file is read completely before it is decoded, so that later changes to it cannot affect a decoder. A stream is
    read from its current position to its end; it need not be seekable.

    Args:
        source: The file.
        max_bytes: The most bytes.
        name: What messages call it (default: its path, or its size).

    Raises:
        ImageError: If it cannot be read, is empty, is larger than `max_bytes`, or is not a regular file.
        ClientError: If this process or the system has too many open files.
    """
    name = _name_of(source if name is None else name)
    with enough_memory(name):
        data = _read(source, name, max_bytes)
    if not data:
        raise ImageError(f"{name} is empty", hint=_hint_for_empty(source))
    check_length(len(data), name, max_bytes)
    return data, name


def _hint_for_empty(source: FileInput) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return "Check the source of the bytes, such as a failed download"
    return _SEEK if hasattr(source, "seek") else _GET_AGAIN


def _read(source: FileInput, name: str, max_bytes: int) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return _read_path(source, name, max_bytes)
    return _read_stream(source, name, max_bytes)


def _name_of(source: FileInput) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return f"the image of {memoryview(source).nbytes:,} bytes"
    if isinstance(source, str | os.PathLike):
        return _shortened(printable(os.fsdecode(source))) or "the empty path"
    name = getattr(source, "name", None)
    return printable(name) if isinstance(name, str) else "the stream"


def _shortened(name: str) -> str:
    """Shorten a name that cannot be a path, such as an encoded image passed as a string."""
    return name if len(name) <= _MAX_PATH else f"{name[:_SHOWN_OF_LONG_NAME]}… ({len(name):,} characters)"


def _read_path(path: str | os.PathLike[str], name: str, max_bytes: int) -> bytes:
    with _open_regular_file(path, name) as stream:
        # A file that is too large is not read at all. If it grows meanwhile, the check in read_bytes refuses it.
        check_length(os.fstat(stream.fileno()).st_size, name, max_bytes)
        return _read_stream(stream, name, max_bytes)


def _read_stream(stream: BinaryIO, name: str, max_bytes: int) -> bytes:
    blocks, remaining = [], max_bytes + 1  # one more byte shows that the limit is exceeded
    try:
        while remaining > 0 and (block := stream.read(min(remaining, _BLOCK))):
            blocks.append(block)
            remaining -= len(block)
        return b"".join(blocks)
    except (TypeError, UnicodeDecodeError):
        raise ImageError(
            f"{name} is open in text mode", hint='Open it in binary mode: open(path, "rb"), sys.stdin.buffer'
        ) from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{name} cannot be read: {_reason(error)}", hint="Check that it is open for reading") from None


def _open_regular_file(path: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        # Without O_NONBLOCK, opening a FIFO without a writer would block forever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist", hint=_CHECK_PATH) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS:  # which the image does not cause
            raise ClientError(
                f"{name} cannot be opened: {_reason(error)}", hint="Raise the limit of open files: ulimit -n 4096"
            ) from None
        raise ImageError(
            f"{name} cannot be opened: {_reason(error)}", hint="Check the path and its permissions"
        ) from None
    try:
        _check_regular(os.fstat(descriptor), name)
    except ImageError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb", buffering=0)


def _check_regular(status: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name} is a folder, not an image", hint="Pass the image files in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(
            f"{name} is a pipe, a device or a socket, not an image file",
            hint="Pass a regular file or, in Python, an open stream such as sys.stdin.buffer",
        )


def check_length(length: int, name: str, max_bytes: int) -> None:
    """Check that an image has no more bytes than it may have.

    Raises:
        ImageError: If it has.
    """
    if length > max_bytes:
        raise ImageError(
            f"{name} has more than {max_bytes:,} bytes",
            hint="Reduce it or, if you trust its source, raise the limit: --max-bytes N, or DecodeOptions(max_bytes=N)",
        )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
