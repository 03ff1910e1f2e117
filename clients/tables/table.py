"""Write rows to a CSV or Parquet file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.checks import check_table, import_pyarrow
from camserve.clients.tables.columns import Cell, Columns
from camserve.clients.tables.table_file import TableSummary, write_rows
from camserve.errors import UsageError

__all__ = ["write_table"]

_ROWS_PER_GROUP = 10_000
"""Most rows of a Parquet row group, all of which are in memory at once."""

_PROBABILITIES_PER_GROUP = 4_000_000
"""Most probabilities of a Parquet row group, in columns of classes: 16 MB."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # also their full-width forms


def write_table(
    path: str | Path,
    rows: Iterable[ScoredRow],
    *,
    top: int = 5,
    classes: Sequence[str] = (),
    spreadsheet_safe: bool = False,
) -> TableSummary:
    """Write a table with one line per row: path; class, label and probability of each rank; error; model, version.

    With `classes`, a column for each class follows, in class order: `probability_of_` and its label, and its number
    where several classes have the label, as in `probability_of_crane (class 134)`.

    CSV files are encoded in UTF-8; file names that are not valid UTF-8 keep their bytes (read the table with
    `errors="surrogateescape"`). In Parquet files, whose text must be UTF-8, such names are escaped, and their bytes are
    in the column `path_bytes`.

    Args:
        path: The table, with the extension .csv or .parquet. An existing table is replaced when the new one is
            complete, which gets its owner, group, mode and access control list. If it is a symbolic link, the file
            that it points to is replaced.
        rows: The rows.
        top: Number of ranks with columns of their own.
        classes: The label of each class, such as `classifier.labels`, for a column with the probability of each. The
            rows must contain them: `score(..., all_probabilities=True)`.
        spreadsheet_safe: Write an apostrophe before texts of a CSV file that a spreadsheet may read as a formula
            (they start with =, +, -, @, a tab or a line break), and quote all texts. By default, texts are exact.

    Raises:
        UsageError: See `check_table`; or `classes` is passed and a row does not contain all probabilities.
        ContractError: If a row has other classes than `classes`.
        ClientError: If the table cannot be written; an existing table remains.
        Exception: Every exception of `rows`, unchanged; an existing table remains.
    """
    check_table(path, spreadsheet_safe=spreadsheet_safe)
    suffix = Path(path).suffix.lower()
    columns = Columns(top, _checked(classes), in_unicode=suffix == ".parquet")
    write = _write_spreadsheet if spreadsheet_safe else _WRITERS[suffix]
    return write_rows(path, rows, lambda stream, counted: write(stream, counted, columns))


def _checked(classes: Sequence[str]) -> tuple[str, ...]:
    """Refuse a single label, which is a sequence of letters."""
    if isinstance(classes, str) or not all(isinstance(label, str) for label in classes):
        raise UsageError("classes must be a list of labels", hint="Pass classes=classifier.labels")
    return tuple(classes)


def _write_csv(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    _write_lines(stream, columns, (_line(row, columns) for row in rows), csv.QUOTE_MINIMAL)


def _write_spreadsheet(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    lines = (map(_without_formula, _line(row, columns)) for row in rows)
    _write_lines(stream, columns, lines, csv.QUOTE_NONNUMERIC)  # it protects texts where semicolons separate cells, too


def _write_lines(stream: BinaryIO, columns: Columns, lines: Iterable[Iterable[Cell]], quoting: Any) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(columns.names + columns.class_names)
    writer.writerows(lines)
    text.detach()


def _line(row: ScoredRow, columns: Columns) -> list[Cell]:
    cells = columns.cells(row)
    if columns.classes:
        values = columns.probabilities(row)
        cells += [None] * len(columns.classes) if values is None else values.tolist()
    return cells


def _without_formula(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _write_parquet(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    arrow, parquet = import_pyarrow()
    text = arrow.string()
    types = [text, *[arrow.int32(), text, arrow.float32()] * columns.top, text, arrow.binary(), text, text]
    fields = list(zip(columns.names, types, strict=True))
    schema = arrow.schema(fields + [(name, arrow.float32()) for name in columns.class_names])
    remaining = iter(rows)
    length = max(1, min(_ROWS_PER_GROUP, _PROBABILITIES_PER_GROUP // max(1, len(columns.classes))))
    with parquet.ParquetWriter(stream, schema) as writer:
        while group := list(islice(remaining, length)):
            cells = zip(*map(columns.cells, group), strict=True)
            arrays = [arrow.array(column, kind) for column, kind in zip(cells, types, strict=True)]
            empty = np.array([row.error is not None for row in group])
            arrays += [arrow.array(column, mask=empty) for column in _probabilities(group, columns).T]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _probabilities(group: Sequence[ScoredRow], columns: Columns) -> np.ndarray[Any, Any]:
    """Return the probabilities of a group of rows, float32 `[rows, classes]`; zeros for rows with an error."""
    values = np.zeros((len(group), len(columns.classes)), np.float32, order="F")
    for place, row in enumerate(group) if columns.classes else ():
        probabilities = columns.probabilities(row)
        if probabilities is not None:
            values[place] = probabilities
    return values


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[ScoredRow], Columns], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
