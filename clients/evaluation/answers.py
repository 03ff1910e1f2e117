"""The answers of a scored table, as arrays."""

from __future__ import annotations

import math
import os
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.choices import Match
from camserve.clients.evaluation.table_rows import missing_column, read_rows
from camserve.clients.evaluation.versions import AnsweringVersion
from camserve.errors import UsageError
from camserve.text import excerpt, printable

__all__ = ["NO_CLASS", "Answers", "class_name", "read_answers", "row_path"]

NO_CLASS = -1
"""In `Answers.ranks`, where a row has no class."""

_AS_SCORED = "Pass a table that camserve score wrote"


@dataclass(frozen=True, eq=False)
class Answers:
    """The rows of a table.

    Attributes:
        table: The table.
        paths: The path of each row.
        names: Labels, or numbers of classes as text, in the order of their first row.
        ranks: Int32 `[rows, ranks]`: places in `names`, the best class first; `NO_CLASS` in rows with an error.
        probabilities: Float64 `[rows]`, of the best class; NaN in rows with an error.
        column: The texts of another column of the table, if one was read; None where a cell is empty.
        shared: Labels of several classes.
        match: Whether `names` are labels or numbers of classes.
        versions: The versions that answered, in the order of their first rows.
    """

    table: str
    paths: tuple[str, ...]
    names: tuple[str, ...]
    ranks: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float64]
    column: tuple[str | None, ...] | None
    shared: tuple[str, ...]
    match: Match = "label"
    versions: tuple[AnsweringVersion, ...] = ()

    @property
    def failed(self) -> npt.NDArray[np.bool_]:
        """Which rows have an error, `[rows]`."""
        failed: npt.NDArray[np.bool_] = np.isnan(self.probabilities)
        return failed


def read_answers(path: Path, *, match: Match = "label", column: str | None = None) -> Answers:
    """Read a table that `camserve score` wrote.

    Args:
        path: A .csv, .jsonl or .parquet file, or a folder of Parquet files.
        match: Whether answers are labels or numbers of classes.
        column: Name of another column to read.

    Raises:
        UsageError: If the table cannot be read, or a row has neither an answer nor an error; the message names
            the line.
    """
    reader = _Reader(match, column)
    required = ["path", f"{match}_1", "probability_1", *([] if column is None else [column])]
    for place, row in read_rows(path, required):
        reader.add(place, row)
    if not reader.paths:
        raise UsageError(f"{printable(path)} has no rows", hint="Score images into it: camserve score INPUT...")
    if column is not None and column not in reader.columns:
        raise missing_column(printable(path), column, reader.columns)
    return reader.answers(str(path))


class _Reader:
    """Collects rows."""

    def __init__(self, match: Match, column: str | None) -> None:
        self._match, self._column = match, column
        self.paths: list[str] = []
        self.columns: dict[str, None] = {}
        self._names: dict[str, int] = {}
        self._numbers: dict[str, str] = {}
        self._shared: dict[str, None] = {}
        self._ranks: list[list[int]] = []
        self._probabilities: list[float] = []
        self._cells: list[str | None] = []
        self._versions: Counter[tuple[str, str]] = Counter()

    def add(self, place: str, row: Mapping[str, Any]) -> None:
        if not self.columns or row.keys() - self.columns.keys():
            self.columns.update(dict.fromkeys(row))
        self.paths.append(row_path(place, row))
        failed = row.get("error") not in (None, "")
        self._ranks.append([] if failed else self._classes(place, row))
        self._probabilities.append(math.nan if failed else _probability(place, row))
        if not failed:
            self._versions[class_name(row.get("model")) or "", class_name(row.get("version")) or ""] += 1
        if self._column is not None:
            self._cells.append(class_name(row.get(self._column)))

    def answers(self, table: str) -> Answers:
        width = max(1, *map(len, self._ranks))
        ranks = np.full((len(self._ranks), width), NO_CLASS, np.int32)
        for row, places in enumerate(self._ranks):
            ranks[row, : len(places)] = places
        return Answers(
            table,
            tuple(self.paths),
            tuple(self._names),
            ranks,
            np.array(self._probabilities, np.float64),
            None if self._column is None else tuple(self._cells),
            tuple(self._shared),
            self._match,
            tuple(AnsweringVersion(*each, rows) for each, rows in self._versions.items() if any(each)),
        )

    def _classes(self, place: str, row: Mapping[str, Any]) -> list[int]:
        places: list[int] = []
        for rank in count(1):
            name = class_name(row.get(f"{self._match}_{rank}"))
            if name is None:
                break
            places.append(self._names.setdefault(name, len(self._names)))
            self._note_number(name, class_name(row.get(f"class_{rank}")))
        if not places:
            raise UsageError(f"{place}: the row has neither {self._match}_1 nor an error", hint=_AS_SCORED)
        return places

    def _note_number(self, name: str, number: str | None) -> None:
        if number is not None and self._numbers.setdefault(name, number) != number:
            self._shared[name] = None


def class_name(cell: object) -> str | None:
    """Return a label or the number of a class as text; None for an empty cell."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer():  # a column of integers with empty cells, as pandas writes it
        return str(int(cell))
    return str(cell)


def row_path(place: str, row: Mapping[str, Any]) -> str:
    """Return the path of a row, as `os.fsdecode` returns paths.

    Raises:
        UsageError: If it has none.
    """
    exact = row.get("path_bytes")
    if isinstance(exact, str):  # in JSON Lines
        exact = _decoded(place, exact)
    path = os.fsdecode(exact) if exact else row.get("path")
    if not isinstance(path, str) or not path:
        raise UsageError(f"{place}: path must be the path of an image, got {excerpt(path)}", hint=_AS_SCORED)
    return path


def _decoded(place: str, cell: str) -> bytes:
    try:
        return b64decode(cell, validate=True)
    except ValueError:
        raise UsageError(f"{place}: path_bytes must be Base64, got {excerpt(cell)}", hint=_AS_SCORED) from None


def _probability(place: str, row: Mapping[str, Any]) -> float:
    cell = row.get("probability_1")
    try:
        value = float(cell) if cell is not None else math.nan
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{place}: probability_1 must be a number, got {excerpt(cell)}", hint=_AS_SCORED)
    return value
