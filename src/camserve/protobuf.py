"""Reading protobuf messages field by field, without their schema and without copying their content.

Source: the encoding, https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

__all__ = ["BYTES", "VARINT", "read_fields"]

VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5


def read_fields(content: mmap.mmap | bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Iterate over the fields of a message.

    Args:
        content: The file.
        position: First byte of the message.
        end: The byte after its last.

    Yields:
        For each field its number, its wire type, its value (of `BYTES`: the position of the content) and its size.

    Raises:
        ValueError: If a field has an unknown type or is truncated.
        IndexError: If the content ends within a varint.
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
            raise ValueError(f"unknown wire type {kind} at byte {position}")
        if position > end:
            raise ValueError(f"truncated field at byte {end}")
        yield field, kind, value, size


def _varint(content: mmap.mmap | bytes, position: int) -> tuple[int, int]:
    """Read an integer of up to 64 bits, seven per byte; return it with the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError(f"varint without an end at byte {position}")
