"""TLS files: those of a client, and the checks that run before a connection is opened."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import UsageError

__all__ = ["ClientTls", "check_authority", "check_pair", "check_readable"]


@dataclass(frozen=True, kw_only=True)
class ClientTls:
    """The TLS files of a client. `ClientTls()` trusts the certificate authorities that gRPC ships with.

    Attributes:
        ca: PEM file of the certificate authority that signed the server's certificate (default: gRPC's own list).
        certificate: PEM file of the client's certificate, for servers that require one.
        key: PEM file of its private key, without a passphrase.

    Raises:
        UsageError: If a file cannot be read or has other content, or key and certificate do not match.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("ca", "certificate", "key"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_readable(getattr(self, name), "CA" if name == "ca" else name))
        if self.ca is not None:
            check_authority(self.ca)
        if self.certificate is not None and self.key is not None:
            check_pair(self.certificate, self.key)
        elif self.certificate or self.key:
            missing = "key" if self.certificate else "certificate"
            raise UsageError(f"the TLS {missing} is missing", hint="Set both the certificate and the key, or neither")

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return the content of `ca`, `key` and `certificate`, in the order of `grpc.ssl_channel_credentials`.

        Raises:
            UsageError: If a file can no longer be read.
        """
        return _read(self.ca, "CA"), _read(self.key, "key"), _read(self.certificate, "certificate")


def check_readable(path: str | Path, what: str) -> Path:
    """Check that a TLS file can be read and return its absolute path.

    Args:
        path: The file.
        what: What the file contains, for the message of an error.

    Raises:
        UsageError: If the file cannot be read.
    """
    absolute = Path(path).expanduser().absolute()
    try:
        with absolute.open("rb"):
            return absolute
    except OSError as error:
        raise _unreadable(absolute, what, error) from None


def check_pair(certificate: str | Path, key: str | Path) -> None:
    """Check that a certificate and a private key belong together.

    Raises:
        UsageError: If they do not, or a file is not a PEM file of its kind.
    """
    try:
        # With an empty passphrase: without one, OpenSSL would prompt for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(
            f"the TLS certificate {str(certificate)!r} does not work with the key {str(key)!r}: {error}",
            hint="Use the PEM file of the certificate chain and the one of its private key, without a passphrase",
        ) from None


def check_authority(path: str | Path, what: str = "CA") -> None:
    """Check that a file contains certificates of authorities.

    Args:
        path: The PEM file.
        what: What the file is, for the message of an error.

    Raises:
        UsageError: If it contains none.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"the TLS {what} file {str(path)!r} contains no certificate: {error}",
            hint="Use the PEM file of the certificate authority",
        ) from None


def _read(path: str | Path | None, what: str) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, what, error) from None


def _unreadable(path: str | Path | None, what: str, error: OSError) -> UsageError:
    return UsageError(f"cannot read the TLS {what} {str(path)!r}: {error.strerror}", hint="Use a readable PEM file")
