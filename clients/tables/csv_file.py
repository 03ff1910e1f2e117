"""Write rows as CSV, exactly or safe for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, BinaryIO

from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.columns import Cell, Columns

__all__ = ["write_csv", "write_spreadsheet"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # also their full-width forms


def write_csv(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    """Write rows in UTF-8, in which file names that are not valid UTF-8 keep their bytes."""
    _write_lines(stream, columns, map(columns.text_cells, rows), csv.QUOTE_MINIMAL)


def write_spreadsheet(stream: BinaryIO, rows: Iterable[ScoredRow], columns: Columns) -> None:
    """Write rows with an apostrophe before texts that a spreadsheet may read as a formula, and all texts quoted."""
    lines = (map(_without_formula, columns.text_cells(row)) for row in rows)
    _write_lines(stream, columns, lines, csv.QUOTE_NONNUMERIC)  # it protects texts where semicolons separate cells, too


def _write_lines(stream: BinaryIO, columns: Columns, lines: Iterable[Iterable[Cell]], quoting: Any) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(columns.names + columns.class_names)
    writer.writerows(lines)
    text.detach()


def _without_formula(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell
