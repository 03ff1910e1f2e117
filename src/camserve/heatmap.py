"""The map as an image: enlarged with aligned corners, stretched to the range of the colours, laid over the photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from PIL import Image

from camserve.argument_checks import check_number
from camserve.colormaps import Colormap, color_table, colorize
from camserve.errors import UsageError
from camserve.interpolation import Order, weights
from camserve.pixels import SIXTEEN_BIT_MODES, in_eight_bits

__all__ = ["Box", "Order", "as_rgb", "normalize", "overlay", "resized", "upsample"]

Array = np.ndarray[Any, Any]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, the last two exclusive."""

_PIXELS_AT_ONCE = 1 << 20
"""How much of a large image is coloured at once, so that its map in floating point never stands in memory whole."""


def as_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB with 8 bits for showing it; 16 bits are scaled, not clipped."""
    if image.mode in SIXTEEN_BIT_MODES:
        return Image.fromarray(in_eight_bits(np.asarray(image).clip(0, 0xFFFF))).convert("RGB")
    return image.convert("RGB")


def resized(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """The image in RGB at that height and width; as large as it is if None.

    Enlarged by a whole factor, its pixels stay the squares that they are.

    Raises:
        UsageError: If it is no size, or a side is less than one.
    """
    image = as_rgb(image)
    if size is None:
        return image
    _check_size(size)
    sharp = size[0] % image.height == 0 and size[1] % image.width == 0
    return image.resize((size[1], size[0]), Image.Resampling.NEAREST if sharp else Image.Resampling.BILINEAR)


def upsample(grid: Array, size: tuple[int, int], order: Order = 1) -> Array:
    """Enlarges a map with its corners on the corners of the image.

    Law: for whole factors this is `scipy.ndimage.zoom(grid, factors, order=order)`.

    Args:
        grid: The map, `[rows, columns]`.
        size: Height and width of the result.
        order: How to interpolate; cubic splines may go beyond the least and greatest values of the map.

    Returns:
        float32 `[height, width]`.

    Raises:
        UsageError: If it is no size, a side is less than one, or the order is another.
    """
    _check_size(size)
    columns = np.asarray(grid, np.float64) @ weights(grid.shape[1], size[1], order).T
    enlarged: Array = (weights(grid.shape[0], size[0], order) @ columns).astype(np.float32)
    return enlarged


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


def overlay(
    image: Image.Image,
    heat: Array,
    alpha: float = 0.5,
    *,
    span: tuple[float, float] | None = None,
    colormap: Colormap = "jet",
    box: Box | None = None,
) -> Image.Image:
    """Lays a map over an image.

    Args:
        image: The image.
        heat: The map, `[rows, columns]`; enlarged to the image and stretched to the whole range of colours.
        alpha: Opacity of the map, from 0 to 1.
        span: Values that get the first and the last colour, so that two maps can be compared; by default the least
            and the greatest of this one.
        colormap: The colours.
        box: The part of the image that the map is of; what lies outside stays as it is. The whole unless given.

    Returns:
        An RGB image of the size of `image`.

    Raises:
        UsageError: If alpha is not from 0 to 1, or the colormap is unknown.
    """
    check_number("alpha", alpha)
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha is {alpha}", hint="Give an opacity from 0 to 1")
    result = as_rgb(image)
    left, top, right, bottom = box or (0, 0, *image.size)
    size = (bottom - top, right - left)
    table = color_table(colormap)
    low, high = span or _span(heat, size)
    for band in _bands(heat, size):
        place = (left, top, right, top + len(band))
        colors = Image.fromarray(colorize(normalize(band, (low, high)), table))
        result.paste(Image.blend(result.crop(place), colors, alpha), place)
        top += len(band)
    result.info.clear()  # the photo's metadata, such as its orientation and its place, are not the drawing's
    return result


def _span(grid: Array, size: tuple[int, int]) -> tuple[float, float]:
    spans = [(float(band.min()), float(band.max())) for band in _bands(grid, size)]
    return min(low for low, _ in spans), max(high for _, high in spans)


def _bands(grid: Array, size: tuple[int, int]) -> Iterator[Array]:
    """The enlarged map in parts of whole rows, from top to bottom."""
    _check_size(size)
    rows = weights(grid.shape[0], size[0], 1)
    columns = np.asarray(grid, np.float64) @ weights(grid.shape[1], size[1], 1).T
    step = max(1, _PIXELS_AT_ONCE // size[1])
    for start in range(0, size[0], step):
        yield (rows[start : start + step] @ columns).astype(np.float32)


def _check_size(size: object) -> None:
    hint = "Give a height and a width, as two whole numbers"
    if not isinstance(size, Sequence) or len(size) != 2 or not all(isinstance(side, Integral) for side in size):
        raise UsageError(f"a map cannot be drawn at the size {size!r}", hint=hint)
    if min(size) < 1:
        raise UsageError(f"a map cannot be drawn at {size[0]} x {size[1]} pixels", hint=hint)
