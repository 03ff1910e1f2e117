"""Messages of protobuf, field by field, without their schema and without copying what they hold.

The encoding: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

__all__ = ["BYTES", "VARINT", "read_fields"]

VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5


def read_fields(content: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number and wire type of each field between two bytes, with its value or the place of its bytes, and their number.

    Raises:
        ValueError: If a field has no such type, or is cut off.
        IndexError: If the content ends within a number.
    """
    while position < end:
        tag, position = _varint(content, position)
        field, kind = tag >> 3, tag & 7
        value, size = position, 0
        if kind == VARINT:
            value, position = _varint(content, position)
        elif kind == BYTES:
            size, value = _varint(content, position)
            position = value + size
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of type {kind} at byte {position}")
        if position > end:
            raise ValueError(f"it ends within a field, at byte {end}")
        yield field, kind, value, size


def _varint(content: mmap.mmap, position: int) -> tuple[int, int]:
    """A number of up to 64 bits, seven in each byte, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError(f"a number without end at byte {position}")
