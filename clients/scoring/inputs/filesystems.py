"""Open the file systems of URLs with fsspec, and translate the exceptions of the packages behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from camserve.errors import CamserveError, ClientError, ConnectionFailedError, UsageError
from camserve.text import printable, shortened

__all__ = ["WEB", "IncompleteReplyError", "filesystem", "shown", "translated"]

Result = TypeVar("Result")

WEB = ("http://", "https://")
"""The start of the URLs of web servers."""

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    **dict.fromkeys(("http", "https"), "'camserve[remote]'"),
    "hf": "huggingface_hub",
}
"""The package that each protocol requires beside fsspec."""

_UNREACHABLE = frozenset(
    {"ConnectionError", "TimeoutError", "gaierror"}  # Python
    | {"ClientConnectionError"}  # aiohttp
    | {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"}  # botocore
    | {"ServiceRequestError", "TransportError"}  # Azure, Google
)
"""Exceptions, by name, of an endpoint that does not reply. Their packages need not be installed."""
_INCOMPLETE = "ClientPayloadError"
"""The exception of aiohttp for a reply that ends early."""
_NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"})

_MAX_REASON = 300


class IncompleteReplyError(ConnectionFailedError):
    """A web server replied, but not to the end; it may the next time."""


def filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL according to fsspec, and the path in it.

    Raises:
        UsageError: If the package for its protocol is not installed, or the protocol is unknown.
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
                f"{shown(url)} requires a package that is not installed: {printable(str(error))}",
                hint="Install this package with pip",
            ) from None
        raise _not_installed(url, package.removeprefix("'camserve[remote]'") or "aiohttp", package) from None
    except ValueError as error:
        raise UsageError(
            f"{shown(url)} cannot be read: {printable(str(error))}",
            hint="Pass a path, or a URL such as s3://, gs://, az://, http:// or https://",
        ) from None
    return files, path


def translated(url: str, kind: type[CamserveError], action: Callable[[], Result]) -> Result:
    """Return the result of an action on a URL, whose exceptions become errors that name the URL.

    Args:
        url: The URL.
        kind: The error if the file is missing or cannot be read.
        action: The action.

    Raises:
        CamserveError: Of this kind.
        ConnectionFailedError: If its endpoint does not reply, or not to the end.
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
        return kind(f"{shown(url)} does not exist", hint="Check the URL")
    names = {each.__name__ for each in type(error).__mro__}
    why = shortened(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, _MAX_REASON)
    if names & _UNREACHABLE:
        return ConnectionFailedError(
            f"the endpoint of {shown(url)} does not reply: {why}",
            hint="Check the network and the URL, or leave it out of the inputs",
        )
    if _INCOMPLETE in names:
        return IncompleteReplyError(
            f"{shown(url)} cannot be read: its web server does not send all of it: {why}",
            hint="Check the file and its web server, or leave it out of the inputs",
        )
    if names & _NO_CREDENTIALS:
        return ClientError(
            f"there are no credentials for {shown(url)}: {why}",
            hint=f"Set them where {_PACKAGES.get(url.partition('://')[0], 'fsspec')} reads them",
        )
    return kind(f"{shown(url)} cannot be read: {why}", hint="Check the URL and the permissions")


def shown(url: str) -> str:
    """Return a URL for messages."""
    return shortened(url, _MAX_REASON)


def _not_installed(url: str, package: str, to_install: str) -> UsageError:
    return UsageError(
        f"{shown(url)} requires the package {package}, which is not installed",
        hint=f"Install it: pip install {to_install}",
    )
