"""Read the map of a row from the columns that `camserve score --maps` appends to a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.clients.scoring.rows import RowMap

__all__ = ["read_map"]


def read_map(cells: Mapping[str, Any]) -> RowMap | None:
    """Return the map of a row; None if the table has no maps, or the row has none."""
    if cells.get("map_grid") in (None, ""):
        return None
    return None
