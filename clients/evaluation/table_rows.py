"""Read the rows of a table in CSV, JSON Lines or Parquet, with their place in the file."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from camserve.clients.arrow import import_pyarrow
from camserve.clients.tables.data_set_folder import parts_of
from camserve.errors import UsageError
from camserve.regular_file import open_regular_file
from camserve.strict_json import JsonError, parse_json
from camserve.text import count, listed, printable, reason, suggest

__all__ = ["Row", "missing_column", "read_csv", "read_rows"]

Row = tuple[str, Mapping[str, Any]]
"""The place of a row, such as `answers.csv, line 3`, and its cells by column."""

_OF_A_CLASS = "probability_of_"
"""How columns with the probability of one class start, of which there may be thousands."""

_SCORE_AGAIN = "Write the table again: camserve score INPUT... --model NAME --output {}"


def read_rows(path: Path, required: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a table.

    Args:
        path: A .csv, .jsonl or .parquet file, or a folder of Parquet files.
        required: Columns that the table must have. Rows of JSON Lines may lack them, as each has keys of its own.

    Raises:
        UsageError: If the file cannot be read, is no such table, or lacks a column; the message names the line.
    """
    reader = _read_data_set if os.path.isdir(path) else _READERS.get(path.suffix.lower())  # noqa: PTH112
    if reader is None:
        raise UsageError(
            f"the extension of {printable(path)} must be {', '.join(_READERS)}",
            hint="Pass a table that camserve score wrote; for images, add --model NAME or --bundle DIR",
        )
    try:
        yield from reader(path, required)
    except OSError as error:
        raise UsageError(
            f"cannot read {printable(path)}: {reason(error, path)}", hint="Check the path and its permissions"
        ) from None


def read_csv(path: Path, required: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a CSV file in UTF-8; bytes that are not UTF-8 are kept as `os.fsdecode` keeps them.

    Raises:
        OSError: If it cannot be read.
        UsageError: As for `read_rows`.
    """
    with io.TextIOWrapper(open_regular_file(path), "utf-8-sig", "surrogateescape", newline="") as stream:
        lines = csv.reader(stream, strict=True)
        try:
            header = next(lines, [])
            _check_columns(path, ", line 1", header, required)
            for cells in filter(None, lines):
                place = f"{printable(path)}, line {lines.line_num}"
                if len(cells) != len(header):
                    raise UsageError(
                        f"{place}: the row has {count(len(cells), 'cell')}, and the header {len(header)}",
                        hint=f"Correct or delete the line, or {_again(path)}",
                    )
                yield place, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise UsageError(
                f"{printable(path)}, line {lines.line_num}: {error}", hint=f"Correct the line, or {_again(path)}"
            ) from None


def missing_column(place: str, name: str, columns: Collection[str]) -> UsageError:
    """Return the error for a table that lacks a column."""
    return UsageError(
        f"{place}: there is no column {name!r}; there are {listed(columns) or 'none'}",
        hint="Score again without --format camera, which keeps no probabilities"
        if "camera" in columns
        else suggest(name, columns) or "Name the columns in the first line, separated by commas",
    )


def _again(path: Path) -> str:
    again = _SCORE_AGAIN.format(printable(path))
    return again[0].lower() + again[1:]


def _check_columns(path: Path, line: str, columns: Sequence[str], required: Collection[str]) -> None:
    """Check the columns of a file; `line` is where messages locate them."""
    place = f"{printable(path)}{line}"
    if not columns:
        raise UsageError(f"{place}: there are no columns", hint=_SCORE_AGAIN.format(printable(path)))
    for name, times in Counter(columns).items():
        if times > 1:
            raise UsageError(f"{place}: {times} columns are named {name!r}", hint="Rename or delete one of them")
    for name in required:
        if name not in columns:
            raise missing_column(place, name, columns)


def _read_json_lines(path: Path, required: Collection[str]) -> Iterator[Row]:  # noqa: ARG001  (rows differ)
    with open_regular_file(path) as stream:
        for number, line in enumerate(stream, 1):
            place = f"{printable(path)}, line {number}"
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except JsonError as error:
                raise UsageError(f"{place}: {error}", hint=f"Correct or delete the line, or {_again(path)}") from None
            if not isinstance(row, dict):
                raise UsageError(f"{place}: the row is no JSON object", hint="Pass a table that camserve score wrote")
            yield place, row


def _read_parquet(path: Path, required: Collection[str]) -> Iterator[Row]:
    arrow, parquet = import_pyarrow(printable(path))
    with open_regular_file(path) as stream:
        try:
            table = parquet.ParquetFile(stream)
            names = table.schema_arrow.names
            _check_columns(path, "", names, required)
            columns = [name for name in names if name in required or not name.startswith(_OF_A_CLASS)]
            number = 0
            for batch in table.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{printable(path)}, row {number}", row
        except arrow.ArrowException as error:
            raise UsageError(
                f"cannot read {printable(path)}: {printable(str(error))}", hint=_SCORE_AGAIN.format(printable(path))
            ) from None


def _read_data_set(path: Path, required: Collection[str]) -> Iterator[Row]:
    parts = list(parts_of(path))
    if not parts:
        raise UsageError(
            f"folder {printable(path)} contains no .parquet file", hint=_SCORE_AGAIN.format(f"{printable(path)}/")
        )
    for part in parts:
        yield from _read_parquet(part, required)


_READERS: dict[str, Callable[[Path, Collection[str]], Iterator[Row]]] = {
    ".csv": read_csv,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
