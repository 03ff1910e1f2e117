"""Read the map of a row from the columns that `camserve score --maps` appends to a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from camserve.clients.tables.map_grid import read_map_grid
from camserve.errors import UsageError
from camserve.images.placement import Box
from camserve.text import excerpt

__all__ = ["PageMap", "read_map"]

_AGAIN = "Score again with --maps, or delete the columns of maps"


@dataclass(frozen=True, eq=False)
class PageMap:
    """The map of a row, as far as the page shows it.

    Attributes:
        grid: Its values, float32 `[rows, columns]`, in units of the logit.
        area: The part of the image that it covers, in pixels.
    """

    grid: np.ndarray[Any, Any]
    area: Box

    def is_inside(self, size: tuple[int, int]) -> bool:
        """Return whether an image of this width and height contains the area."""
        left, top, right, bottom = self.area
        return 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]


def read_map(place: str, cells: Mapping[str, Any]) -> PageMap | None:
    """Return the map of a row; None if the table has no maps, or the row has none.

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
    left, top, right, bottom = (_whole(place, cells, f"map_area_{side}") for side in ("left", "top", "right", "bottom"))
    return PageMap(grid, (left, top, right, bottom))


def _whole(place: str, cells: Mapping[str, Any], column: str) -> int:
    if column not in cells:
        raise UsageError(f"{place}: the table has maps, but no column {column}", hint=_AGAIN)
    cell = cells[column]
    try:
        return int(cell)
    except (TypeError, ValueError):
        raise UsageError(f"{place}: {column} must be a whole number, got {excerpt(cell)}", hint=_AGAIN) from None
