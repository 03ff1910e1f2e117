"""Read files under URLs with fsspec, which finds credentials and endpoints where its packages document."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from camserve.clients.scoring.inputs.sources import checked
from camserve.clients.scoring.items import Source
from camserve.errors import CamserveError, ClientError, ConnectionFailedError, ImageError, UsageError
from camserve.images.memory import enough_memory
from camserve.text import printable, shortened

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["RemoteContainer", "UrlSource", "filesystem", "read_start", "translated"]

Result = TypeVar("Result")

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    **dict.fromkeys(("http", "https"), "'camserve[remote]'"),
    "hf": "huggingface_hub",
}
"""The package that each protocol requires beside fsspec."""

_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to reach an endpoint."""

_UNREACHABLE = frozenset(
    {"ConnectionError", "TimeoutError", "gaierror"}  # Python
    | {"ClientConnectionError", "ClientPayloadError"}  # aiohttp
    | {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"}  # botocore
    | {"ServiceRequestError", "TransportError"}  # Azure, Google
)
"""Exceptions, by name, of an endpoint that does not reply. Their packages need not be installed."""
_NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"})

_MAX_REASON = 300


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
            ImageError: If it cannot be read, is empty, or is larger than `max_bytes`.
            ClientError: If its endpoint does not reply, or there are no credentials for it.
        """
        name = self.url if self.name is None else self.name
        for pause in _PAUSES:
            try:
                return self._read(name, max_bytes)
            except ConnectionFailedError:
                time.sleep(pause)
        return self._read(name, max_bytes)

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
            stream = translated(self.name, UsageError, lambda: _web_stream(files, path))
        elif translated(self.name, UsageError, lambda: _sends_parts(files, path)):
            stream = translated(self.name, UsageError, lambda: files.open(path, "rb"))
        else:
            raise UsageError(
                f"{_name(self.name)} cannot be read: its web server sends whole files only",
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


def filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL according to fsspec, and the path in it.

    Raises:
        UsageError: If the package for its protocol is not installed, or there is none.
    """
    protocol = url.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415  (optional)
    except ImportError:
        raise _not_installed(url, "fsspec", "'camserve[remote]'") from None
    try:
        files, path = url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        if package is None:
            raise UsageError(
                f"{_name(url)} requires a package that is not installed: {printable(str(error))}",
                hint="Install this package with pip",
            ) from None
        raise _not_installed(url, package.removeprefix("'camserve[remote]'") or "aiohttp", package) from None
    except ValueError as error:
        raise UsageError(
            f"{_name(url)} cannot be read: {printable(str(error))}",
            hint="Pass a path, or a URL such as s3://, gs://, az://, http:// or https://",
        ) from None
    return files, path


def read_start(files: Any, path: str, size: int) -> bytes:
    """Read the first bytes of a file."""
    return _read_range(files, path, 0, size)


def translated(url: str, kind: type[CamserveError], action: Callable[[], Result]) -> Result:
    """Return the result of an action on a URL, whose exceptions become errors that name the URL.

    Args:
        url: The URL.
        kind: The error if the file is missing or cannot be read.
        action: The action.

    Raises:
        CamserveError: Of this kind.
        ConnectionFailedError: If its endpoint does not reply.
        ClientError: If there are no credentials for it.
    """
    try:
        return action()
    except (CamserveError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  the packages of stores raise exceptions of their own
        raise _translation(url, kind, error) from None


def _translation(url: str, kind: type[CamserveError], error: Exception) -> CamserveError:
    # fsspec calls a file missing whenever a web server gives no information about it.
    is_missing = isinstance(error, FileNotFoundError)
    if is_missing and url.startswith("http") and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, FileNotFoundError):
        return kind(f"{_name(url)} does not exist", hint="Check the URL")
    names = {each.__name__ for each in type(error).__mro__}
    why = shortened(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, _MAX_REASON)
    if names & _UNREACHABLE:
        return ConnectionFailedError(
            f"the endpoint of {_name(url)} does not reply: {why}", hint="Check the network and the URL"
        )
    if names & _NO_CREDENTIALS:
        return ClientError(
            f"there are no credentials for {_name(url)}: {why}",
            hint=f"Set them where {_PACKAGES.get(url.partition('://')[0], 'fsspec')} reads them",
        )
    return kind(f"{_name(url)} cannot be read: {why}", hint="Check the URL and the permissions")


def _read_range(files: Any, path: str, offset: int, size: int) -> bytes:
    """Read at most `size` bytes; a web server that sends whole files is not read further."""
    if not _is_web(files) or offset:
        try:
            data: bytes = files.cat_file(path, start=offset, end=offset + size)
        except Exception as error:
            if "range" in str(error).lower() and files.size(path) == 0:  # stores refuse any range of an empty object
                return b""
            raise
        return data
    blocks = []
    with _web_stream(files, path) as stream:
        while size > 0 and (block := stream.read(size)):
            blocks.append(block)
            size -= len(block)
    return b"".join(blocks)


def _web_stream(files: Any, path: str, **settings: Any) -> Any:
    """Open a file of a web server to be read from start to end, with one request."""
    return files.open(path, "rb", block_size=0, size=1, **settings)  # with a size, none is requested


def _sends_parts(files: Any, path: str) -> bool:
    with _web_stream(files, path, headers={"Range": "bytes=0-0"}) as stream:
        return bool(stream.r.status == 206)


def _is_web(files: Any) -> bool:
    return "https" in ((files.protocol,) if isinstance(files.protocol, str) else files.protocol)


def _not_installed(url: str, package: str, to_install: str) -> UsageError:
    return UsageError(
        f"{_name(url)} requires the package {package}, which is not installed",
        hint=f"Install it: pip install {to_install}",
    )


def _name(url: str) -> str:
    return shortened(url, _MAX_REASON)
