"""Verification of a file against the SHA-256 that the user expects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from camserve.errors import SourceError, UsageError
from camserve.manifest import file_digest

__all__ = ["verify_checksum"]

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def verify_checksum(files: Sequence[Path], expected: str | None) -> str | None:
    """Return the SHA-256 of a source's first file, verified against the expected one.

    Args:
        files: The files or folders of the source, the model before its weights.
        expected: The expected SHA-256 in hexadecimal; None to skip the verification.

    Returns:
        The SHA-256 in hexadecimal; None if there is no file, or it is a folder.

    Raises:
        UsageError: If `expected` is not a SHA-256, or the source is not exactly one file.
        SourceError: If the file has another SHA-256.
    """
    if expected is None:
        return file_digest(files[0]) if files and files[0].is_file() else None
    if not _SHA256.fullmatch(expected):
        raise UsageError(f"--sha256 must be 64 hexadecimal digits, got {expected!r}", hint="Compute it: sha256sum FILE")
    if len(files) != 1 or not files[0].is_file():
        source = " and ".join(map(str, files)) or "a source without a file"
        raise UsageError(
            f"--sha256 applies to exactly one file, got {source}",
            hint="Remove --sha256, or export a single model or weights file",
        )
    found = file_digest(files[0])
    if found != expected.lower():
        raise SourceError(
            f"{files[0]} has the SHA-256 {found}, expected {expected.lower()}",
            hint="Download the file again from where the checksum was published",
        )
    return found
