"""Write rows to a CSV or Parquet file, which replaces an existing one when it is complete."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from camserve.atomic import replace_file
from camserve.clients.scoring import ScoredRow
from camserve.clients.table_checks import check_table, import_pyarrow
from camserve.errors import ClientError
from camserve.text import printable

__all__ = ["TableSummary", "write_table"]

_ROWS_PER_GROUP = 10_000
"""Rows of a Parquet row group, all of which are in memory at once."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # also their full-width forms
Cell = str | int | float | bytes | None


@dataclass(frozen=True)
class TableSummary:
    """The number of rows in a table, and how many of them have an error.

    Attributes:
        rows: Number of rows.
        errors: Number of rows with an error.
        access_kept: False if the table replaced one whose owner, group, mode or access control list it could not be
            given. Nobody may then read it who could not read the other.
    """

    rows: int
    errors: int
    access_kept: bool = True


def write_table(
    path: str | Path, rows: Iterable[ScoredRow], *, top: int = 5, spreadsheet_safe: bool = False
) -> TableSummary:
    """Write a table with one line per row: path; class, label and probability of each rank; error.

    CSV files are encoded in UTF-8; file names that are not valid UTF-8 keep their bytes (read the table with
    `errors="surrogateescape"`). In Parquet files, whose text must be UTF-8, such names are escaped, and their bytes are
    in the column `path_bytes`.

    Args:
        path: The table, with the extension .csv or .parquet. An existing table is replaced when the new one is
            complete, which gets its owner, group, mode and access control list. If it is a symbolic link, the file
            that it points to is replaced.
        rows: The rows.
        top: Number of ranks with columns of their own.
        spreadsheet_safe: Write an apostrophe before texts of a CSV file that a spreadsheet may read as a formula
            (they start with =, +, -, @, a tab or a line break), and quote all texts. By default, texts are exact.

    Raises:
        UsageError: See `check_table`.
        ClientError: If the table cannot be written; an existing table remains.
        Exception: Every exception of `rows`, unchanged; an existing table remains.
    """
    check_table(path, spreadsheet_safe=spreadsheet_safe)
    target = Path(path)
    counter = _Counter(rows)
    write = _write_spreadsheet if spreadsheet_safe else _WRITERS[target.suffix.lower()]
    try:
        with replace_file(Path(os.path.realpath(target))) as table:
            write(table.stream, counter, top)
    except OSError as error:
        if error is counter.raised:
            raise
        raise ClientError(
            f"{printable(target)} cannot be written: {error.strerror or error}",
            hint="Check free space and permissions of its folder",
        ) from None
    finally:
        counter.raised = None  # its traceback refers to this frame
    return TableSummary(counter.rows, counter.errors, table.access_kept)


class _Counter:
    """Count rows as they are written.

    Attributes:
        rows: Number of rows.
        errors: Number of rows with an error.
        raised: An OSError raised by the rows, such as a lost connection, which does not concern the file.
    """

    def __init__(self, rows: Iterable[ScoredRow]) -> None:
        self._rows = rows
        self.rows = 0
        self.errors = 0
        self.raised: OSError | None = None

    def __iter__(self) -> Iterator[ScoredRow]:
        try:
            for row in self._rows:
                self.rows += 1
                self.errors += row.error is not None
                yield row
        except OSError as error:
            self.raised = error
            raise


def _write_csv(stream: BinaryIO, rows: Iterable[ScoredRow], top: int) -> None:
    _write_lines(stream, (_csv_cells(row, top) for row in rows), top, csv.QUOTE_MINIMAL)


def _write_spreadsheet(stream: BinaryIO, rows: Iterable[ScoredRow], top: int) -> None:
    # Quotes also protect texts where a spreadsheet separates cells by semicolons.
    _write_lines(stream, (map(_without_formula, _csv_cells(row, top)) for row in rows), top, csv.QUOTE_NONNUMERIC)


def _write_lines(stream: BinaryIO, lines: Iterable[Iterable[Cell]], top: int, quoting: Any) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(["path", *_rank_names(top), "error"])
    writer.writerows(lines)
    text.detach()


def _csv_cells(row: ScoredRow, top: int) -> list[Cell]:
    return [row.path, *_rank_cells(row, top), row.error]


def _without_formula(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _write_parquet(stream: BinaryIO, rows: Iterable[ScoredRow], top: int) -> None:
    arrow, parquet = import_pyarrow()
    ranks = [arrow.int32(), arrow.string(), arrow.float32()] * top
    names = ["path", *_rank_names(top), "error", "path_bytes"]
    types = [arrow.string(), *ranks, arrow.string(), arrow.binary()]
    schema = arrow.schema(list(zip(names, types, strict=True)))
    remaining = iter(rows)
    with parquet.ParquetWriter(stream, schema) as writer:
        while group := list(islice(remaining, _ROWS_PER_GROUP)):
            columns = zip(*(_parquet_cells(row, top) for row in group), strict=True)
            arrays = [arrow.array(column, kind) for column, kind in zip(columns, types, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _rank_names(top: int) -> list[str]:
    return [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("class", "label", "probability")]


def _rank_cells(row: ScoredRow, top: int) -> list[Cell]:
    cells: list[Cell] = []
    for prediction in row.top[:top]:
        cells += [prediction.index, prediction.label, prediction.probability]
    return cells + [None] * (3 * top - len(cells))


def _parquet_cells(row: ScoredRow, top: int) -> list[Cell]:
    readable = row.path.encode("utf-8", "backslashreplace").decode("utf-8")
    exact = None if readable == row.path else os.fsencode(row.path)
    return [readable, *_rank_cells(row, top), row.error, exact]


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[ScoredRow], int], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
