"""Files of TLS: those of a client, and what is checked of anyone's before a connection is tried."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import UsageError

__all__ = ["ClientTls", "check_authority", "check_pair", "readable"]


@dataclass(frozen=True, kw_only=True)
class ClientTls:
    """Files by which a client encrypts its connection; `ClientTls()` trusts the authorities that gRPC brings along.

    Attributes:
        ca: PEM file of the authority that the server's certificate must be of; gRPC's own list unless given.
        certificate: PEM file of the client's own certificate, where the server asks for one.
        key: PEM file of its key, without a passphrase.

    Raises:
        UsageError: If a file cannot be read or is none of these, or key and certificate do not belong together.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("ca", "certificate", "key"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, readable(getattr(self, name), name))
        if self.ca is not None:
            check_authority(self.ca)
        if self.certificate is not None and self.key is not None:
            check_pair(self.certificate, self.key)
        elif self.certificate or self.key:
            raise UsageError("a certificate needs its key, and a key its certificate", hint="Give both, or neither")

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """What stands in `ca`, `key` and `certificate`, in the order of `grpc.ssl_channel_credentials`.

        Raises:
            UsageError: If a file cannot be read any more.
        """
        return _content(self.ca, "ca"), _content(self.key, "key"), _content(self.certificate, "certificate")


def readable(path: str | Path, what: str) -> Path:
    """The absolute path of a file of TLS.

    Raises:
        UsageError: If it cannot be read.
    """
    absolute = Path(path).expanduser().absolute()
    try:
        with absolute.open("rb"):
            return absolute
    except OSError as error:
        raise _unreadable(absolute, what, error) from error


def check_pair(certificate: str | Path, key: str | Path) -> None:
    """Makes sure that a certificate and a key belong together.

    Raises:
        UsageError: If they do not, or one is none.
    """
    try:
        # An empty passphrase: without one, OpenSSL would ask for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(
            f"the TLS certificate {str(certificate)!r} and the key {str(key)!r} cannot be used together: {error}",
            hint="Give the PEM file of the certificate's chain and that of its own key, without a passphrase",
        ) from error


def check_authority(path: str | Path, what: str = "CA") -> None:
    """Makes sure that a file holds certificates of authorities.

    Raises:
        UsageError: If it does not.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"the {what} {str(path)!r} holds no certificate: {error}", hint="Give the PEM file of the authority"
        ) from error


def _content(path: str | Path | None, what: str) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, what, error) from error


def _unreadable(path: str | Path | None, what: str, error: OSError) -> UsageError:
    return UsageError(f"the TLS {what} {str(path)!r} cannot be read: {error.strerror}", hint="Give a PEM file")
