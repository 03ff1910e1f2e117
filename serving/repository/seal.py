"""The seal of a text file: the SHA-256 of its other lines, in a comment, which makes any change detectable.

It detects damage and edits by hand, not forgery: anyone who can write the file can write the seal.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["is_sealed", "seal", "without_seal"]

_SEAL = re.compile(r"^# Written by camserve; SHA-256 of all other lines: ([0-9a-f]{64})\n", re.MULTILINE)


def seal(text: str) -> str:
    """Return the text with its seal as the first line, in place of any existing seal."""
    body = without_seal(text)
    return f"# Written by camserve; SHA-256 of all other lines: {_digest(body)}\n{body}"


def without_seal(text: str) -> str:
    """Return the text without its seals."""
    return _SEAL.sub("", text)


def is_sealed(text: str) -> bool:
    """Check whether the text is unchanged since it was sealed."""
    return _SEAL.findall(text) == [_digest(without_seal(text))]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
