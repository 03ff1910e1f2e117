"""Resizing as `cv2.resize` on uint8 pixels, bit for bit, in numpy.

Each function takes the image and the target's height and width in pixels, and returns `[height, width, channels]`,
uint8.

Source: OpenCV 4, `modules/imgproc/src/resize.cpp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.resize.layout import CACHED, Pixels, Positions, Source, Taps, blocks, sum_across_first

__all__ = ["area", "linear", "nearest"]

Array = npt.NDArray[Any]

_WEIGHT_BITS = 11
_ONE = 1 << _WEIGHT_BITS
_SMALLEST_PART = 1e-3
"""A smaller part of a source pixel does not count in `area`."""


def nearest(source: Source, height: int, width: int) -> Pixels:
    """Take the source pixel at the upper left corner of each target pixel, as `INTER_NEAREST`."""
    rows, columns = (_nearest(*axis) for axis in source.axes(height, width))
    return source.pick(rows, columns).reshape(height, width, -1)


def linear(source: Source, height: int, width: int) -> Pixels:
    """Interpolate in fixed point with weights of 11 bits, as `INTER_LINEAR`; halved images are averaged."""
    if (source.height, source.width) == (2 * height, 2 * width):
        return area(source, height, width)
    return _interpolate(source, *(_pairs_of_centers(*axis) for axis in source.axes(height, width)))


def area(source: Source, height: int, width: int) -> Pixels:
    """Average the source pixels that each target pixel covers, as `INTER_AREA`; enlarge by interpolation."""
    scales = [_scale(*axis) for axis in source.axes(height, width)]
    if min(scales) < 1:
        return _interpolate(source, *(_pairs_of_cells(*axis) for axis in source.axes(height, width)))
    down, across = (round(scale) for scale in scales)
    if max(abs(scales[0] - down), abs(scales[1] - across)) < np.finfo(float).eps:
        return _average_blocks(source.pixels, down, across)
    total = sum_across_first(source, *(_covered(*axis) for axis in source.axes(height, width)))
    return np.rint(total, out=total).clip(0, 255, out=total).astype(np.uint8)


def _scale(source: int, target: int) -> float:
    return 1.0 / (target / source)


@lru_cache(CACHED)
def _nearest(source: int, target: int) -> Positions:
    scale = _scale(source, target)
    index = np.minimum(np.floor(np.arange(target) * scale), source - 1)
    return Positions(index.astype(np.intp), source, -0.5 * scale)


def _interpolate(source: Source, rows: _Pair, columns: _Pair) -> Pixels:
    (top, bottom), (left, right) = (pair.positions for pair in (rows, columns))
    corners = [(source.pick(line, left), source.pick(line, right)) for line in (top, bottom)]
    # At the edges, the one pixel has the whole weight along a row; along a column both its parts are rounded.
    inside = (columns.first >= 0) & (columns.first < source.width - 1)
    across = np.where(inside, columns.weights(), np.array([[_ONE], [0]], np.int32)).repeat(source.channels, axis=1)
    down = rows.weights()[:, :, np.newaxis]
    result = np.empty(corners[0][0].shape, np.uint8)
    for block in blocks(len(result)):
        total = np.full(result[block].shape, 2, np.int32)
        for (first, second), weight in zip(corners, down, strict=True):
            mixed = first[block] * across[0]
            mixed += second[block] * across[1]
            mixed >>= 4
            mixed *= weight[block]
            mixed >>= 16
            total += mixed
        total >>= 2
        result[block] = total
    return result.reshape(len(result), -1, source.channels)


@dataclass(eq=False)
class _Pair:
    """Two neighbouring source pixels for each target pixel.

    Attributes:
        first: The first of the two, `[target]`; it or the second may be outside the source.
        part: The weight of the second, `[target]`.
        source: Size of the source.
        offset: That of the first; see `Positions`.
    """

    first: Array
    part: npt.NDArray[np.float32]
    source: int
    offset: float

    @cached_property
    def positions(self) -> tuple[Positions, Positions]:
        """Both, with the pixel at the edge for those outside."""
        first, second = (
            Positions((self.first + after).clip(0, self.source - 1), self.source, self.offset + after)
            for after in (0, 1)
        )
        return first, second

    def weights(self) -> npt.NDArray[np.int32]:
        """Return both weights in 1/2048, `[2, target]`."""
        return np.asarray(np.rint(np.stack([np.float32(1) - self.part, self.part]) * np.float32(_ONE)), np.int32)


@lru_cache(CACHED)
def _pairs_of_centers(source: int, target: int) -> _Pair:
    center = ((np.arange(target) + 0.5) * _scale(source, target) - 0.5).astype(np.float32)
    below = np.floor(center)
    return _Pair(below.astype(np.intp), center - below, source, -0.5)


@lru_cache(CACHED)
def _pairs_of_cells(source: int, target: int) -> _Pair:
    """Use two source pixels only where a target pixel covers the border between them."""
    position = np.arange(target)
    first = np.floor(position * _scale(source, target)).astype(np.intp)
    part = ((position + 1) - (first + 1) * (target / source)).astype(np.float32)
    return _Pair(first, np.where(part <= 0, np.float32(0), part - np.floor(part)), source, -0.5 * source / target)


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
