"""The pointing game: whether the maximum of a map is on the object in the image.

A point within 15 pixels of the object is a hit, on images whose shorter side has 224 pixels.

Source: Zhang et al. 2018, "Top-down Neural Attention by Excitation Backprop", section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["chance_level", "hits"]

_TOLERANCE = 15 / 224  # of the side

Array = npt.NDArray[Any]


def hits(maps: Array, masks: Array) -> npt.NDArray[np.bool_]:
    """Return whether each map points at the object: the point is the center of its largest cell.

    Args:
        maps: `[count, rows, columns]`.
        masks: Pixels of the object, bool `[count, height, width]`.

    Returns:
        `[count]`.
    """
    return _within_tolerance(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[1:], masks)


def chance_level(grid: tuple[int, ...], masks: Array) -> float:
    """Return the expected share of hits of a random cell."""
    cells = range(grid[0] * grid[1])
    return float(np.mean([_within_tolerance(np.full(len(masks), cell), grid, masks) for cell in cells]))


def _within_tolerance(cells: Array, grid: tuple[int, ...], masks: Array) -> npt.NDArray[np.bool_]:
    height, width = masks.shape[1:]
    rows, columns = np.unravel_index(cells, grid)
    down = np.arange(height) + 0.5 - ((rows + 0.5) * height / grid[0])[:, np.newaxis]
    across = np.arange(width) + 0.5 - ((columns + 0.5) * width / grid[1])[:, np.newaxis]
    distances = np.hypot(down[:, :, np.newaxis], across[:, np.newaxis, :])
    nearest = np.where(masks, distances, np.inf).min(axis=(1, 2))
    near: npt.NDArray[np.bool_] = nearest <= _TOLERANCE * min(height, width)
    return near
