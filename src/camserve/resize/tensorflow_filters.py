"""Resizing as `tf.image.resize` without antialiasing, bit for bit, in numpy.

`image_dataset_from_directory` and most TensorFlow input pipelines resize this way. The results are float32 and keep
their fractions, as in TensorFlow, except those of `nearest`, which keep the dtype of the pixels.

Each function takes the image and the target's height and width in pixels, and returns `[height, width, channels]`.
Each sum adds its terms in TensorFlow's order, since float32 sums depend on it.

Source: TensorFlow, `tensorflow/core/kernels/image/resize_{nearest_neighbor,bilinear,bicubic,area}_op.cc`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.resize.layout import (
    CACHED,
    Floats,
    Pixels,
    Positions,
    Source,
    Taps,
    blocks,
    sum_across_first,
    sum_down_first,
)

__all__ = ["area", "bicubic", "bilinear", "nearest"]

Array = npt.NDArray[Any]
Float = np.float32

_TABLE_SIZE = 1024
_KEYS_A = -0.5


def nearest(source: Source, height: int, width: int) -> Pixels:
    """Take the source pixel that contains the center of each target pixel."""
    rows, columns = (_nearest(*axis) for axis in source.axes(height, width))
    return source.pick(rows, columns).reshape(height, width, -1)


def bilinear(source: Source, height: int, width: int) -> Floats:
    """Interpolate between the two nearest source pixels along each axis."""
    (top, bottom, down), (left, right, across) = (_two_taps(*axis) for axis in source.axes(height, width))
    corners = [(source.pick(rows, left), source.pick(rows, right)) for rows in (top, bottom)]
    part = np.repeat(across, source.channels)
    result = np.empty((height, width * source.channels), np.float32)
    for block in blocks(height):
        upper, lower = (
            _interpolate(first[block].astype(np.float32), second[block].astype(np.float32), part)
            for first, second in corners
        )
        result[block] = _interpolate(upper, lower, down[block, np.newaxis])
    return result.reshape(height, width, -1)


def bicubic(source: Source, height: int, width: int) -> Floats:
    """Interpolate between four source pixels along each axis with Keys's kernel (a = -0.5)."""
    return sum_down_first(source, *(_four_taps(*axis) for axis in source.axes(height, width)))


def area(source: Source, height: int, width: int) -> Floats:
    """Average the part of the source that each target pixel covers."""
    total = sum_across_first(source, *(_covered(*axis) for axis in source.axes(height, width)))
    scales = [_scale(*axis) for axis in source.axes(height, width)]
    total *= Float(1) / (scales[0] * scales[1])
    return total


def _scale(source: int, target: int) -> np.float32:
    return Float(source) / Float(target)


def _centers(target: int) -> Floats:
    """Return the centers of the target pixels, in target pixels, `[target]`."""
    return np.arange(target, dtype=np.float32) + Float(0.5)


def _interpolate(first: Floats, second: Floats, part: Floats) -> Floats:
    second -= first
    second *= part
    second += first
    return second


@lru_cache(CACHED)
def _nearest(source: int, target: int) -> Positions:
    index = np.floor(_centers(target) * _scale(source, target))
    return Positions(np.minimum(index, source - 1).astype(np.intp), source, 0.0)


@lru_cache(CACHED)
def _two_taps(source: int, target: int) -> tuple[Positions, Positions, Floats]:
    """Return both source pixels of each target pixel, and the weight of the second, `[target]`."""
    center = _centers(target) * _scale(source, target) - Float(0.5)
    below = np.floor(center)
    first, second = (np.clip(below + after, 0, source - 1).astype(np.intp) for after in (0, 1))
    return Positions(first, source, -0.5), Positions(second, source, 0.5), center - below


def _four_taps(source: int, target: int) -> Taps:
    """Return the four source pixels of each target pixel; the weight of pixels outside the source is 0."""
    center = _centers(target) * _scale(source, target) - Float(0.5)
    below = np.floor(center)
    offset = np.rint((center - below) * Float(_TABLE_SIZE)).astype(np.intp)
    near, far = _kernel()
    weights = np.stack([far[offset], near[offset], near[_TABLE_SIZE - offset], far[_TABLE_SIZE - offset]])
    unclipped = below.astype(np.intp) + np.arange(-1, 3)[:, np.newaxis]
    taps = unclipped.clip(0, source - 1)
    weights = np.where(taps == unclipped, weights, Float(0))
    total = ((weights[0] + weights[1]) + weights[2]) + weights[3]
    return Taps(taps, weights * (Float(1) / total))


def _kernel() -> tuple[Floats, Floats]:
    """Keys's kernel at distances 0 to 1 and 1 to 2, in steps of 1/1024, `[1025]` each."""
    x = np.linspace(0, 1, _TABLE_SIZE + 1)
    near = ((_KEYS_A + 2) * x - (_KEYS_A + 3)) * x * x + 1
    x = x + 1
    far = ((_KEYS_A * x - 5 * _KEYS_A) * x + 8 * _KEYS_A) * x - 4 * _KEYS_A
    return near.astype(np.float32), far.astype(np.float32)


def _covered(source: int, target: int) -> Taps:
    """Return the source pixels that each target pixel covers; the weight of those past the last is 0."""
    scale = _scale(source, target)
    edges = np.arange(target + 1, dtype=np.float32) * scale
    begin, end = edges[:-1], edges[1:]
    first, last = np.floor(begin), np.ceil(end)
    taps = first + np.arange(int((last - first).max()), dtype=np.float32)[:, np.newaxis]
    ends_inside = taps + Float(1) > end
    weights = np.where(
        taps < begin,
        np.where(ends_inside, scale, taps + Float(1) - begin),
        np.where(ends_inside, end - taps, Float(1)),
    )
    return Taps(taps.astype(np.intp).clip(0, source - 1), np.where(taps < last, weights, Float(0)).astype(np.float32))
