"""The columns of a table, and the cells of its rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camserve.clients.scoring.rows import ScoredRow
from camserve.errors import ContractError, UsageError
from camserve.text import count, printable

__all__ = ["Cell", "Columns"]

Array = np.ndarray[Any, Any]
Cell = str | int | float | bytes | None


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        top: Number of ranks with columns of their own.
        classes: The label of each class, for a column with the probability of each; none for no such columns.
        in_unicode: Whether texts must be valid Unicode, as in Parquet: paths that are not are escaped, and their bytes
            are in a column of their own.
    """

    top: int
    classes: tuple[str, ...] = ()
    in_unicode: bool = False

    @property
    def names(self) -> list[str]:
        """The name of each column, except those of classes.

        Names and order never change, as other programs read them: new ones are appended.
        """
        ranks = [f"{name}_{rank}" for rank in range(1, self.top + 1) for name in ("class", "label", "probability")]
        return ["path", *ranks, "error", *(["path_bytes"] if self.in_unicode else []), "model", "version"]

    @property
    def class_names(self) -> list[str]:
        """The name of the column of each class, in class order: `probability_of_` and its label.

        Where several classes have the label, their numbers are added: `probability_of_crane (class 134)`.
        """
        names = list(self.classes)
        while repeated := {name for name, times in Counter(names).items() if times > 1}:
            names = [f"{name} (class {index})" if name in repeated else name for index, name in enumerate(names)]
        return [f"probability_of_{name}" for name in names]

    def cells(self, row: ScoredRow) -> list[Cell]:
        """Return the cell of each column, except those of classes."""
        path, exact = _readable(row.path) if self.in_unicode else (row.path, [])
        return [path, *self._rank_cells(row), row.error, *exact, row.model, row.version]

    def probabilities(self, row: ScoredRow) -> Array | None:
        """Return the probability of each class, float32 `[classes]`; None if the row has an error.

        Raises:
            UsageError: If the row has no error and no probabilities.
            ContractError: If the row has other classes.
        """
        if row.error is not None:
            return None
        if row.probabilities is None:
            raise UsageError(
                f"the row of {printable(row.path)} has no probabilities of all classes",
                hint="Pass score(..., all_probabilities=True), or leave out classes",
            )
        other = _other_classes(row.probabilities, row, self.classes)
        if other is not None:
            raise ContractError(
                f"the row of {printable(row.path)} has other classes than the table: {other}",
                hint="If a new version was loaded, score again with --pin-version (in Python pin_version=True); "
                "if not, pass the labels of the model that answers: write_table(..., classes=classifier.labels)",
            )
        return row.probabilities

    def _rank_cells(self, row: ScoredRow) -> list[Cell]:
        cells: list[Cell] = []
        for prediction in row.top[: self.top]:
            cells += [prediction.index, prediction.label, prediction.probability]
        return cells + [None] * (3 * self.top - len(cells))


def _readable(path: str) -> tuple[str, list[bytes | None]]:
    """Return a path in valid Unicode, and its bytes if it had to be escaped."""
    readable = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return readable, [None if readable == path else os.fsencode(path)]


def _other_classes(probabilities: Array, row: ScoredRow, classes: Sequence[str]) -> str | None:
    """Return how the classes of a row differ from those of the table, as far as the row shows them."""
    if len(probabilities) != len(classes):
        return f"{count(len(probabilities), 'class')} instead of {len(classes):,}"
    for prediction in row.top:
        if prediction.label != classes[prediction.index]:
            return f"class {prediction.index} is {prediction.label!r} instead of {classes[prediction.index]!r}"
    return None
