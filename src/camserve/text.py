"""Text that came from outside, such as a file's name, made fit to stand in a message."""

from __future__ import annotations

from pathlib import Path

__all__ = ["printable"]


def printable(text: str | Path) -> str:
    """The text in one line that any terminal can show: control characters and undecodable bytes are escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))
