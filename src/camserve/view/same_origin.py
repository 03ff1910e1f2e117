"""Which requests come from the page itself: a page of another site must not reach it through the user's browser."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from email.message import Message
from ipaddress import ip_address

from camserve.view.options import ViewOptions

__all__ = ["is_own_host", "is_same_origin", "own_names"]

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?", re.ASCII)


def own_names(options: ViewOptions) -> frozenset[str]:
    """Return the names by which this server may be addressed, in lower case."""
    local = {"localhost", options.host.lower()}
    return frozenset(local if options.is_local else {*local, socket.gethostname().lower()})


def is_own_host(header: str | None, names: Collection[str]) -> bool:
    """Return whether a `Host` header names this server: by an IP address or one of its names.

    Any other name may be that of another site whose owner made it point to this host (DNS rebinding); the browser
    would take this server for a part of that site.
    """
    match = _HOST.fullmatch(header or "")
    if match is None:
        return False
    host = match["ipv6"] or match["name"]
    try:
        ip_address(host)
    except ValueError:
        return match["ipv6"] is None and host.lower() in names
    return True


def is_same_origin(headers: Message) -> bool:
    """Return whether a request was not made by a page of another site. Programs other than browsers send no origin."""
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    return origin in (None, f"http://{headers.get('Host')}") and site in (None, "same-origin", "none")
