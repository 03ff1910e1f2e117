"""Verification of a source file against an expected SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camserve.errors import SourceError
from camserve.export.source.checks import check_checksum_option
from camserve.export.source.contents import unreadable_file_error
from camserve.manifest import file_digest

__all__ = ["verify_checksum"]


def verify_checksum(files: Sequence[Path], expected: str | None) -> str | None:
    """Return the SHA-256 of a source's first file, verified against the expected one.

    Args:
        files: The files or folders of the source, the model before its weights.
        expected: The expected SHA-256 in hexadecimal; None to skip the verification.

    Returns:
        The SHA-256 in hexadecimal; None if there is no file, or it is a folder.

    Raises:
        UsageError: If `expected` is not a SHA-256, or the source is not exactly one file.
        SourceError: If the file has another SHA-256, or cannot be read.
    """
    check_checksum_option(files, expected)
    if not files or not files[0].is_file():
        return None
    try:
        found = file_digest(files[0])
    except OSError as error:
        raise unreadable_file_error(files[0], error) from None
    if expected is not None and found != expected.lower():
        raise SourceError(
            f"{files[0]} has the SHA-256 {found}, expected {expected.lower()}",
            hint="Download the file again from where the checksum was published",
        )
    return found
