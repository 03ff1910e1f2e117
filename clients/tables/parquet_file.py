"""Write rows as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from camserve.clients.arrow import import_pyarrow
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.arrow_tables import arrow_schema, arrow_table
from camserve.clients.tables.columns import Columns

__all__ = ["write_parquet"]

_ROWS_PER_PART, _BYTES_PER_PART = 1_000, 4_000_000
"""Most rows, and bytes of their probabilities and maps, that are converted to Arrow at once: objects of Python
need several times the memory."""

_ROWS_PER_GROUP, _BYTES_PER_GROUP = 10_000, 16_000_000
"""Most rows and bytes of a row group, all of which is in memory at once, except for the rest of a part."""


def write_parquet(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    """Write rows into a Parquet file."""
    arrow, parquet = import_pyarrow()
    with parquet.ParquetWriter(stream, arrow_schema(columns)) as writer:
        for group in _groups(_parts(rows, columns)):
            writer.write_table(arrow.concat_tables(group))


def _parts(rows: Iterable[ScoredRow], columns: Columns) -> Iterator[Any]:
    """Yield the rows as tables of Arrow."""
    part: list[ScoredRow] = []
    size = 0
    for row in rows:
        part.append(row)
        size += 4 * len(columns.classes) + (0 if row.map is None else row.map.grid.nbytes)
        if len(part) >= _ROWS_PER_PART or size >= _BYTES_PER_PART:
            yield arrow_table(part, columns)
            part, size = [], 0
    if part:
        yield arrow_table(part, columns)


def _groups(parts: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the tables of each row group."""
    group: list[Any] = []
    rows = size = 0
    for part in parts:
        group.append(part)
        rows, size = rows + part.num_rows, size + part.nbytes
        if rows >= _ROWS_PER_GROUP or size >= _BYTES_PER_GROUP:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group
