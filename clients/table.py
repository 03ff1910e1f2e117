"""Write rows to a CSV or Parquet file, which replaces an existing one when it is complete."""

from __future__ import annotations

import csv
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from camserve.atomic import replace_file
from camserve.clients.scoring import ScoredRow
from camserve.errors import ClientError, UsageError
from camserve.text import printable

__all__ = ["TableSummary", "check_table", "write_table"]

_ROWS_PER_GROUP = 10_000
"""Rows of a Parquet row group, all of which are in memory at once."""

Cell = str | int | float | bytes | None


@dataclass(frozen=True)
class TableSummary:
    """The number of rows in a table, and how many of them have an error."""

    rows: int
    errors: int


def check_table(path: str | Path) -> None:
    """Check that a table can be written, before any file is scored.

    Raises:
        UsageError: If the extension is neither .csv nor .parquet, the folder is missing, or pyarrow is not installed.
    """
    target = Path(path)
    if target.suffix.lower() not in _WRITERS:
        raise UsageError(
            f"the extension of {printable(target)} must be .csv or .parquet", hint="Rename the table, e.g. scores.csv"
        )
    if os.path.isdir(target):  # noqa: PTH112  (Path.is_dir raises an error without permission)
        raise UsageError(f"{printable(target)} is a folder", hint="Pass the path of a file in it, e.g. scores.csv")
    folder = Path(os.path.realpath(target)).parent  # Path.resolve fails on links that form a cycle
    if not os.path.isdir(folder):  # noqa: PTH112
        raise UsageError(
            f"folder {printable(folder)} does not exist", hint=f"Create it: mkdir -p {shlex.quote(str(folder))}"
        )
    if target.suffix.lower() == ".parquet":
        _import_pyarrow()


def write_table(path: str | Path, rows: Iterable[ScoredRow], *, top: int = 5) -> TableSummary:
    """Write a table with one line per row: path; class, label and probability of each rank; error.

    CSV files are encoded in UTF-8; file names that are not valid UTF-8 keep their bytes (read the table with
    `errors="surrogateescape"`). In Parquet files, whose text must be UTF-8, such names are escaped, and their bytes are
    in the column `path_bytes`.

    Args:
        path: The table, with the extension .csv or .parquet. An existing table is replaced when the new one is
            complete. If it is a symbolic link, the file that it points to is replaced.
        rows: The rows.
        top: Number of ranks with columns of their own.

    Raises:
        UsageError: See `check_table`.
        ClientError: If the table cannot be written; an existing table remains.
        Exception: Every exception of `rows`, unchanged; an existing table remains.
    """
    check_table(path)
    target = Path(path)
    counter = _Counter(rows)
    try:
        with replace_file(target) as temporary:
            _WRITERS[target.suffix.lower()](temporary, counter, top)
    except OSError as error:
        if error is counter.raised:
            raise
        raise ClientError(
            f"{printable(target)} cannot be written: {error.strerror or error}",
            hint="Check free space and permissions of its folder",
        ) from None
    finally:
        counter.raised = None  # its traceback refers to this frame
    return TableSummary(counter.rows, counter.errors)


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


def _write_csv(path: Path, rows: Iterable[ScoredRow], top: int) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", *_rank_names(top), "error"])
        writer.writerows([row.path, *_rank_cells(row, top), row.error] for row in rows)


def _write_parquet(path: Path, rows: Iterable[ScoredRow], top: int) -> None:
    arrow, parquet = _import_pyarrow()
    ranks = [arrow.int32(), arrow.string(), arrow.float32()] * top
    names = ["path", *_rank_names(top), "error", "path_bytes"]
    types = [arrow.string(), *ranks, arrow.string(), arrow.binary()]
    schema = arrow.schema(list(zip(names, types, strict=True)))
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
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


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415  (required only for Parquet)
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"pyarrow cannot be imported: {error}",
            hint="Install it: pip install 'camserve[parquet]', or write a .csv file",
        ) from None
    return pyarrow, pyarrow.parquet


_WRITERS: dict[str, Callable[[Path, Iterable[ScoredRow], int], None]] = {".csv": _write_csv, ".parquet": _write_parquet}
