"""Write rows as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from camserve.clients.scoring.rows import ScoredRow
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
    arrow, parquet = import_pyarrow()
    kinds = {"text": arrow.string(), "integer": arrow.int32(), "number": arrow.float32(), "bytes": arrow.binary()}
    types = [kinds[kind] for kind in columns.kinds.values()]
    fields = list(zip(columns.names, types, strict=True))
    schema = arrow.schema(fields + [(name, arrow.float32()) for name in columns.class_names])
    with parquet.ParquetWriter(stream, schema) as writer:
        for group in _groups(rows, len(columns.classes)):
            cells = zip(*map(columns.cells, group), strict=True)
            arrays = [arrow.array(column, kind) for column, kind in zip(cells, types, strict=True)]
            empty = np.array([row.error is not None for row in group])
            arrays += [arrow.array(column, mask=empty) for column in _probabilities(group, columns).T]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


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


def _probabilities(group: Sequence[ScoredRow], columns: Columns) -> np.ndarray[Any, Any]:
    """Return the probabilities of a group of rows, float32 `[rows, classes]`; zeros for rows with an error."""
    values = np.zeros((len(group), len(columns.classes)), np.float32, order="F")
    for place, row in enumerate(group) if columns.classes else ():
        probabilities = columns.probabilities(row)
        if probabilities is not None:
            values[place] = probabilities
    return values
