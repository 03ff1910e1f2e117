"""The lines of a record: JSON with a checksum, which tells a complete line from one that was cut or damaged."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from camserve.clients.answers.predictions import Prediction
from camserve.clients.scoring.rows import RowMap, ScoredRow
from camserve.strict_json import parse_json

__all__ = [
    "HEADER_START",
    "KEY",
    "REPLACES_END",
    "header_line",
    "header_of",
    "is_complete",
    "is_start",
    "key_of",
    "row_line",
    "row_of",
]

Array = np.ndarray[Any, Any]

_CHECKSUM = slice(10, 18)
_CONTENT = 20
_START, _AFTER_CHECKSUM = b'{"crc32":"', b'",'
_FORMAT = 1
_MOST_BYTES = 256 * 1024 * 1024

KEY = slice(27, 43)
"""Where the key of a row is in its line, in hexadecimal."""
REPLACES_END = b',"replaces":true}\n'
"""The end of the line of a row that replaces an earlier one of the same image."""
HEADER_START = b'"record":'
"""What follows the checksum in the first line."""


def header_line(camserve: str, options: Mapping[str, Any]) -> bytes:
    """Return the first line of a record, which describes the run.

    Args:
        camserve: The version of camserve.
        options: What influences the rows, by the name of its option.
    """
    return _line(json.dumps({"record": _FORMAT, "camserve": camserve, "options": options}))


def header_of(line: bytes) -> dict[str, Any]:
    """Return what the first line of a record describes: the options of the run, and the versions as options.

    Raises:
        ValueError: If it is not such a line.
    """
    if not (is_complete(line) and line.startswith(HEADER_START, _CONTENT)):
        raise ValueError("it is not the first line of a record")
    header = parse_json(line)
    return {"camserve": header["camserve"], "format of the record": header["record"], **header["options"]}


def row_line(row: ScoredRow, *, replaces: bool) -> bytes:
    """Return the line of a row.

    Args:
        row: The row.
        replaces: Whether it replaces an earlier row of the same image.
    """
    fields: dict[str, Any] = {"key": f"{key_of(row.path, row.id):016x}", "path": _text(row.path), "id": _text(row.id)}
    if row.sha256 is not None:
        fields["sha256"] = row.sha256
    if row.error is not None:
        fields["error"] = _text(row.error)
    if row.model is not None:
        fields["model"], fields["version"] = row.model, row.version
        fields["top"] = [[int(e.index), e.label, float(e.probability), e.identifier] for e in row.top]
    if row.probabilities is not None:
        fields["probabilities"] = _packed(row.probabilities)
    if row.map is not None:
        grid, boxes = row.map.grid, {"box": row.map.box, "area": row.map.area}
        fields["map"] = {"peak": row.map.peak, **boxes, "shape": grid.shape, "grid": _packed(grid)}
    if replaces:
        fields["replaces"] = True
    return _line(json.dumps(fields, ensure_ascii=False, separators=(",", ":")))


def row_of(line: bytes) -> ScoredRow:
    """Return the row of a line.

    Raises:
        ValueError: If it is not the line of a row.
    """
    fields = parse_json(line, max_bytes=_MOST_BYTES)
    try:
        return _row(fields)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"it is not the line of a row: {error!r}") from None


def is_complete(line: bytes) -> bool:
    """Return whether a line is as it was written, by its checksum."""
    return line[_CHECKSUM] == b"%08x" % zlib.crc32(line[_CONTENT:]) and line.startswith(_START)


def is_start(line: bytes) -> bool:
    """Return whether a line may be the start of one that was cut."""
    return line.startswith(_START) or _START.startswith(line)


def key_of(path: str, id_: str) -> int:
    """Return what finds the row of an image: a hash of its path and identifier, of 64 bits."""
    both = f"{path}\0{id_}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(both, digest_size=8).digest(), "big")


def _line(document: str) -> bytes:
    """Return a document with its checksum, which covers all that follows it."""
    content = document[1:].encode() + b"\n"
    return b"%s%08x%s%s" % (_START, zlib.crc32(content), _AFTER_CHECKSUM, content)


def _row(fields: dict[str, Any]) -> ScoredRow:
    probabilities, found = fields.get("probabilities"), fields.get("map")
    return ScoredRow(
        _text_of(fields["path"]),
        tuple(Prediction(*each) for each in fields.get("top", ())),
        error=_text_of(fields["error"]) if "error" in fields else None,
        model=fields.get("model"),
        version=fields.get("version"),
        probabilities=None if probabilities is None else _unpacked(probabilities),
        id=_text_of(fields["id"]),
        sha256=fields.get("sha256"),
        map=None if found is None else _map(found),
    )


def _map(fields: dict[str, Any]) -> RowMap:
    (x, y), grid = fields["peak"], _unpacked(fields["grid"]).reshape(fields["shape"])
    box = fields["box"]
    return RowMap((x, y), None if box is None else _box(box), grid, _box(fields["area"]))


def _box(sides: list[int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = sides
    return left, top, right, bottom


def _text(text: str) -> str | dict[str, str]:
    """Return a text for JSON: itself, or its bytes if it contains those of a file name that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"base64": base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()}
    return text


def _text_of(value: str | dict[str, str]) -> str:
    if isinstance(value, str):
        return value
    return base64.b64decode(value["base64"], validate=True).decode("utf-8", "surrogatepass")


def _packed(values: Array) -> str:
    """Return numbers as base64 of float32, little-endian."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _unpacked(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
