"""Connection options: addresses, deadlines, credentials."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from camserve.address import check_address
from camserve.errors import UsageError
from camserve.tls import ClientTls

__all__ = [
    "MOST_RETRIES",
    "Compression",
    "ConnectionOptions",
    "Deadline",
    "MemorySharing",
    "check_token_protected",
    "is_local",
    "parse_urls",
]

Compression = Literal["none", "gzip", "deflate"]
MemorySharing = bool | Literal["auto"]
"""Whether to pass input tensors in shared memory; auto: to servers on this host that accept it."""

MOST_RETRIES = 5
"""The largest number of retries, also of those that count by default."""

_HEADER = re.compile(r"[a-z0-9_.-]+", re.ASCII)
_RESERVED = re.compile(r"grpc-.*|.*-bin|authorization|content-type|te|user-agent|host")
# What HTTP/2 transfers unchanged. gRPC would quote a value that it rejects.
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?", re.ASCII)
_LOOPBACK = re.compile(r"unix:.*|(?:[a-z0-9]+:/*)?(?:localhost|127(?:\.\d+){3}|\[::1\]):\d+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """How to connect to servers, and how long to wait.

    Attributes:
        timeout: Deadline of a request over all its attempts, in seconds.
        connect_timeout: Deadline of queries about the model, and of each attempt to connect, in seconds.
        retries: Maximum number of retries after a lost connection or an unavailable server, 0 to 5 (default: 5, and
            a server that restarts is waited for until the deadline); see `Attempts`.
        tls: TLS certificates (default: no encryption).
        token: Sent as `authorization: Bearer ...`; requires TLS unless the server is on this host.
        headers: Further headers, such as an API key; names in lower case.
        compression: Compression of the messages sent.
        shared_memory: Whether to pass input tensors in shared memory; auto: to servers on this host that accept it.

    Raises:
        UsageError: If a value is out of range, or is not a valid header.
    """

    timeout: float = 30.0
    connect_timeout: float = 5.0
    retries: int | None = None
    tls: ClientTls | None = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Compression = "none"
    shared_memory: MemorySharing = False

    def __post_init__(self) -> None:
        for name in ("timeout", "connect_timeout"):
            _check_seconds(name, getattr(self, name))
        if self.retries is not None and not 0 <= self.retries <= MOST_RETRIES:
            raise UsageError(f"retries must be from 0 to {MOST_RETRIES}, got {self.retries}")
        if self.compression not in get_args(Compression):
            choices = ", ".join(get_args(Compression))
            raise UsageError(f"unknown compression {self.compression!r}", hint=f"Choose one of {choices}")
        if self.shared_memory not in (True, False, "auto"):
            raise UsageError(f"unknown shared_memory {self.shared_memory!r}", hint='Pass True, False or "auto"')
        if self.token is not None and not _VALUE.fullmatch(self.token):
            raise UsageError("token is empty or contains a character that is invalid in a header")
        object.__setattr__(self, "headers", dict(self.headers))
        for name, value in self.headers.items():
            _check_header(name, value)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers of every request, with the token."""
        token = () if self.token is None else (("authorization", f"Bearer {self.token}"),)
        return (*self.headers.items(), *token)


class Deadline:
    """The time by which a request must end.

    Args:
        seconds: Seconds from now.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: float) -> None:
        _check_seconds("timeout", seconds)
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self._at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() == 0.0


def parse_urls(url: str | Sequence[str]) -> tuple[str, ...]:
    """Parse the addresses of servers: one, several separated by commas, or a sequence.

    Raises:
        UsageError: If there is none, one is not the address of a gRPC server, or two are equal.
    """
    urls = tuple(check_address(each.strip()) for each in (url.split(",") if isinstance(url, str) else url))
    if not urls:
        raise UsageError("no server address", hint="Pass HOST:PORT, e.g. localhost:8001")
    if len(set(urls)) < len(urls):
        raise UsageError(f"duplicate server address: {', '.join(urls)}", hint="Pass each server once")
    return urls


def is_local(url: str) -> bool:
    """Return whether an address is certainly on this host."""
    return _LOOPBACK.fullmatch(url) is not None


def check_token_protected(urls: Sequence[str], options: ConnectionOptions) -> None:
    """Check that no token is sent unencrypted over a network.

    Raises:
        UsageError: If one would be.
    """
    exposed = [url for url in urls if not is_local(url)]
    if options.token is not None and options.tls is None and exposed:
        raise UsageError(
            f"the token would be sent to {exposed[0]} unencrypted",
            hint="Use TLS (tls=ClientTls(), CLI: --tls-ca), or remove the token",
        )


def _check_seconds(name: str, seconds: float) -> None:
    if not (seconds > 0 and math.isfinite(seconds)):
        rule = "finite" if seconds == math.inf else "positive"
        raise UsageError(f"{name} must be {rule}, got {seconds:g}", hint="Pass a number of seconds, e.g. 30")


def _check_header(name: str, value: str) -> None:
    if not _HEADER.fullmatch(name) or _RESERVED.fullmatch(name):
        is_token = name.lower() == "authorization"
        hint = "Pass it as token" if is_token else "Use lower case, without the prefix grpc- or the suffix -bin"
        raise UsageError(f"invalid header name {name!r}", hint=hint)
    if not _VALUE.fullmatch(value):
        raise UsageError(f"header {name!r} is empty or contains an invalid character")
