"""The columns of a table, and the cells of its rows."""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from camserve.clients.scoring.rows import RowMap, ScoredRow
from camserve.clients.tables.map_grid import pack_grid
from camserve.errors import ContractError, UsageError
from camserve.text import count, printable

__all__ = ["Cell", "Columns", "Kind"]

Array = np.ndarray[Any, Any]
Cell = str | int | float | bytes | None
Kind = Literal["text", "integer", "number", "bytes"]

_OF_RANK: tuple[tuple[str, Kind], ...] = (("class", "integer"), ("label", "text"), ("probability", "number"))
_OF_MAP: tuple[tuple[str, Kind], ...] = (
    ("map_peak_x", "integer"),
    ("map_peak_y", "integer"),
    ("map_left", "integer"),
    ("map_top", "integer"),
    ("map_right", "integer"),
    ("map_bottom", "integer"),
    ("map_area_left", "integer"),
    ("map_area_top", "integer"),
    ("map_area_right", "integer"),
    ("map_area_bottom", "integer"),
    ("map_rows", "integer"),
    ("map_columns", "integer"),
    ("map_grid", "bytes"),
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        top: Number of ranks with columns of their own.
        classes: The label of each class, for a column with the probability of each; none for no such columns.
        maps: Whether there are columns for the map of the best class.
        in_unicode: Whether texts must be valid Unicode, as in Parquet: paths and ids that are not are escaped, and the
            bytes of the path are in a column of their own.
    """

    top: int
    classes: tuple[str, ...] = ()
    maps: bool = False
    in_unicode: bool = False

    @property
    def kinds(self) -> dict[str, Kind]:
        """What each column contains by its name, except those of classes, which contain numbers.

        Names and order never change, as other programs read them: new ones are appended.
        """
        ranks: dict[str, Kind] = {f"{name}_{rank}": kind for rank in range(1, self.top + 1) for name, kind in _OF_RANK}
        exact: dict[str, Kind] = {"path_bytes": "bytes"} if self.in_unicode else {}
        texts: dict[str, Kind] = dict.fromkeys(("model", "version", "id", "sha256"), "text")
        return {"path": "text", **ranks, "error": "text", **exact, **texts, **dict(_OF_MAP if self.maps else ())}

    @property
    def names(self) -> list[str]:
        """The name of each column, except those of classes."""
        return list(self.kinds)

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
        path, id_, exact = row.path, row.id, []
        if self.in_unicode:
            path, id_ = _escaped(row.path), _escaped(row.id)
            exact = [None if path == row.path else os.fsencode(row.path)]
        answered = [row.model, row.version, id_ or None, row.sha256]
        return [path, *self._rank_cells(row), row.error, *exact, *answered, *self._map_cells(row)]

    def text_cells(self, row: ScoredRow) -> list[Cell]:
        """Return the cell of each column, and those of classes, for formats of text: bytes are in Base64."""
        cells: list[Cell] = [b64encode(cell).decode() if isinstance(cell, bytes) else cell for cell in self.cells(row)]
        if self.classes:
            values = self.probabilities(row)
            cells += [None] * len(self.classes) if values is None else values.tolist()
        return cells

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

    def _map_cells(self, row: ScoredRow) -> list[Cell]:
        if not self.maps:
            return []
        if row.error is not None:
            return [None] * len(_OF_MAP)
        if row.map is None:
            raise UsageError(
                f"the row of {printable(row.path)} has no map", hint="Score with maps=True, or leave out maps"
            )
        return _map_cells(row.map)


def _map_cells(row_map: RowMap) -> list[Cell]:
    box = row_map.box or (None, None, None, None)
    return [*row_map.peak, *box, *row_map.area, *row_map.grid.shape, pack_grid(row_map.grid)]


def _escaped(text: str) -> str:
    """Return a text in valid Unicode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _other_classes(probabilities: Array, row: ScoredRow, classes: Sequence[str]) -> str | None:
    """Return how the classes of a row differ from those of the table, as far as the row shows them."""
    if len(probabilities) != len(classes):
        return f"{count(len(probabilities), 'class')} instead of {len(classes):,}"
    for prediction in row.top:
        if prediction.label != classes[prediction.index]:
            return f"class {prediction.index} is {prediction.label!r} instead of {classes[prediction.index]!r}"
    return None
