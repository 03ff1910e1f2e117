"""Rows to a file: CSV or Parquet, written aside and renamed once complete, so that no half of a table is ever seen."""

from __future__ import annotations

import csv
import os
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

_GROUP = 10_000
"""Rows of a Parquet row group; what is held in memory at once."""

Cell = str | int | float | bytes | None


@dataclass(frozen=True)
class TableSummary:
    """How many rows were written, and how many of them carry an error."""

    rows: int
    errors: int


def check_table(path: str | Path) -> None:
    """Refuses, before any work is done, a table that could not be written afterwards.

    Raises:
        UsageError: If the ending is neither .csv nor .parquet, the folder is missing, or pyarrow is not installed.
    """
    target = Path(path)
    if target.suffix.lower() not in _WRITERS:
        raise UsageError(f"{printable(target)} is neither .csv nor .parquet", hint="Name the table with one of these")
    if os.path.isdir(target):  # noqa: PTH112  (Path.is_dir raises where it may not look)
        raise UsageError(f"{printable(target)} is a folder", hint="Name a file in it")
    folder = _behind_links(target).parent
    if not os.path.isdir(folder):  # noqa: PTH112
        raise UsageError(f"folder {printable(folder)} does not exist", hint="Make it first")
    if target.suffix.lower() == ".parquet":
        _import_pyarrow()


def write_table(path: str | Path, rows: Iterable[ScoredRow], *, top: int = 5) -> TableSummary:
    """Writes one line a row: path, then class, label and probability of each rank, then the error.

    A CSV file is UTF-8; a name that is not UTF-8 keeps its bytes (read it with `errors="surrogateescape"`). In a
    Parquet file, whose text must be UTF-8, such a name is escaped and its bytes stand in the column `path_bytes`.

    Args:
        path: The table, ending in .csv or .parquet; an older one is replaced once the new one is complete. A link
            stays, and the table is written where it leads.
        rows: The rows.
        top: Number of ranks that get columns.

    Raises:
        UsageError: See `check_table`.
        ClientError: If the table cannot be written; nothing of it is left behind.
        Exception: Whatever `rows` raises, as it is; nothing is left behind then, too.
    """
    check_table(path)
    write, target = _WRITERS[Path(path).suffix.lower()], _behind_links(path)
    counter = _Counter(rows)
    try:
        with replace_file(target) as temporary:
            write(temporary, counter, top)
    except OSError as error:
        if error is counter.raised:
            raise
        raise ClientError(
            f"{printable(target)} cannot be written: {error.strerror or error}",
            hint="Check the free space and the permissions of its folder",
        ) from error
    finally:
        counter.raised = None  # whose traceback holds this frame
    return TableSummary(counter.rows, counter.errors)


def _behind_links(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links lead in a circle


class _Counter:
    """Rows on their way into the file.

    Attributes:
        rows: How many have passed.
        errors: How many of them carry an error.
        raised: The error of the system that ended them, such as a lost connection, which is no fault of the file.
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
        while group := list(islice(remaining, _GROUP)):
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
        import pyarrow  # noqa: PLC0415  (only who writes Parquet needs it)
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"pyarrow cannot be imported: {error}",
            hint="Install it with pip install 'camserve[parquet]', or write .csv",
        ) from error
    return pyarrow, pyarrow.parquet


_WRITERS: dict[str, Callable[[Path, Iterable[ScoredRow], int], None]] = {".csv": _write_csv, ".parquet": _write_parquet}
