"""The TLS files of the server's gRPC service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from camserve.tls import check_authority, check_pair, check_readable

__all__ = ["Tls"]


@dataclass(frozen=True, kw_only=True)
class Tls:
    """TLS files for gRPC.

    Attributes:
        certificate: PEM file of the server's certificate, followed by the intermediate certificates.
        key: PEM file of its private key, without a passphrase.
        client_ca: PEM file of the authority that must have signed the certificates of clients (default: clients need no
            certificate).

    Raises:
        UsageError: If a file cannot be read, or key and certificate do not match.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        for name in ("certificate", "key", "client_ca"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_readable(getattr(self, name), name.replace("_", " ")))
        check_pair(self.certificate, self.key)
        if self.client_ca is not None:
            check_authority(self.client_ca, "client CA")
