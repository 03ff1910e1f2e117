"""Rows as tables of Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from camserve.clients.arrow import import_pyarrow
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.columns import Columns

__all__ = ["arrow_schema", "arrow_table"]


def arrow_schema(columns: Columns) -> Any:
    """Return the schema of tables with these columns, a `pyarrow.Schema`."""
    arrow, _ = import_pyarrow()
    kinds = {"text": arrow.string(), "integer": arrow.int32(), "number": arrow.float32(), "bytes": arrow.binary()}
    fields = [(name, kinds[kind]) for name, kind in columns.kinds.items()]
    return arrow.schema(fields + [(name, arrow.float32()) for name in columns.class_names])


def arrow_table(rows: Sequence[ScoredRow], columns: Columns) -> Any:
    """Return rows, all of which are in memory at once, as a `pyarrow.Table`.

    Raises:
        UsageError: If a row lacks what the columns require.
        ContractError: If a row has other classes than the columns.
    """
    arrow, _ = import_pyarrow()
    schema = arrow_schema(columns)
    if not rows:
        return schema.empty_table()
    cells = zip(*map(columns.cells, rows), strict=True)
    arrays = [arrow.array(column, field.type) for column, field in zip(cells, schema, strict=False)]
    empty = np.array([row.error is not None for row in rows])
    arrays += [arrow.array(column, mask=empty) for column in _probabilities(rows, columns).T]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _probabilities(rows: Sequence[ScoredRow], columns: Columns) -> np.ndarray[Any, Any]:
    """Return the probabilities of rows, float32 `[rows, classes]`; zeros for rows with an error."""
    values = np.zeros((len(rows), len(columns.classes)), np.float32, order="F")
    for place, row in enumerate(rows) if columns.classes else ():
        probabilities = columns.probabilities(row)
        if probabilities is not None:
            values[place] = probabilities
    return values
