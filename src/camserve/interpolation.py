"""Interpolation weights in one dimension, as a matrix: nearest, linear and cubic."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from camserve.errors import UsageError

__all__ = ["Order", "weights"]

Array = np.ndarray[Any, Any]

Order = Literal[0, 1, 3]
"""Order of the interpolation: 0 (nearest value), 1 (linear) or 3 (cubic splines)."""


def weights(count: int, target: int, order: Order) -> Array:
    """Return the weight of each of `count` values in each of `target` values, evenly spaced from first to last.

    Law: `weights(n, m, order) @ values` is `scipy.ndimage.zoom(values, m / n, order=order)` for whole factors.

    Returns:
        float64 `[target, count]`; the sum of each row is 1.

    Raises:
        UsageError: If the order is unknown.
    """
    positions = (np.arange(target) * ((count - 1) / max(1, target - 1))).clip(0, count - 1)
    if order == 0:
        return _nearest(positions, count)
    if order == 1:
        return _linear(positions, count)
    if order == 3:
        return _cubic(positions, count)
    raise UsageError(f"unknown interpolation order {order}", hint="Choose 0 (nearest), 1 (linear) or 3 (cubic)")


def _nearest(positions: Array, count: int) -> Array:
    chosen: Array = np.eye(count)[np.floor(positions + 0.5).astype(np.intp)]
    return chosen


def _linear(positions: Array, count: int) -> Array:
    below = np.floor(positions).astype(np.intp)
    fraction = (positions - below)[:, np.newaxis]
    identity = np.eye(count)
    blended: Array = identity[below] * (1.0 - fraction) + identity[np.minimum(below + 1, count - 1)] * fraction
    return blended


def _cubic(positions: Array, count: int) -> Array:
    """Return the weights of cubic splines that pass through the values.

    Source: M. Unser, "Splines: a perfect fit for signal and image processing" (1999), equation 8.
    """
    at_values = _splines(np.arange(count, dtype=np.float64), count)
    result: Array = np.linalg.solve(at_values.T, _splines(positions, count).T).T
    return result


def _splines(positions: Array, count: int) -> Array:
    """Evaluate the cubic B-spline centered on each of `count` knots at each position, mirrored at both ends."""
    period = max(1, 2 * (count - 1))
    below = np.floor(positions).astype(np.intp)
    values = np.zeros((len(positions), count))
    for knot in (below - 1, below, below + 1, below + 2):
        distance = np.abs(positions - knot)
        near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
        far = np.maximum(2.0 - distance, 0.0) ** 3 / 6.0
        mirrored = np.minimum(knot % period, period - knot % period)
        np.add.at(values, (np.arange(len(positions)), mirrored), np.where(distance < 1.0, near, far))
    return values
