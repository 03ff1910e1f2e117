"""How the resize filters walk over pixels: lines of flattened rows, since numpy takes long rows fastest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["add_terms", "axes", "flat_columns", "take_lines"]

Array = npt.NDArray[Any]


def axes(pixels: Array, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the source's and the target's size along each axis, height first, in pixels."""
    return (pixels.shape[0], height), (pixels.shape[1], width)


def take_lines(pixels: Array, rows: Array) -> Array:
    """Return rows of `[height, width, channels]` as `[rows, width * channels]`."""
    return pixels.reshape(len(pixels), -1).take(rows, axis=0)


def flat_columns(columns: Array, channels: int) -> Array:
    """Return where the channels of columns are in a flattened line, `[columns * channels]`."""
    return (columns[:, np.newaxis] * channels + np.arange(channels)).ravel()


def add_terms(terms: Iterable[Array], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the weighted sum of arrays in float32, added one after the other.

    Args:
        terms: As many arrays as there are weights, all of one shape, uint8 or float32.
        weights: Float32, term first; each must broadcast to the shape of a term.
    """
    total: npt.NDArray[np.float32] | None = None
    for term, weight in zip(terms, weights, strict=True):
        weighted = term * weight  # uint8 times float32 is float32
        if total is None:
            total = weighted
        else:
            total += weighted
    if total is None:
        raise ValueError("a sum needs at least one term")
    return total
