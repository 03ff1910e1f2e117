"""The map as a picture: upsampled with aligned corners, normalised, coloured with jet, laid over the photo."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from camserve.errors import UsageError

__all__ = ["JET", "as_rgb", "jet", "normalize", "overlay", "upsample"]

Array = np.ndarray[Any, Any]

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")

# Knots (position, value) of matplotlib's jet, one line per channel.
_KNOTS = (
    ((0.0, 0.35, 0.66, 0.89, 1.0), (0.0, 0.0, 1.0, 1.0, 0.5)),
    ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)),
    ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1.0, 1.0, 0.0, 0.0)),
)


def _jet_table() -> Array:
    positions = np.linspace(0.0, 1.0, 256)
    channels = [np.interp(positions, *knots) for knots in _KNOTS]
    table = (np.stack(channels, axis=-1) * 255).astype(np.uint8)  # cut off, as matplotlib does
    table.setflags(write=False)
    return table


JET: Array = _jet_table()
"""The 256 colours of matplotlib's jet, uint8 `[256, 3]` in RGB."""


def as_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB with 8 bits for showing it; 16 bits are scaled, not clipped."""
    if image.mode in _SIXTEEN_BIT:
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def upsample(grid: Array, size: tuple[int, int]) -> Array:
    """Enlarges a map linearly with its corners on the corners of the picture.

    Law: for whole factors this is `scipy.ndimage.zoom(grid, factors, order=1)`.

    Args:
        grid: The map, `[rows, columns]`.
        size: Height and width of the result.

    Returns:
        float32 `[height, width]`.
    """
    if min(size) < 1:
        raise UsageError(f"a map cannot be drawn at {size[0]} x {size[1]} pixels", hint="Give a height and a width")
    rows = _interpolate(np.asarray(grid, np.float64), size[0])
    return _interpolate(rows.T, size[1]).T.astype(np.float32)


def _interpolate(values: Array, count: int) -> Array:
    """`count` rows, evenly spaced from the first to the last."""
    positions = np.linspace(0.0, len(values) - 1.0, count)
    below = np.floor(positions).astype(np.intp)
    above = np.minimum(below + 1, len(values) - 1)
    part = (positions - below)[:, np.newaxis]
    result: Array = values[below] * (1.0 - part) + values[above] * part
    return result


def normalize(values: Array, span: tuple[float, float] | None = None) -> Array:
    """Stretches a map to [0, 1] as float64; a map that is constant becomes 0 throughout.

    Args:
        values: The map.
        span: What becomes 0 and 1, the rest being cut off; the map's least and greatest value unless given.
    """
    exact = np.asarray(values, np.float64)
    low, high = (exact.min(), exact.max()) if span is None else span
    result: Array = ((exact - low) / (high - low)).clip(0.0, 1.0) if high > low else np.zeros_like(exact)
    return result


def jet(values: Array) -> Array:
    """Colours values from 0 (blue) to 1 (red) as matplotlib's jet does: uint8 RGB, one more axis than `values`."""
    indices = (np.asarray(values, np.float64) * len(JET)).astype(np.intp)
    colored: Array = JET[indices.clip(0, len(JET) - 1)]
    return colored


def overlay(
    image: Image.Image, heat: Array, alpha: float = 0.5, *, span: tuple[float, float] | None = None
) -> Image.Image:
    """Lays a map over a picture.

    Args:
        image: The picture.
        heat: The map, `[rows, columns]`; enlarged to the picture and stretched to the whole range of colours.
        alpha: Opacity of the map, from 0 to 1.
        span: Values that get the first and the last colour, so that two maps can be compared; by default the least
            and the greatest of this one.

    Returns:
        An RGB picture of the size of `image`.
    """
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha is {alpha}", hint="Give an opacity from 0 to 1")
    colors = jet(normalize(upsample(heat, (image.height, image.width)), span))
    return Image.blend(as_rgb(image), Image.fromarray(colors), alpha)
