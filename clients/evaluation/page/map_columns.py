"""Read the map of a row from the columns that `camserve score --maps` appends to a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from camserve.clients.scoring.rows import RowMap
from camserve.clients.tables.map_grid import read_map_grid
from camserve.errors import UsageError
from camserve.text import excerpt

__all__ = ["read_map"]

_AGAIN = "Score again with --maps, or delete the columns of maps"


def read_map(place: str, cells: Mapping[str, Any]) -> RowMap | None:
    """Return the map of a row, without its box; None if the table has no maps, or the row has none.

    Args:
        place: Where the row is, for messages.
        cells: The cells of the row by column.

    Raises:
        UsageError: If the columns do not match, or contain values that are not finite.
    """
    if cells.get("map_grid") in (None, "", b""):
        return None
    try:
        grid = read_map_grid(cells)
    except UsageError as error:
        raise UsageError(f"{place}: {error.message}", hint=_AGAIN) from None
    if grid is None:
        return None
    if not grid.size or not np.isfinite(grid).all():
        raise UsageError(f"{place}: map_grid contains no values, or some that are not finite", hint=_AGAIN)
    return RowMap((_whole(place, cells, "map_peak_x"), _whole(place, cells, "map_peak_y")), None, grid)


def _whole(place: str, cells: Mapping[str, Any], column: str) -> int:
    cell = cells.get(column)
    try:
        return int(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"{place}: {column} must be a whole number, got {excerpt(cell)}", hint=_AGAIN) from None
