"""Read JSON that someone else wrote, and accept only what has one meaning.

Python's reader takes the last of two equal keys, `NaN`, `Infinity`, 1e400 as infinity, halves of surrogate pairs, and
any size and depth. Documents from a server or a bundle are read here instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from camserve.text import count, excerpt, shortened

__all__ = ["JsonError", "parse_json"]

_MAX_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 32
_PATH = 120
_TOO_DEEP = f"is nested more than {_MAX_DEPTH} levels deep"
_LARGEST_INTEGER = 2**63 - 1
_DIGITS = len(str(_LARGEST_INTEGER))


class JsonError(ValueError):
    """The text is not JSON, or JSON with more than one meaning; the message names the place."""


class _Fault(str):
    """What is wrong with a value, in its place until the path to it is known."""

    __slots__ = ()


def parse_json(text: str | bytes, *, max_bytes: int = _MAX_BYTES) -> Any:
    """Parse JSON, strictly.

    Args:
        text: The document; bytes must be UTF-8.
        max_bytes: The largest size of the document, in bytes or characters.

    Returns:
        The document. Its numbers are finite, its integers have at most 64 bits, and its text can be encoded as UTF-8.

    Raises:
        JsonError: If it is not JSON, gives a key twice, contains such a number or text, is nested more than 32 levels
            deep, or is too large.
    """
    if len(text) > max_bytes:
        unit = "byte" if isinstance(text, bytes) else "character"
        raise JsonError(f"it has {count(len(text), unit)}, and at most {max_bytes:,} are allowed")
    try:
        document = json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
        )
    except RecursionError:
        raise JsonError(f"it {_TOO_DEEP}") from None
    except UnicodeDecodeError as error:
        raise JsonError(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise JsonError(f"it is not JSON: {error}") from None
    if not _is_sound(document, 0):
        for path, fault in _faults(document):
            raise JsonError(f"{shortened(path, _PATH) or 'it'} {fault}")
    return document


def _is_sound(value: Any, depth: int) -> bool:
    """Return whether a value and all that it contains have no fault; several times as fast as to name the fault."""
    if isinstance(value, str):
        return not isinstance(value, _Fault) and (value.isascii() or _is_encodable(value))
    if not isinstance(value, dict | list):
        return not isinstance(value, float) or math.isfinite(value)
    if depth == _MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(_is_sound(each, depth + 1) for pair in value.items() for each in pair)
    return all(_is_sound(each, depth + 1) for each in value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Fault("is given twice") if key in found else value
    return found


def _integer(digits: str) -> int | _Fault:
    """Parse an integer; Python refuses more than 4,300 digits, and needs quadratic time for fewer."""
    if len(digits.lstrip("-")) <= _DIGITS and abs(int(digits)) <= _LARGEST_INTEGER:
        return int(digits)
    return _Fault(f"must be a number of at most 64 bits, got {_digits(digits)}")


def _float(digits: str) -> float | _Fault:
    value = float(digits)
    return value if math.isfinite(value) else _Fault(f"must be a finite number, got {shortened(digits, _PATH)}")


def _digits(digits: str) -> str:
    """Return an integer, or how long it is."""
    return digits if len(digits) <= 2 * _DIGITS else f"an integer of {count(len(digits.lstrip('-')), 'digit')}"


def _faults(document: Any) -> Iterator[tuple[str, str]]:
    """Yield the path and the fault of every value, level by level, so that depth needs no recursion."""
    level: list[tuple[str, Any]] = [("", document)]
    for depth in range(_MAX_DEPTH + 1):
        for path, value in level:
            fault = _TOO_DEEP if depth == _MAX_DEPTH and isinstance(value, dict | list) else _fault(value)
            if fault is not None:
                yield path, fault
        level = [member for path, value in level for member in _members(path, value)]


def _fault(value: Any) -> str | None:
    if isinstance(value, _Fault):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, got {excerpt(value)}"
    texts = value.keys() if isinstance(value, dict) else [value] if isinstance(value, str) else []
    if any(not text.isascii() and not _is_encodable(text) for text in texts):
        return "contains half of a surrogate pair, which is not text"
    return None


def _members(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, member in value.items():
            name = excerpt(key)[1:-1]
            yield f"{path}.{name}" if path else name, member
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield f"{path}[{index}]", member


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
