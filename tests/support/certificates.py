"""Certificate authorities and certificates for TLS tests, created with the openssl program."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Authority", "Pair"]

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A new certificate authority with its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        files = ("-keyout", self._key, "-out", self.certificate)
        _openssl("req", "-x509", *_KEY, *files, "-days", "2", "-subj", f"/CN={folder.name}")

    def issue(self, name: str, *, days: int = 2) -> Pair:
        """Issue a certificate for localhost and 127.0.0.1; with `days=-1` it has expired."""
        request = self._folder / f"{name}.csr"
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        _openssl("req", *_KEY, "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}", *names)
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-copy_extensions", "copy")
        _openssl("x509", "-req", "-in", request, *signer, "-days", str(days), "-out", pair.certificate)
        return pair


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
