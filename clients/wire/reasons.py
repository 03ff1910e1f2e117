"""Why a connection failed, from the message of gRPC: the problem in plain words, and what to do about it."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Problem", "connection_problem"]


class Problem(NamedTuple):
    """Why there is no connection.

    Attributes:
        message: What failed, and why.
        hint: What to do about it.
        permanent: Whether another attempt at this server is useless.
    """

    message: str
    hint: str
    permanent: bool = False


_PREAMBLE = re.compile(r"failed to connect to all addresses; last error: (UNKNOWN: |UNAVAILABLE: )?")
_HTTP = re.compile(r"http2 header with status", re.IGNORECASE)
_HUNG_UP = re.compile(r"^(ipv[46]|unix):\S+ (Socket closed|recvmsg:Connection reset by peer)")
_START_IT = "Start the server, and pass the address of its gRPC port, e.g. localhost:8001"

# The messages of gRPC where TLS fails, with the problem and the hint for each.
_TLS = tuple(
    (re.compile(pattern, re.IGNORECASE), problem, hint)
    for pattern, problem, hint in (
        (
            "certificate has expired",
            "the server's certificate has expired",
            "Renew the certificate, or correct the clock of this host",
        ),
        (
            "hostname verification|not in peer certificate",
            "the server's certificate is for another host name",
            "Use the host name in the certificate as the address",
        ),
        (
            "certificate_verify_failed",
            "the server's certificate is not signed by a trusted authority",
            'Pass the certificate of its authority with tls=ClientTls(ca="ca.pem") (CLI: --tls-ca)',
        ),
        (
            "wrong_version_number",
            "the server does not use TLS",
            "Remove the tls option, or use the address of a port with TLS",
        ),
        ("handshake|ssl_", "the TLS handshake failed", "Check the files of the tls option"),
    )
)


def connection_problem(url: str, why: str, *, encrypted: bool) -> Problem:
    """Return why there is no connection to a server.

    Args:
        url: The server.
        why: The message of gRPC.
        encrypted: Whether the connection uses TLS.
    """
    why = _PREAMBLE.sub("", why)
    for pattern, problem, hint in _TLS if encrypted else ():
        if pattern.search(why):
            return Problem(f"no TLS connection to {url}: {problem} ({why})", hint, permanent=True)
    if _HUNG_UP.search(why):
        return _hung_up(url, why, encrypted=encrypted)
    hint = f"{_START_IT}; an HTTP server or a proxy replies at this address (http_proxy, no_proxy)"
    return Problem(f"no Triton server at {url}: {why}", hint if _HTTP.search(why) else _START_IT)


def _hung_up(url: str, why: str, *, encrypted: bool) -> Problem:
    if encrypted:
        cause = "it may require a client certificate, or one from another authority"
        hint = "Pass a certificate and key that the server trusts with tls=ClientTls(certificate=..., key=...)"
    else:
        cause = "it may require TLS, or use another protocol"
        hint = f"Pass tls=ClientTls() if the server uses TLS. {_START_IT}"
    return Problem(f"no Triton server at {url}: it accepts connections and closes them, {cause} ({why})", hint)
