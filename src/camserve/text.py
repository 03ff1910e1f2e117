"""Text for messages: printable names, counts, reasons and suggestions."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from unicodedata import bidirectional, category

__all__ = ["control_character", "count", "excerpt", "listed", "printable", "reason", "shortened", "suggest"]

_EXCERPT = 60
_MOST_LISTED = 10
"""The most names that a message lists."""
_NOT_TEXT = ("Cc", "Cs")
"""Categories of control characters and of halves of surrogate pairs, which cannot be written as UTF-8."""
_REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_BYTE_ORDER_MARK = "\ufeff"


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
    text = str(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def control_character(text: str) -> str | None:
    """Return the first character that is not text or changes how text around it is shown, escaped; None without one.

    These are control characters, halves of surrogate pairs, those that reorder text (Unicode's bidirectional
    embeddings, overrides and isolates) and the byte order mark. Joiners, which emoji and some scripts need, are text.
    """
    if text.isprintable():
        return None
    found = next((char for char in text if _is_control(char)), None)
    return None if found is None else printable(found)


def excerpt(value: object) -> str:
    """Return a value as JSON or else Python writes it, on one line of at most 60 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = reprlib.repr(value)
    return printable(text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 3]}...")


def shortened(text: str, limit: int = 200) -> str:
    """Return the text as one printable line of about `limit` characters, and its length if it is longer.

    For text from a server, which may have any length and content.
    """
    line = printable(text[: limit + 1])
    return line if len(line) <= limit else f"{line[:limit]}… ({len(text):,} characters)"


def listed(names: Collection[str], most: int = _MOST_LISTED) -> str:
    """Return the first names of many for a message, each in quotes: `'a', 'b' and 299,990 more`."""
    shown = ", ".join(f"'{shortened(name, _EXCERPT)}'" for name in islice(names, most))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def reason(error: Exception, path: Path | None = None) -> str:
    """Return why a file operation failed, without the error number.

    Args:
        error: The error.
        path: The file or folder that the message already names; another one of an `OSError` is appended.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return error.strerror if error.filename in (None, str(path)) else f"{error.strerror}: {error.filename}"


def suggest(word: str, choices: Iterable[str]) -> str | None:
    """Return the hint `Did you mean 'resnet50'?` for the choice most like the word, or None if none is like it."""
    close = get_close_matches(word, list(choices), n=1)
    return f"Did you mean {close[0]!r}?" if close else None


def _is_control(char: str) -> bool:
    return category(char) in _NOT_TEXT or bidirectional(char) in _REORDERING or char == _BYTE_ORDER_MARK
