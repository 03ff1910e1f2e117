"""The columns of a table, and the cells of its rows."""

from __future__ import annotations

import os
from dataclasses import dataclass

from camserve.clients.scoring import ScoredRow

__all__ = ["Cell", "Columns"]

Cell = str | int | float | bytes | None


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        top: Number of ranks with columns of their own.
        in_unicode: Whether texts must be valid Unicode, as in Parquet: paths that are not are escaped, and their bytes
            are in a column of their own.
    """

    top: int
    in_unicode: bool = False

    @property
    def names(self) -> list[str]:
        """The name of each column. Names and order never change, as other programs read them: new ones are appended."""
        ranks = [f"{name}_{rank}" for rank in range(1, self.top + 1) for name in ("class", "label", "probability")]
        return ["path", *ranks, "error", *(["path_bytes"] if self.in_unicode else []), "model", "version"]

    def cells(self, row: ScoredRow) -> list[Cell]:
        """Return the cell of each column."""
        path, exact = _readable(row.path) if self.in_unicode else (row.path, [])
        return [path, *self._rank_cells(row), row.error, *exact, row.model, row.version]

    def _rank_cells(self, row: ScoredRow) -> list[Cell]:
        cells: list[Cell] = []
        for prediction in row.top[: self.top]:
            cells += [prediction.index, prediction.label, prediction.probability]
        return cells + [None] * (3 * self.top - len(cells))


def _readable(path: str) -> tuple[str, list[bytes | None]]:
    """Return a path in valid Unicode, and its bytes if it had to be escaped."""
    readable = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return readable, [None if readable == path else os.fsencode(path)]
