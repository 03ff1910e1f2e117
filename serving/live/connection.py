"""The connection to a running server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton

from camserve.address import check_address
from camserve.errors import ServerError

__all__ = ["ClientTls", "connect"]


@dataclass(frozen=True, kw_only=True)
class ClientTls:
    """Files for a connection that is encrypted.

    Attributes:
        ca: Certificates that the server's must be signed by; those of the system unless given.
        certificate: The client's own certificate, where the server asks for one.
        key: Its key.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def connect(url: str, tls: ClientTls | None) -> Any:
    """A client of tritonclient; nothing is sent yet.

    Raises:
        UsageError: If `url` is not `host:port`.
        ServerError: If a file of `tls` is missing.
    """
    check_address(url)
    if tls is None:
        return triton.InferenceServerClient(url)
    for path in (tls.ca, tls.certificate, tls.key):
        if path is not None and not path.is_file():
            raise ServerError(f"there is no file {path}, which the connection to {url} needs", hint="Correct the path")
    return triton.InferenceServerClient(
        url,
        ssl=True,
        root_certificates=None if tls.ca is None else str(tls.ca),
        certificate_chain=None if tls.certificate is None else str(tls.certificate),
        private_key=None if tls.key is None else str(tls.key),
    )
