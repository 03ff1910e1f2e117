"""Endpoints of URLs that do not reply: they are tried again for a few seconds, and then end the run or lose its images.

A list of addresses may name web servers that are gone for good, whose images must not cost all others their rows. One
that has replied before is expected to reply again, and its images are not given up: the run ends and can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar
from urllib.parse import urlsplit

from camserve.clients.scoring.inputs.filesystems import IncompleteReplyError
from camserve.errors import ConnectionFailedError, ImageError

__all__ = ["WEB_SERVERS", "WebServers", "repeated"]

Result = TypeVar("Result")

_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to reach an endpoint."""

_SECONDS_GIVEN_UP = 300.0
"""A web server that never replied is tried again for an image only so many seconds later."""


def repeated(attempt: Callable[[], Result]) -> Result:
    """Return the result of an attempt, which is repeated for a few seconds while an endpoint does not reply.

    Raises:
        ConnectionFailedError: If it does not reply.
    """
    for pause in _PAUSES:
        try:
            return attempt()
        except ConnectionFailedError:
            sleep(pause)
    return attempt()


class WebServers:
    """The web servers from which a process reads images. Threads may share it."""

    def __init__(self) -> None:
        self._replied: set[str] = set()
        self._given_up: dict[str, float] = {}

    def read(self, url: str, attempt: Callable[[], Result]) -> Result:
        """Return the result of an attempt to read an image.

        Raises:
            ImageError: If the image cannot be read to its end, or its server has never replied.
            ConnectionFailedError: If its server has replied before, and does not now.
        """
        server = urlsplit(url).netloc.rpartition("@")[2]
        if monotonic() < self._given_up.get(server, 0.0):
            raise ImageError(f"{server}, the web server of the image, does not reply", hint="Check its address")
        try:
            result = attempt() if server in self._given_up else repeated(attempt)
        except IncompleteReplyError as error:
            self._replies(server)
            raise ImageError(error.message, hint=error.hint) from None
        except ConnectionFailedError as error:
            if server in self._replied:
                raise
            self._given_up[server] = monotonic() + _SECONDS_GIVEN_UP
            raise ImageError(error.message, hint=error.hint) from None
        except ImageError:
            self._replies(server)
            raise
        self._replies(server)
        return result

    def _replies(self, server: str) -> None:
        self._replied.add(server)
        self._given_up.pop(server, None)


WEB_SERVERS = WebServers()
"""Those of this process."""
