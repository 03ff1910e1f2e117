"""Read files under URLs with fsspec, which finds credentials and endpoints where its packages document."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

from camserve.clients.scoring.inputs.sources import checked
from camserve.clients.scoring.items import Source
from camserve.errors import CamserveError, ConnectionFailedError, ImageError, UsageError
from camserve.images.memory import enough_memory
from camserve.text import printable, shortened

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
    | {"ClientConnectionError"}  # aiohttp
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
            ConnectionFailedError: If its endpoint does not reply, or there are no credentials for it.
        """
        name = self.url if self.name is None else self.name
        for pause in (*_PAUSES, None):
            try:
                return self._read(name, max_bytes)
            except ConnectionFailedError:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable")

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

    def open(self) -> BinaryIO:
        """Open it.

        Raises:
            CamserveError: If it cannot be opened.
        """
        files, path = filesystem(self.name)
        stream: BinaryIO = translated(self.name, UsageError, lambda: files.open(path, "rb"))
        return stream

    def part(self, name: str, offset: int, size: int) -> Source:
        """Return the source of an image in it."""
        return UrlSource(self.name, name, (offset, size))


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
        ConnectionFailedError: If its endpoint does not reply, or there are no credentials for it.
    """
    try:
        return action()
    except (CamserveError, MemoryError):
        raise
    except FileNotFoundError:
        raise kind(f"{_name(url)} does not exist", hint="Check the URL") from None
    except Exception as error:  # noqa: BLE001  the packages of stores raise exceptions of their own
        names = {each.__name__ for each in type(error).__mro__}
        why = shortened(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, _MAX_REASON)
        if names & _UNREACHABLE:
            raise ConnectionFailedError(
                f"the endpoint of {_name(url)} does not reply: {why}", hint="Check the network and the URL"
            ) from None
        if names & _NO_CREDENTIALS:
            raise ConnectionFailedError(
                f"there are no credentials for {_name(url)}: {why}",
                hint=f"Set them where {_PACKAGES.get(url.partition('://')[0], 'fsspec')} reads them",
            ) from None
        raise kind(f"{_name(url)} cannot be read: {why}", hint="Check the URL and the permissions") from None


def _read_range(files: Any, path: str, offset: int, size: int) -> bytes:
    """Read at most `size` bytes, of a web server without more than that in memory."""
    if _protocol(files) not in {"http", "https"} or offset:
        data: bytes = files.cat_file(path, start=offset, end=offset + size)
        return data
    blocks = []
    with files.open(path, "rb", block_size=0) as stream:
        while size > 0 and (block := stream.read(size)):
            blocks.append(block)
            size -= len(block)
    return b"".join(blocks)


def _protocol(files: Any) -> str:
    return files.protocol if isinstance(files.protocol, str) else str(files.protocol[0])


def _not_installed(url: str, package: str, to_install: str) -> UsageError:
    return UsageError(
        f"{_name(url)} requires the package {package}, which is not installed",
        hint=f"Install it: pip install {to_install}",
    )


def _name(url: str) -> str:
    return shortened(url, _MAX_REASON)
