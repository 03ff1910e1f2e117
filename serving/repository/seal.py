"""The seal of a text file: the hash of its other lines, in a comment, so that a change of any bit is noticed.

It tells damage and edits by hand, not forgery: whoever can write the file can write the seal.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["is_sealed", "seal", "without_seal"]

_SEAL = re.compile(r"^# Written by camserve; SHA-256 of all other lines: ([0-9a-f]{64})\n", re.MULTILINE)


def seal(text: str) -> str:
    """The text with its seal as the first line, in place of any that it has."""
    body = without_seal(text)
    return f"# Written by camserve; SHA-256 of all other lines: {_digest(body)}\n{body}"


def without_seal(text: str) -> str:
    """The text without lines that are seals."""
    return _SEAL.sub("", text)


def is_sealed(text: str) -> bool:
    """Whether the text is as it was when it was sealed."""
    return _SEAL.findall(text) == [_digest(without_seal(text))]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
