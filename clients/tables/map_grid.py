"""The values of a map as one cell of a table."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.errors import UsageError
from camserve.text import excerpt

__all__ = ["pack_grid", "read_map_grid"]

_PACKED = np.dtype("<f4")


def pack_grid(grid: npt.NDArray[np.float32]) -> bytes:
    """Return the values of a map as bytes: float32, little endian, row by row."""
    return np.ascontiguousarray(grid, _PACKED).tobytes()


def read_map_grid(row: Mapping[str, Any]) -> npt.NDArray[np.float32] | None:
    """Return the map of a row of a table that was written with maps.

    Law: the map of a row equals `Classifier.cam(image).grid`.

    Args:
        row: The cells of a row by column, as `csv.DictReader`, a JSON reader or `pyarrow.Table.to_pylist` returns them.

    Returns:
        float32 `[rows, columns]`, in units of the logit; None if the row has no map, as it has an error.

    Raises:
        UsageError: If the columns `map_rows`, `map_columns` and `map_grid` are missing or do not match.
    """
    try:
        cell, shape = row["map_grid"], (row["map_rows"], row["map_columns"])
    except KeyError as error:
        raise UsageError(
            f"the row has no column {error}", hint="Score with maps: camserve score --maps, in Python maps=True"
        ) from None
    if not isinstance(cell, str | bytes) or not cell:
        return None
    try:
        packed = base64.b64decode(cell.removeprefix("'"), validate=True) if isinstance(cell, str) else cell
        return np.frombuffer(packed, _PACKED).reshape(int(shape[0]), int(shape[1])).astype(np.float32)
    except (binascii.Error, ValueError, TypeError) as error:
        raise UsageError(
            f"map_grid is not a map of {shape[0]} x {shape[1]} values, got {excerpt(cell)}: {error}",
            hint="Pass a row of a table that camserve score --maps wrote",
        ) from None
