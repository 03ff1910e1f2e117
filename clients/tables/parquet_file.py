"""Write rows as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.arrow_tables import arrow_schema, arrow_table
from camserve.clients.tables.checks import import_pyarrow
from camserve.clients.tables.columns import Columns

__all__ = ["write_parquet"]

_ROWS_PER_GROUP = 10_000
"""Most rows of a row group, all of which are in memory at once."""

_PROBABILITIES_PER_GROUP = 4_000_000
"""Most probabilities of a row group, in columns of classes: 16 MB."""

_MAP_BYTES_PER_GROUP = 16_000_000
"""Most bytes of maps in a row group, about."""


def write_parquet(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    """Write rows into a Parquet file."""
    _, parquet = import_pyarrow()
    with parquet.ParquetWriter(stream, arrow_schema(columns)) as writer:
        for group in _groups(rows, len(columns.classes)):
            writer.write_table(arrow_table(group, columns))


def _groups(rows: Iterable[ScoredRow], classes: int) -> Iterator[list[ScoredRow]]:
    most_rows = max(1, min(_ROWS_PER_GROUP, _PROBABILITIES_PER_GROUP // max(1, classes)))
    group: list[ScoredRow] = []
    map_bytes = 0
    for row in rows:
        group.append(row)
        map_bytes += 0 if row.map is None else row.map.grid.nbytes
        if len(group) >= most_rows or map_bytes >= _MAP_BYTES_PER_GROUP:
            yield group
            group, map_bytes = [], 0
    if group:
        yield group
