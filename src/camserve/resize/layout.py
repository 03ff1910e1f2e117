"""How the resize filters walk over pixels: lines of flattened rows, in blocks that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["CACHED", "Floats", "Pixels", "Positions", "Source", "Taps", "blocks", "sum_across_first", "sum_down_first"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

CACHED = 64
"""Sizes whose positions are kept, since photos of one source have few."""

_BLOCK = 24
_ABOVE_TIES = 1e-6
"""Added to an offset in pixels, so that positions at the border of two pixels are taken from the second one."""


@dataclass(eq=False)
class Positions:
    """The source pixel that each target pixel takes along one axis.

    Attributes:
        index: The positions, `[target]`.
        source: Size of the source.
        offset: What they follow, but for rounding: `floor((target pixel + 0.5) * source / target + offset)`.
    """

    index: Array
    source: int
    offset: float

    @cached_property
    def formula(self) -> tuple[float, float] | None:
        """Scale and offset with which Pillow takes these positions; None if it would take others."""
        target = len(self.index)
        scale, offset = self.source / target, self.offset + _ABOVE_TIES
        numbers = Image.fromarray(np.arange(1, self.source + 1, dtype=np.int32)[np.newaxis])  # 0 is outside
        taken = numbers.transform((target, 1), Image.Transform.AFFINE, (scale, 0, offset, 0, 1, 0))
        return (scale, offset) if np.array_equal(np.asarray(taken)[0], self.index + 1) else None


@dataclass(frozen=True, eq=False)
class Taps:
    """The source pixels that make each target pixel along one axis, and their weights.

    Attributes:
        index: Their positions, `[taps, target]`.
        weights: Float32 `[taps, target]`.
    """

    index: Array
    weights: Floats


class Source:
    """The image to resize, RGB or gray."""

    def __init__(self, image: Image.Image) -> None:
        self.height, self.width, self.channels = image.height, image.width, len(image.getbands())
        self._image = image

    def axes(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the source's and the target's size along each axis, height first, in pixels."""
        return (self.height, height), (self.width, width)

    @cached_property
    def pixels(self) -> Pixels:
        """All pixels, `[height, width, channels]`."""
        return np.asarray(self._image).reshape(self.height, self.width, self.channels)

    @property
    def lines(self) -> Pixels:
        """All pixels, `[height, width * channels]`."""
        return self.pixels.reshape(self.height, -1)

    def pick(self, rows: Positions, columns: Positions) -> Pixels:
        """Take one pixel for each target pixel, `[rows, columns * channels]`.

        Pillow takes them out of the image if it can: to convert all pixels to an array first takes much longer.
        """
        down, across = rows.formula, columns.formula
        if down is None or across is None:
            return self.lines.take(rows.index, axis=0).take(flat(columns.index, self.channels), axis=1)
        size, affine = (len(columns.index), len(rows.index)), (across[0], 0, across[1], 0, *down)
        return np.asarray(self._image.transform(size, Image.Transform.AFFINE, affine)).reshape(len(rows.index), -1)


def blocks(height: int) -> Iterator[slice]:
    """Split target rows into blocks."""
    return (slice(first, min(first + _BLOCK, height)) for first in range(0, height, _BLOCK))


def flat(columns: Array, channels: int) -> Array:
    """Return where the channels of columns are in a line: `[..., columns]` to `[..., columns * channels]`."""
    return (columns[..., np.newaxis] * channels + np.arange(channels)).reshape(*columns.shape[:-1], -1)


def sum_across_first(source: Source, down: Taps, across: Taps) -> Floats:
    """Return weighted sums of pixels, added along each row and then along each column, `[height, width, channels]`."""
    pixels, channels = source.lines, source.channels
    columns, weights = flat(across.index, channels), np.repeat(across.weights, channels, axis=1)
    result = np.empty((down.index.shape[1], weights.shape[1]), np.float32)
    for block in blocks(len(result)):
        rows = down.index[:, block]
        part = pixels[rows.min() : rows.max() + 1]
        lines = np.empty((len(part), result.shape[1]), np.float32)
        _add((part.take(column, axis=1) for column in columns), weights, lines)
        _add((lines.take(row, axis=0) for row in rows - rows.min()), down.weights[:, block, np.newaxis], result[block])
    return result.reshape(len(result), -1, channels)


def sum_down_first(source: Source, down: Taps, across: Taps) -> Floats:
    """Return weighted sums of pixels, added along each column and then along each row, `[height, width, channels]`."""
    pixels, channels = source.lines, source.channels
    columns, weights = flat(across.index, channels), np.repeat(across.weights, channels, axis=1)
    result = np.empty((down.index.shape[1], weights.shape[1]), np.float32)
    for block in blocks(len(result)):
        lines = np.empty((block.stop - block.start, pixels.shape[1]), np.float32)
        _add((pixels.take(row, axis=0) for row in down.index[:, block]), down.weights[:, block, np.newaxis], lines)
        _add((lines.take(column, axis=1) for column in columns), weights, result[block])
    return result.reshape(len(result), -1, channels)


def _add(terms: Iterable[Array], weights: Floats, out: Floats) -> None:
    """Write the sum of weighted terms, added one after the other in float32, since the sum depends on the order."""
    weighted = np.empty_like(out)
    for number, (term, weight) in enumerate(zip(terms, weights, strict=True)):
        np.multiply(term, weight, out=weighted if number else out)
        if number:
            out += weighted
