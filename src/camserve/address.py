"""Addresses of gRPC servers."""

from __future__ import annotations

import re

from camserve.errors import UsageError

__all__ = ["check_address"]

_ADDRESS = re.compile(r"unix:.+|(?:(?!https?:)[a-z]+:/+)?(?:\[[^\]/\s]+\]|[^:/\s]+):(?P<port>\d{1,5})", re.ASCII)
_LAST_PORT = 65_535


def check_address(url: str) -> str:
    """Returns the address if it is one that gRPC takes: `host:port`, `[IPv6]:port`, `dns:///host:port` or `unix:path`.

    Raises:
        UsageError: If it is none.
    """
    match = _ADDRESS.fullmatch(url)
    # gRPC would take port 65537 for port 1.
    if match is None or not 0 < int(match["port"] or 1) <= _LAST_PORT:
        raise UsageError(
            f"{url!r} is no address of a gRPC server", hint="Give HOST:PORT without http://, e.g. localhost:8001"
        )
    return url
