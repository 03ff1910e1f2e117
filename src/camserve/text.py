"""Text for messages: printable names and counts of things."""

from __future__ import annotations

from pathlib import Path

__all__ = ["count", "printable"]


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 image`, `2 images`, `0 classes`.

    Args:
        number: How many there are. Thousands are separated by commas.
        noun: The singular.
        plural: The plural (default: the noun with "s", or "es" after "s", "x", "ch" or "sh").
    """
    if number != 1:
        noun = plural or noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
    return f"{number:,} {noun}"


def printable(text: str | Path) -> str:
    """Return the text as one line, with control characters and undecodable bytes escaped.

    For text from outside, such as the name of a file, that becomes part of a message.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))
