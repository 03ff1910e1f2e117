"""The files by which a client encrypts its connection to a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from camserve.errors import UsageError

__all__ = ["ClientTls"]


@dataclass(frozen=True, kw_only=True)
class ClientTls:
    """Files for a connection that is encrypted; `ClientTls()` trusts the authorities that gRPC brings along.

    Attributes:
        ca: PEM file of the certificates that the server's must be signed by; gRPC's own list unless given.
        certificate: PEM file of the client's own certificate, where the server asks for one.
        key: PEM file of its key.

    Raises:
        UsageError: If a certificate comes without its key, or a key without its certificate.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        for name in ("ca", "certificate", "key"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, Path(path).expanduser().absolute())
        if (self.certificate is None) != (self.key is None):
            raise UsageError(
                "a client's certificate needs its key, and a key its certificate", hint="Give both, or neither"
            )

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """What stands in `ca`, `key` and `certificate`, in the order of `grpc.ssl_channel_credentials`.

        Raises:
            UsageError: If a file cannot be read.
        """
        return _read(self.ca), _read(self.key), _read(self.certificate)


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"the TLS file {path} cannot be read: {error.strerror}", hint="Give a PEM file") from error
