"""The files by which gRPC is encrypted."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import UsageError

__all__ = ["Tls"]


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Encryption of gRPC.

    Attributes:
        certificate: PEM file of the server's certificate, followed by those between it and its authority.
        key: PEM file of its key, without a passphrase.
        client_ca: PEM file of the authority that clients' certificates must be of; None asks clients for none.

    Raises:
        UsageError: If a file cannot be read, or key and certificate do not belong together.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        for name in ("certificate", "key", "client_ca"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, Path(path).expanduser().absolute())
                _check_readable(getattr(self, name), name.replace("_", " "))
        _check_pair(self.certificate, self.key)
        if self.client_ca is not None:
            _check_authority(self.client_ca)


def _check_readable(path: Path, what: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"the TLS {what} {path} cannot be read: {error.strerror}", hint="Give a PEM file") from error


def _check_pair(certificate: Path, key: Path) -> None:
    try:
        # An empty passphrase: without one, OpenSSL would ask for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(
            f"the TLS certificate {certificate} and the key {key} cannot be used together: {error}",
            hint="Give the PEM file of the certificate's chain and that of its own key, without a passphrase",
        ) from error


def _check_authority(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"the client CA {path} holds no certificate: {error}", hint="Give the PEM file of the authority"
        ) from error
