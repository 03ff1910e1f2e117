"""Read files and parts of files under URLs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from camserve.clients.scoring.inputs.filesystems import WEB, filesystem, shown, translated
from camserve.clients.scoring.inputs.sources import checked
from camserve.clients.scoring.inputs.unreachable import WEB_SERVERS, repeated
from camserve.clients.scoring.items import Source
from camserve.errors import ClientError, ImageError, UsageError
from camserve.images.memory import enough_memory
from camserve.text import printable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["RemoteContainer", "UrlSource", "read_start"]

_PARTIAL_CONTENT = 206
_TIMEOUT = 30.0
"""Seconds without any byte after which a web server does not reply."""


@dataclass(frozen=True, slots=True)
class UrlSource:
    """An object or file under a URL, or a part of it.

    Attributes:
        url: The URL.
        name: What messages call the image (default: its URL).
        part: Offset and size in bytes of the part; None for all of it.
    """

    url: str
    name: str | None = None
    part: tuple[int, int] | None = None

    def read(self, max_bytes: int) -> bytes:
        """Read it. An endpoint that does not reply is tried again for a few seconds.

        Raises:
            ImageError: If it cannot be read, is empty, or is larger than `max_bytes`, or its web server has never
                replied.
            ClientError: If another endpoint does not reply, or there are no credentials for it.
        """
        attempt = partial(self._read, self.url if self.name is None else self.name, max_bytes)
        # The server of an archive has replied: its images were listed.
        if self.part is None and self.url.startswith(WEB):
            return WEB_SERVERS.read(self.url, attempt)
        return repeated(attempt)

    def _read(self, name: str, max_bytes: int) -> bytes:
        files, path = filesystem(self.url)
        offset, size = (0, max_bytes + 1) if self.part is None else self.part
        with enough_memory(printable(name)):
            data = translated(self.url, ImageError, lambda: _read_range(files, path, offset, size))
        return checked(data, name, max_bytes, None if self.part is None else size)


@dataclass(frozen=True)
class RemoteContainer:
    """A file with many images under a URL."""

    name: str

    def open(self, *, in_order: bool = False) -> BinaryIO:
        """Open it.

        Raises:
            CamserveError: If it cannot be opened, or its web server does not send parts of files. So does reading it.
        """
        files, path = filesystem(self.name)
        if not _is_web(files):
            stream = translated(self.name, UsageError, lambda: files.open(path, "rb"))
        elif in_order:
            stream = translated(self.name, ClientError, lambda: _downloaded(files, path))
        elif translated(self.name, UsageError, lambda: _sends_parts(files, path)):
            stream = translated(self.name, UsageError, lambda: files.open(path, "rb"))
        else:
            raise UsageError(
                f"{shown(self.name)} cannot be read: its web server sends whole files only",
                hint="Download it, and pass the file",
            )
        return cast(BinaryIO, io.BufferedReader(_RemoteStream(self.name, stream)))

    def part(self, name: str, offset: int, size: int) -> Source:
        """Return the source of an image in it."""
        return UrlSource(self.name, name, (offset, size))


class _RemoteStream(io.RawIOBase):
    """A file of fsspec whose exceptions are translated."""

    def __init__(self, url: str, stream: Any) -> None:
        self._url = url
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as view:
            data = translated(self._url, ClientError, lambda: self._stream.read(len(view)))
            view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def read_start(files: Any, path: str, size: int) -> bytes:
    """Read the first bytes of a file."""
    return _read_range(files, path, 0, size)


def _read_range(files: Any, path: str, offset: int, size: int) -> bytes:
    """Read at most `size` bytes."""
    if _is_web(files):
        return _read_web_range(files, path, offset, size)
    try:
        data: bytes = files.cat_file(path, start=offset, end=offset + size)
    except Exception as error:
        if "range" in str(error).lower() and files.size(path) == 0:  # stores refuse any range of an empty object
            return b""
        raise
    return data


def _read_web_range(files: Any, path: str, offset: int, size: int) -> bytes:
    """Read a part of a file, or its beginning, of which not every web server sends a part: the rest is not read."""
    part = {"headers": {"Range": f"bytes={offset}-{offset + size - 1}"}} if offset else {}
    blocks = []
    with _web_stream(files, path, **part) as stream:
        if part and stream.r.status != _PARTIAL_CONTENT:
            raise ValueError("its web server sends whole files only")
        while size > 0 and (block := stream.read(size)):
            blocks.append(block)
            size -= len(block)
    return b"".join(blocks)


def _downloaded(files: Any, path: str) -> BinaryIO:
    """Copy a file to a temporary one, as a connection would not last as long as its images are scored."""
    copy = TemporaryFile()  # noqa: SIM115  (closed by its reader)
    with _web_stream(files, path) as stream:
        copyfileobj(stream, copy)
    copy.seek(0)
    return cast(BinaryIO, copy)


def _sends_parts(files: Any, path: str) -> bool:
    with _web_stream(files, path, headers={"Range": "bytes=0-0"}) as stream:
        return bool(stream.r.status == _PARTIAL_CONTENT)


def _web_stream(files: Any, path: str, **settings: Any) -> Any:
    """Open a file of a web server to be read from start to end, with one request and no limit of its duration."""
    from aiohttp import ClientTimeout  # noqa: PLC0415  (optional)

    timeout = ClientTimeout(total=None, sock_connect=_TIMEOUT, sock_read=_TIMEOUT)
    # With a size, fsspec does not request it.
    return files.open(path, "rb", block_size=0, size=1, timeout=timeout, **settings)


def _is_web(files: Any) -> bool:
    return "https" in ((files.protocol,) if isinstance(files.protocol, str) else files.protocol)
