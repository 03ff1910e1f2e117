"""Whether a file is the one that was expected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from camserve.errors import SourceError, UsageError
from camserve.manifest import file_digest

__all__ = ["verify_checksum"]

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def verify_checksum(given: Sequence[Path], expected: str | None) -> str | None:
    """SHA-256 of the first file given, held to what is expected of it.

    Args:
        given: The files or folders that a source consists of, the model before its weights.
        expected: In hexadecimal; None where nothing is.

    Returns:
        In hexadecimal; None where there is no file, or a folder.

    Raises:
        UsageError: If what is expected is no SHA-256, or there is not exactly one file to hold to it.
        SourceError: If the file has another.
    """
    if expected is None:
        return file_digest(given[0]) if given and given[0].is_file() else None
    if not _SHA256.fullmatch(expected):
        raise UsageError(
            f"{expected!r} is no SHA-256: that has 64 hexadecimal digits", hint="Compute it with: sha256sum FILE"
        )
    if len(given) != 1 or not given[0].is_file():
        what = " and ".join(map(str, given)) or "a source that is no file"
        raise UsageError(f"one SHA-256 cannot be held against {what}", hint="It is for one file, of a model or weights")
    found = file_digest(given[0])
    if found != expected.lower():
        raise SourceError(
            f"{given[0]} has the SHA-256 {found}, and {expected.lower()} was expected",
            hint="Get the file again, from where the hash was published",
        )
    return found
