"""The options by which a command connects to a running server: its address, its admin key, and TLS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from camserve.serving.live.server import LiveServer
    from camserve.tls import ClientTls

__all__ = [
    "PANEL",
    "AdminKeyFile",
    "LiveUrl",
    "TlsCa",
    "TlsCertificate",
    "TlsKey",
    "client_tls",
    "connect",
    "read_access",
]

PANEL = "Connection to a running server"
"""The heading of these options in the help of a command."""


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, show_default=False, **settings)


LiveUrl = Annotated[
    str | None,
    _option(
        "--url",
        metavar="HOST:PORT",
        help="gRPC address of a Triton in explicit mode that serves this repository.",
    ),
]
AdminKeyFile = Annotated[
    Path | None,
    _option(
        "--admin-key-file",
        metavar="FILE",
        help="File with the admin key of the server.  [default: $CAMSERVE_ADMIN_KEY]",
    ),
]
TlsCa = Annotated[
    Path | None,
    _option(
        "--tls-ca",
        metavar="FILE",
        help="Encrypt the connection; accept server certificates signed by these authorities (PEM).",
    ),
]
TlsCertificate = Annotated[
    Path | None, _option("--tls-certificate", metavar="FILE", help="Client certificate for the server (PEM).")
]
TlsKey = Annotated[
    Path | None, _option("--tls-key", metavar="FILE", help="Private key of the client certificate (PEM).")
]


def read_access(
    admin_key_file: Path | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> tuple[str | None, ClientTls | None]:
    """Return the admin key and the TLS files of the connection, None where there are none.

    Raises:
        UsageError: If the key's file cannot be read or contains no valid key, or only one of certificate and key is
            given.
    """
    from camserve.serving.server.server_options import ADMIN_KEY_VARIABLE, check_admin_key, read_admin_key

    admin_key = read_admin_key(admin_key_file, os.environ.get(ADMIN_KEY_VARIABLE))
    if admin_key is not None:
        check_admin_key(admin_key)
    return admin_key, client_tls(ca, certificate, key)


def client_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ClientTls | None:
    """Return the TLS files of the connection, or None to connect in plain text.

    Raises:
        UsageError: If only one of certificate and key is given.
    """
    from camserve.tls import ClientTls

    if ca is None and certificate is None and key is None:
        return None
    return ClientTls(ca=ca, certificate=certificate, key=key)


def connect(
    url: str, admin_key_file: Path | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> LiveServer:
    """Connect to the server at that address; the caller closes the connection."""
    from camserve.serving.live.server import LiveServer

    admin_key, tls = read_access(admin_key_file, ca, certificate, key)
    return LiveServer(url, admin_key=admin_key, tls=tls)
