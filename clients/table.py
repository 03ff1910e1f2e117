"""Write rows to a CSV or Parquet file, which replaces an existing one when it is complete."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from camserve.atomic import replace_file
from camserve.clients.scoring import ScoredRow
from camserve.clients.table_checks import check_table, import_pyarrow
from camserve.clients.table_columns import Cell, Columns
from camserve.errors import ClientError
from camserve.text import printable

__all__ = ["TableSummary", "write_table"]

_ROWS_PER_GROUP = 10_000
"""Rows of a Parquet row group, all of which are in memory at once."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # also their full-width forms


@dataclass(frozen=True)
class TableSummary:
    """What a table contains.

    Attributes:
        rows: Number of rows.
        errors: Number of rows with an error.
        access_kept: False if the table replaced one whose owner, group, mode or access control list it could not be
            given. Nobody may then read it who could not read the other.
        versions: Number of rows that each version of the model answered, in the order of their first rows. Rows with an
            error have no version.
    """

    rows: int
    errors: int
    access_kept: bool = True
    versions: Mapping[str, int] = field(default_factory=dict, hash=False)


def write_table(
    path: str | Path, rows: Iterable[ScoredRow], *, top: int = 5, spreadsheet_safe: bool = False
) -> TableSummary:
    """Write a table with one line per row: path; class, label and probability of each rank; error; model, version.

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
    counter = _CountedRows(rows)
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
    return TableSummary(counter.rows, counter.errors, table.access_kept, dict(counter.versions))


class _CountedRows:
    """Rows that are counted as they are written.

    Attributes:
        rows: Number of rows.
        errors: Number of rows with an error.
        versions: Number of rows that each version answered.
        raised: An OSError raised by the rows, such as a lost connection, which does not concern the file.
    """

    def __init__(self, rows: Iterable[ScoredRow]) -> None:
        self._rows = rows
        self.rows = 0
        self.errors = 0
        self.versions: Counter[str] = Counter()
        self.raised: OSError | None = None

    def __iter__(self) -> Iterator[ScoredRow]:
        try:
            for row in self._rows:
                self.rows += 1
                self.errors += row.error is not None
                if row.version is not None:
                    self.versions[row.version] += 1
                yield row
        except OSError as error:
            self.raised = error
            raise


def _write_csv(stream: BinaryIO, rows: Iterable[ScoredRow], top: int) -> None:
    columns = Columns(top)
    _write_lines(stream, columns, map(columns.cells, rows), csv.QUOTE_MINIMAL)


def _write_spreadsheet(stream: BinaryIO, rows: Iterable[ScoredRow], top: int) -> None:
    columns = Columns(top)
    lines = (map(_without_formula, columns.cells(row)) for row in rows)
    _write_lines(stream, columns, lines, csv.QUOTE_NONNUMERIC)  # it protects texts where semicolons separate cells, too


def _write_lines(stream: BinaryIO, columns: Columns, lines: Iterable[Iterable[Cell]], quoting: Any) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(columns.names)
    writer.writerows(lines)
    text.detach()


def _without_formula(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _write_parquet(stream: BinaryIO, rows: Iterable[ScoredRow], top: int) -> None:
    arrow, parquet = import_pyarrow()
    columns = Columns(top, in_unicode=True)
    text = arrow.string()
    types = [text, *[arrow.int32(), text, arrow.float32()] * top, text, arrow.binary(), text, text]
    schema = arrow.schema(list(zip(columns.names, types, strict=True)))
    remaining = iter(rows)
    with parquet.ParquetWriter(stream, schema) as writer:
        while group := list(islice(remaining, _ROWS_PER_GROUP)):
            cells = zip(*map(columns.cells, group), strict=True)
            arrays = [arrow.array(column, kind) for column, kind in zip(cells, types, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[ScoredRow], int], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
