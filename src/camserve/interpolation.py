"""Values between values: what each of a row of them adds to each of a longer row, as a matrix."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from camserve.errors import UsageError

__all__ = ["Order", "weights"]

Array = np.ndarray[Any, Any]

Order = Literal[0, 1, 3]
"""How to interpolate: 0 takes the nearest value, 1 is linear, 3 are cubic splines."""


def weights(count: int, target: int, order: Order) -> Array:
    """How much each of `count` values adds to each of `target` ones that lie evenly from the first to the last.

    Law: `weights(n, m, order) @ values` is `scipy.ndimage.zoom(values, m / n, order=order)` for whole factors.

    Returns:
        float64 `[target, count]`; each row adds up to one.

    Raises:
        UsageError: If the order is another.
    """
    positions = (np.arange(target) * ((count - 1) / max(1, target - 1))).clip(0, count - 1)
    if order == 0:
        return _nearest(positions, count)
    if order == 1:
        return _linear(positions, count)
    if order == 3:
        return _cubic(positions, count)
    raise UsageError(f"there is no interpolation of order {order}", hint="Choose 0 (nearest), 1 (linear) or 3 (cubic)")


def _nearest(positions: Array, count: int) -> Array:
    chosen: Array = np.eye(count)[np.floor(positions + 0.5).astype(np.intp)]
    return chosen


def _linear(positions: Array, count: int) -> Array:
    below = np.floor(positions).astype(np.intp)
    part = (positions - below)[:, np.newaxis]
    each = np.eye(count)
    blended: Array = each[below] * (1.0 - part) + each[np.minimum(below + 1, count - 1)] * part
    return blended


def _cubic(positions: Array, count: int) -> Array:
    """Splines whose coefficients are such that they pass through the values (Unser 1999, "Splines", equation 8)."""
    at_values = _splines(np.arange(count, dtype=np.float64), count)
    result: Array = np.linalg.solve(at_values.T, _splines(positions, count).T).T
    return result


def _splines(positions: Array, count: int) -> Array:
    """The cubic B-spline around each of `count` places, at each position; the row is mirrored at both its ends."""
    period = max(1, 2 * (count - 1))
    below = np.floor(positions).astype(np.intp)
    values = np.zeros((len(positions), count))
    for place in (below - 1, below, below + 1, below + 2):
        distance = np.abs(positions - place)
        near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
        far = np.maximum(2.0 - distance, 0.0) ** 3 / 6.0
        inside = np.minimum(place % period, period - place % period)
        np.add.at(values, (np.arange(len(positions)), inside), np.where(distance < 1.0, near, far))
    return values
