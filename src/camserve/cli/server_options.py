"""The options of commands that talk to a running server, and what they become."""

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
    "AllowContractChange",
    "LiveUrl",
    "TlsCa",
    "TlsCertificate",
    "TlsKey",
    "access",
    "client_tls",
    "connect",
]

PANEL = "A running server"
"""The heading of these options in a command's help."""


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, show_default=False, **settings)


LiveUrl = Annotated[
    str | None,
    _option("--url", metavar="HOST:PORT", help="gRPC address of a Triton in explicit mode that serves the repository."),
]
AdminKeyFile = Annotated[
    Path | None,
    _option(
        "--admin-key-file",
        metavar="FILE",
        help="File with the key that the server wants to hear; else the environment variable CAMSERVE_ADMIN_KEY.",
    ),
]
TlsCa = Annotated[
    Path | None,
    _option("--tls-ca", metavar="FILE", help="Encrypt the connection, and trust certificates that these have signed."),
]
TlsCertificate = Annotated[
    Path | None, _option("--tls-certificate", metavar="FILE", help="Certificate to show to the server.")
]
TlsKey = Annotated[Path | None, _option("--tls-key", metavar="FILE", help="Key of that certificate.")]
AllowContractChange = Annotated[
    bool,
    typer.Option(
        "--allow-contract-change", help="Even if clients find another input, output, preprocessing or other labels."
    ),
]


def access(
    admin_key_file: Path | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> tuple[str | None, ClientTls | None]:
    """The admin key, and how to encrypt the connection.

    Raises:
        UsageError: If the key's file cannot be read or holds no key, or one of certificate and key is missing.
    """
    from camserve.serving.server.server_options import ADMIN_KEY_VARIABLE, check_admin_key, read_admin_key

    admin_key = read_admin_key(admin_key_file, os.environ.get(ADMIN_KEY_VARIABLE))
    if admin_key is not None:
        check_admin_key(admin_key)
    return admin_key, client_tls(ca, certificate, key)


def client_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ClientTls | None:
    """How to encrypt the connection; not at all where no file is given.

    Raises:
        UsageError: If one of certificate and key is missing.
    """
    from camserve.tls import ClientTls

    wanted = any(path is not None for path in (ca, certificate, key))
    return ClientTls(ca=ca, certificate=certificate, key=key) if wanted else None


def connect(
    url: str, admin_key_file: Path | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> LiveServer:
    """The server of that address; to be closed."""
    from camserve.serving.live.server import LiveServer

    admin_key, tls = access(admin_key_file, ca, certificate, key)
    return LiveServer(url, admin_key=admin_key, tls=tls)
