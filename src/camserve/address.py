"""Addresses of gRPC servers."""

from __future__ import annotations

import re

from camserve.errors import UsageError

__all__ = ["check_address"]

_ADDRESS = re.compile(r"unix:.+|(?:(?!https?:)[a-z]+:/+)?(?:\[[^\]/\s]+\]|[^:/\s]+):(?P<port>\d{1,5})", re.ASCII)
_MAX_PORT = 65_535


def check_address(url: str) -> str:
    """Check the address of a gRPC server and return it unchanged.

    Args:
        url: `host:port`, `[IPv6]:port`, `dns:///host:port` or `unix:path`.

    Raises:
        UsageError: If gRPC does not accept the address.
    """
    match = _ADDRESS.fullmatch(url)
    # gRPC itself would use port 1 for port 65537.
    if match is None or not 0 < int(match["port"] or 1) <= _MAX_PORT:
        raise UsageError(
            f"invalid gRPC address {url!r}", hint="Use HOST:PORT without http://, for example localhost:8001"
        )
    return url
