"""What gRPC says of a connection that cannot be made, in plain words."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Reason", "without_connection"]


class Reason(NamedTuple):
    """Why there is no connection.

    Attributes:
        what: In plain words.
        hint: What to do about it.
        lasting: Whether it is no use to try again.
    """

    what: str
    hint: str
    lasting: bool = False


_PREAMBLE = re.compile(r"failed to connect to all addresses; last error: (UNKNOWN: |UNAVAILABLE: )?")
_HTTP = re.compile(r"http2 header with status", re.IGNORECASE)
_HUNG_UP = re.compile(r"^(ipv[46]|unix):\S+ (Socket closed|recvmsg:Connection reset by peer)")
_START_IT = "Start it, and give the address of its gRPC port (8001 unless set otherwise)"

# What gRPC says where TLS fails, what it means, and what to do about it.
_TLS = tuple(
    (re.compile(pattern, re.IGNORECASE), problem, hint)
    for pattern, problem, hint in (
        (
            "certificate has expired",
            "its certificate has expired",
            "Renew the server's certificate, or set this host's clock right",
        ),
        (
            "hostname verification|not in peer certificate",
            "its certificate is for another name",
            "Give the server's address as its certificate has it",
        ),
        (
            "certificate_verify_failed",
            "its certificate is not of the authority that is trusted",
            "Give the certificate of the server's own authority (ca of tls)",
        ),
        (
            "wrong_version_number",
            "the server does not encrypt",
            "Leave tls out, or give the address of a port that is encrypted",
        ),
        ("handshake|ssl_", "the two cannot agree", "Check the files given as tls"),
    )
)


def without_connection(url: str, why: str, *, encrypted: bool) -> Reason:
    """Why there is no connection to a server.

    Args:
        url: The server.
        why: What gRPC says.
        encrypted: Whether TLS was tried.
    """
    why = _PREAMBLE.sub("", why)
    for pattern, problem, hint in _TLS if encrypted else ():
        if pattern.search(why):
            return Reason(f"no encrypted connection to {url}: {problem} ({why})", hint, lasting=True)
    if _HUNG_UP.search(why):
        return _hung_up(url, why, encrypted=encrypted)
    hint = f"{_START_IT}; an HTTP server or a proxy answers here (http_proxy, no_proxy)"
    return Reason(f"no Triton server answers at {url}: {why}", hint if _HTTP.search(why) else _START_IT)


def _hung_up(url: str, why: str, *, encrypted: bool) -> Reason:
    if encrypted:
        expected = "it may ask clients for a TLS certificate of another authority than this client's, or for any"
        hint = "Give certificate and key of an authority that the server trusts (tls)"
    else:
        expected = "it may expect TLS, or speak another protocol"
        hint = f"Give tls where the server encrypts. {_START_IT}"
    return Reason(f"no Triton server answers at {url}: it takes connections and closes them, {expected} ({why})", hint)
