"""The pointing game: whether the maximum of a map is on an object of its class.

The point is the center of the largest cell of the map. A point within 15 pixels of a box is a hit, on images whose
shorter side has 224 pixels.

Source: Zhang et al. 2018, "Top-down Neural Attention by Excitation Backprop", section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["TOLERANCE", "chance", "is_hit"]

TOLERANCE = 15 / 224
"""How far a point may be from a box, as a share of the shorter side of the network's input."""

Array = npt.NDArray[Any]


def is_hit(grid: Array, boxes: Array, size: tuple[int, int]) -> bool:
    """Return whether the maximum of a map is in one of the boxes, or within the tolerance of one.

    Args:
        grid: The map, `[rows, columns]`; of equal values, the first is the maximum.
        boxes: Left, top, right and bottom of each box in pixels of the network's input, `[boxes, 4]`.
        size: Height and width of the network's input.
    """
    return bool(_near(grid.shape, boxes, size).ravel()[grid.argmax()])


def chance(shape: tuple[int, ...], boxes: Array, size: tuple[int, int]) -> float:
    """Return the probability that a map whose maximum is in a random cell is a hit.

    Args:
        shape: Rows and columns of the map.
        boxes: As for `is_hit`.
        size: As for `is_hit`.
    """
    return float(_near(shape, boxes, size).mean())


def _near(shape: tuple[int, ...], boxes: Array, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return whether a maximum in each cell is a hit, bool `[rows, columns]`."""
    down, across = ((np.arange(cells) + 0.5) * pixels / cells for cells, pixels in zip(shape, size, strict=True))
    left, top, right, bottom = np.asarray(boxes, np.float64).T[:, :, np.newaxis]
    beside = np.maximum(0, np.maximum(left - across, across - right))  # [boxes, columns]
    above = np.maximum(0, np.maximum(top - down, down - bottom))  # [boxes, rows]
    distances = np.hypot(above[:, :, np.newaxis], beside[:, np.newaxis, :])
    near: npt.NDArray[np.bool_] = (distances <= TOLERANCE * min(size)).any(axis=0)
    return near
