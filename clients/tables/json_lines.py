"""Write rows as JSON Lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import BinaryIO

from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.columns import Columns

__all__ = ["write_json_lines"]


def write_json_lines(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    """Write each row as an object in UTF-8, with a value for every column: null for empty cells."""
    names = columns.names + columns.class_names
    for row in rows:
        document = dict(zip(names, columns.text_cells(row), strict=True))
        stream.write(json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n")
