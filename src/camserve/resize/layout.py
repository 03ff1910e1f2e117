"""How the resize filters walk over pixels: lines of flattened rows, in blocks that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Floats",
    "Pixels",
    "Taps",
    "axes",
    "blocks",
    "flat",
    "lines_of",
    "pick",
    "sum_across_first",
    "sum_down_first",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_BLOCK = 24


@dataclass(frozen=True)
class Taps:
    """The source pixels that make each target pixel along one axis, and their weights.

    Attributes:
        index: Their positions, `[taps, target]`.
        weights: Float32 `[taps, target]`.
    """

    index: Array
    weights: Floats


def axes(pixels: Array, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the source's and the target's size along each axis, height first, in pixels."""
    return (pixels.shape[0], height), (pixels.shape[1], width)


def blocks(height: int) -> Iterator[slice]:
    """Split target rows into blocks."""
    return (slice(first, min(first + _BLOCK, height)) for first in range(0, height, _BLOCK))


def lines_of(pixels: Array) -> Array:
    """Return `[height, width, channels]` as lines `[height, width * channels]`."""
    return pixels.reshape(len(pixels), -1)


def flat(columns: Array, channels: int) -> Array:
    """Return where the channels of columns are in a line: `[..., columns]` to `[..., columns * channels]`."""
    return (columns[..., np.newaxis] * channels + np.arange(channels)).reshape(*columns.shape[:-1], -1)


def pick(pixels: Pixels, rows: Array, columns: Array) -> Pixels:
    """Return one source pixel for each target pixel, `[rows, columns, channels]`."""
    channels = pixels.shape[2]
    picked = lines_of(pixels).take(rows, axis=0).take(flat(columns, channels), axis=1)
    return picked.reshape(len(rows), len(columns), channels)


def sum_across_first(pixels: Pixels, down: Taps, across: Taps) -> Floats:
    """Return weighted sums of pixels, added along each row and then along each column, `[height, width, channels]`."""
    source, channels = lines_of(pixels), pixels.shape[2]
    columns, weights = flat(across.index, channels), np.repeat(across.weights, channels, axis=1)
    result = np.empty((down.index.shape[1], weights.shape[1]), np.float32)
    for block in blocks(len(result)):
        rows = down.index[:, block]
        part = source[rows.min() : rows.max() + 1]
        lines = np.empty((len(part), result.shape[1]), np.float32)
        _add((part.take(column, axis=1) for column in columns), weights, lines)
        _add((lines.take(row, axis=0) for row in rows - rows.min()), down.weights[:, block, np.newaxis], result[block])
    return result.reshape(len(result), -1, channels)


def sum_down_first(pixels: Pixels, down: Taps, across: Taps) -> Floats:
    """Return weighted sums of pixels, added along each column and then along each row, `[height, width, channels]`."""
    source, channels = lines_of(pixels), pixels.shape[2]
    columns, weights = flat(across.index, channels), np.repeat(across.weights, channels, axis=1)
    result = np.empty((down.index.shape[1], weights.shape[1]), np.float32)
    for block in blocks(len(result)):
        lines = np.empty((block.stop - block.start, source.shape[1]), np.float32)
        _add((source.take(row, axis=0) for row in down.index[:, block]), down.weights[:, block, np.newaxis], lines)
        _add((lines.take(column, axis=1) for column in columns), weights, result[block])
    return result.reshape(len(result), -1, channels)


def _add(terms: Iterable[Array], weights: Floats, out: Floats) -> None:
    """Write the sum of weighted terms, added one after the other in float32, since the sum depends on the order."""
    weighted = np.empty_like(out)
    for number, (term, weight) in enumerate(zip(terms, weights, strict=True)):
        np.multiply(term, weight, out=weighted if number else out)
        if number:
            out += weighted
