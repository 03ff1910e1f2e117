"""Where the page is served."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ViewOptions"]

_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|localhost")


@dataclass(frozen=True)
class ViewOptions:
    """Where the page is served, and its limits.

    Attributes:
        host: IPv4 address or host name to listen on (default: the loopback address).
        port: Port; 0 chooses any free one.
        connections: The most connections at once; further ones are refused.
        classifications: The most images that are read and classified at once; further ones wait.
        reading_seconds: Time limit to receive a request.
    """

    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 32
    classifications: int = 4
    reading_seconds: float = 60.0

    @property
    def is_local(self) -> bool:
        """Whether only this host can open the page."""
        return _LOOPBACK.fullmatch(self.host) is not None
