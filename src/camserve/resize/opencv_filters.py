"""Resizing as `cv2.resize` on uint8 pixels, bit for bit, in numpy.

Each function takes pixels uint8 `[height, width, channels]` and the target's height and width in pixels, and returns
uint8.

Source: OpenCV 4, `modules/imgproc/src/resize.cpp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.resize.layout import Pixels, Taps, axes, blocks, flat, lines_of, pick, sum_across_first

__all__ = ["area", "linear", "nearest"]

Array = npt.NDArray[Any]

_WEIGHT_BITS = 11
_ONE = 1 << _WEIGHT_BITS
_SMALLEST_PART = 1e-3
"""A smaller part of a source pixel does not count in `area`."""


def nearest(pixels: Pixels, height: int, width: int) -> Pixels:
    """Take the source pixel at the upper left corner of each target pixel, as `INTER_NEAREST`."""
    rows, columns = (
        np.minimum(np.floor(np.arange(target) * _scale(source, target)), source - 1).astype(np.intp)
        for source, target in axes(pixels, height, width)
    )
    return pick(pixels, rows, columns)


def linear(pixels: Pixels, height: int, width: int) -> Pixels:
    """Interpolate in fixed point with weights of 11 bits, as `INTER_LINEAR`; halved images are averaged."""
    if pixels.shape[:2] == (2 * height, 2 * width):
        return area(pixels, height, width)
    return _interpolate(pixels, *(_pairs_of_centers(*axis) for axis in axes(pixels, height, width)))


def area(pixels: Pixels, height: int, width: int) -> Pixels:
    """Average the source pixels that each target pixel covers, as `INTER_AREA`; enlarge by interpolation."""
    scales = [_scale(*axis) for axis in axes(pixels, height, width)]
    if min(scales) < 1:
        return _interpolate(pixels, *(_pairs_of_cells(*axis) for axis in axes(pixels, height, width)))
    down, across = (round(scale) for scale in scales)
    if max(abs(scales[0] - down), abs(scales[1] - across)) < np.finfo(float).eps:
        return _average_blocks(pixels, down, across)
    total = sum_across_first(pixels, *(_covered(*axis) for axis in axes(pixels, height, width)))
    return np.rint(total, out=total).clip(0, 255, out=total).astype(np.uint8)


def _scale(source: int, target: int) -> float:
    return 1.0 / (target / source)


def _interpolate(pixels: Pixels, rows: _Pair, columns: _Pair) -> Pixels:
    source, channels, last = lines_of(pixels), pixels.shape[2], pixels.shape[1] - 1
    # At the edges, the one pixel has the whole weight along a row; along a column both its parts are rounded.
    inside = (columns.first >= 0) & (columns.first < last)
    across = np.repeat(np.where(inside, columns.weights(), np.array([[_ONE], [0]], np.int32)), channels, axis=1)
    left, right = (flat((columns.first + offset).clip(0, last), channels) for offset in (0, 1))
    top, bottom = ((rows.first + offset).clip(0, len(source) - 1) for offset in (0, 1))
    down = rows.weights()[:, :, np.newaxis]
    result = np.empty((len(top), len(left)), np.uint8)
    for block in blocks(len(top)):
        lines = source.take(np.concatenate([top[block], bottom[block]]), axis=0)
        mixed = lines.take(left, axis=1) * across[0]
        mixed += lines.take(right, axis=1) * across[1]
        mixed >>= 4
        upper, lower = np.split(mixed, 2)
        total = (upper * down[0, block]) >> 16
        total += (lower * down[1, block]) >> 16
        total += 2
        total >>= 2
        result[block] = total
    return result.reshape(len(top), -1, channels)


@dataclass(frozen=True)
class _Pair:
    """Two neighbouring source pixels for each target pixel.

    Attributes:
        first: The first of the two, `[target]`; it or the second may be outside the source.
        part: The weight of the second, `[target]`.
    """

    first: Array
    part: npt.NDArray[np.float32]

    def weights(self) -> npt.NDArray[np.int32]:
        """Return both weights in 1/2048, `[2, target]`."""
        return np.asarray(np.rint(np.stack([np.float32(1) - self.part, self.part]) * np.float32(_ONE)), np.int32)


def _pairs_of_centers(source: int, target: int) -> _Pair:
    center = ((np.arange(target) + 0.5) * _scale(source, target) - 0.5).astype(np.float32)
    below = np.floor(center)
    return _Pair(below.astype(np.intp), center - below)


def _pairs_of_cells(source: int, target: int) -> _Pair:
    """Use two source pixels only where a target pixel covers the border between them."""
    position = np.arange(target)
    first = np.floor(position * _scale(source, target)).astype(np.intp)
    part = ((position + 1) - (first + 1) * (target / source)).astype(np.float32)
    return _Pair(first, np.where(part <= 0, np.float32(0), part - np.floor(part)))


def _average_blocks(pixels: Pixels, down: int, across: int) -> Pixels:
    height, width, channels = pixels.shape
    blocks = pixels.reshape(height // down, down, width // across, across, channels)
    total = blocks.sum(axis=(1, 3), dtype=np.int32)
    if (down, across) == (2, 2):
        return np.asarray((total + 2) >> 2, np.uint8)
    return np.asarray(np.rint(total.astype(np.float32) * np.float32(1.0 / (down * across))), np.uint8)


def _covered(source: int, target: int) -> Taps:
    """Return the source pixels that each target pixel covers; the weight of those past the last is 0."""
    scale = _scale(source, target)
    begin = np.arange(target) * scale
    end = begin + scale
    cell = np.minimum(scale, source - begin)
    last = np.minimum(np.floor(end), source - 1)
    first = np.minimum(np.ceil(begin), last)
    head, tail = first - begin, end - last
    taps = first - 1 + np.arange(int((last - first).max()) + 2)[:, np.newaxis]
    weights = np.where((taps >= first) & (taps < last), 1.0 / cell, 0.0)
    weights = np.where((taps == first - 1) & (head > _SMALLEST_PART), head / cell, weights)
    weights = np.where(
        (taps == last) & (tail > _SMALLEST_PART), np.minimum(np.minimum(tail, 1.0), cell) / cell, weights
    )
    return Taps(taps.astype(np.intp).clip(0, source - 1), weights.astype(np.float32))
