"""How servers are called: addresses, deadlines, secrets."""

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

__all__ = ["Compression", "ConnectionOptions", "Deadline", "check_secrecy", "is_local", "parse_urls"]

Compression = Literal["none", "gzip", "deflate"]

_MOST_RETRIES = 5
_HEADER = re.compile(r"[a-z0-9_.-]+", re.ASCII)
_RESERVED = re.compile(r"grpc-.*|.*-bin|authorization|content-type|te|user-agent|host")
# What HTTP/2 carries as it is. gRPC would show a value that it refuses.
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?", re.ASCII)
_LOOPBACK = re.compile(r"unix:.*|(?:[a-z0-9]+:/*)?(?:localhost|127(?:\.\d+){3}|\[::1\]):\d+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """How servers are called.

    Attributes:
        timeout: Deadline of a request, in seconds, over all its tries.
        connect_timeout: Deadline of the questions that find out whether a server and its model are there, and of each
            attempt to connect; in seconds.
        retries: How often a request is tried again after its connection was lost or the server was not available: 0
            to 5.
        tls: Files by which the connection is encrypted; it is plain without.
        token: Sent as `authorization: Bearer ...`; refused without TLS unless the server is on this host.
        headers: Further headers, such as an API key; names in lower case.
        compression: Of the messages sent.
        shared_memory: Hand input tensors over in memory that client and server share.

    Raises:
        UsageError: If a value is out of range, or cannot be sent.
    """

    timeout: float = 30.0
    connect_timeout: float = 5.0
    retries: int = _MOST_RETRIES
    tls: ClientTls | None = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Compression = "none"
    shared_memory: bool = False

    def __post_init__(self) -> None:
        for name in ("timeout", "connect_timeout"):
            _check_seconds(name, getattr(self, name))
        if not 0 <= self.retries <= _MOST_RETRIES:
            raise UsageError(f"retries must be from 0 to {_MOST_RETRIES} and is {self.retries}")
        if self.compression not in get_args(Compression):
            choices = ", ".join(get_args(Compression))
            raise UsageError(f"there is no compression {self.compression!r}", hint=f"Choose one of {choices}")
        if self.token is not None and not _VALUE.fullmatch(self.token):
            raise UsageError("the token is empty, or has a character that a header cannot carry")
        object.__setattr__(self, "headers", dict(self.headers))
        for name, value in self.headers.items():
            _check_header(name, value)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers of every request."""
        token = () if self.token is None else (("authorization", f"Bearer {self.token}"),)
        return (*self.headers.items(), *token)


class Deadline:
    """A moment by which all must be done.

    Args:
        seconds: The time allowed, from now on.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: float) -> None:
        _check_seconds("timeout", seconds)
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline in that many seconds."""
        return cls(seconds)

    def remaining(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self._at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() == 0.0


def parse_urls(url: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses that a caller gave: one, several with commas between them, or a sequence of them.

    Raises:
        UsageError: If there is none, one is no address of a gRPC server, or one is given twice.
    """
    given = url.split(",") if isinstance(url, str) else list(url)
    urls = tuple(check_address(each.strip()) for each in given)
    if not urls:
        raise UsageError("there is no address of a server", hint="Give HOST:PORT, e.g. localhost:8001")
    if len(set(urls)) < len(urls):
        raise UsageError(f"an address is given twice: {', '.join(urls)}", hint="Give each server once")
    return urls


def is_local(url: str) -> bool:
    """Whether an address is certainly one of this host."""
    return _LOOPBACK.fullmatch(url) is not None


def check_secrecy(urls: Sequence[str], options: ConnectionOptions) -> None:
    """Refuses to send a token over a network in plain text.

    Raises:
        UsageError: If that were to happen.
    """
    exposed = [url for url in urls if not is_local(url)]
    if options.token is not None and options.tls is None and exposed:
        raise UsageError(
            f"a token would go to {exposed[0]} in plain text, for all between to read",
            hint="Encrypt the connection (tls), or leave the token out",
        )


def _check_seconds(name: str, seconds: float) -> None:
    if not (seconds > 0 and math.isfinite(seconds)):
        raise UsageError(f"a {name} of {seconds} seconds makes no sense", hint="Give a positive number of seconds")


def _check_header(name: str, value: str) -> None:
    if not _HEADER.fullmatch(name) or _RESERVED.fullmatch(name):
        hint = (
            "Give it as token" if name.lower() == "authorization" else "Names are in lower case, without grpc- or -bin"
        )
        raise UsageError(f"{name!r} cannot be the name of a header", hint=hint)
    if not _VALUE.fullmatch(value):
        raise UsageError(f"the value of the header {name!r} is empty, or has a character that a header cannot carry")
