"""Draw class activation maps over images: enlarge with aligned corners, normalize, color and blend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from camserve.argument_checks import check_number
from camserve.colormaps import Colormap, color_table, colorize
from camserve.errors import UsageError
from camserve.interpolation import Order, weights
from camserve.pixels import SIXTEEN_BIT_MODES, to_eight_bits

__all__ = [
    "Box",
    "Look",
    "Style",
    "as_rgb",
    "layer",
    "look",
    "normalize",
    "overlay",
    "resize_for_display",
    "upsample",
    "value_range",
]

Array = np.ndarray[Any, Any]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are exclusive."""

Style = Literal["highlight", "notebook"]
"""`highlight`: the opacity of the map follows its values, so that the image stays visible where they are low.
`notebook`: the whole image is covered at one opacity, as in the paper and its notebooks."""

# The highest color of viridis is saturated, and so differs from both black and white images where it is transparent.
_DEFAULTS: dict[str, tuple[float, str]] = {"highlight": (0.7, "viridis"), "notebook": (0.5, "jet")}

_PIXELS_PER_BAND = 1 << 20
"""Large maps are enlarged and colored in bands of so many pixels, which limits the memory for floating point."""


@dataclass(frozen=True, eq=False)
class Look:
    """How a map is drawn over an image.

    Attributes:
        style: Whether the opacity follows the map.
        alpha: Opacity of the map, from 0 to 1; with style `highlight`, that of its highest value.
        table: The colors of the map, uint8 `[256, 3]` in RGB.
    """

    style: Style
    alpha: float
    table: Array


def look(style: Style = "highlight", alpha: float | None = None, colormap: Colormap | None = None) -> Look:
    """Return how to draw a map.

    Args:
        style: `highlight` or `notebook`.
        alpha: Opacity, from 0 to 1 (default: 0.7 with `highlight`, 0.5 with `notebook`).
        colormap: The colors (default: `viridis` with `highlight`, `jet` with `notebook`).

    Raises:
        UsageError: If alpha is not from 0 to 1, or the style or the colormap is unknown.
    """
    if style not in get_args(Style):
        raise UsageError(f"unknown style {style!r}", hint=f"Choose {' or '.join(get_args(Style))}")
    default_alpha, default_colormap = _DEFAULTS[style]
    if alpha is not None:
        check_number("alpha", alpha)
        if not 0.0 <= alpha <= 1.0:
            raise UsageError(f"alpha must be from 0 to 1, got {alpha}", hint="Pass an opacity such as 0.5")
    table = color_table(default_colormap if colormap is None else colormap)
    return Look(style, default_alpha if alpha is None else alpha, table)


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit RGB for display; 16-bit values are scaled, not clipped."""
    if image.mode in SIXTEEN_BIT_MODES:
        return Image.fromarray(to_eight_bits(np.asarray(image).clip(0, 0xFFFF))).convert("RGB")
    return image.convert("RGB")


def resize_for_display(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Resize an image to a height and width (default: its own), in RGB.

    If the factors are whole numbers, pixels are repeated and keep their sharp edges.

    Raises:
        UsageError: If the size is not two whole numbers of at least 1.
    """
    image = as_rgb(image)
    if size is None:
        return image
    _check_size(size)
    is_whole_factor = size[0] % image.height == 0 and size[1] % image.width == 0
    resampling = Image.Resampling.NEAREST if is_whole_factor else Image.Resampling.BILINEAR
    return image.resize((size[1], size[0]), resampling)


def upsample(grid: Array, size: tuple[int, int], order: Order = 1) -> Array:
    """Enlarge a map, with its corners aligned to the corners of the result.

    Law: for whole factors this is `scipy.ndimage.zoom(grid, factors, order=order)`.

    Args:
        grid: The map, `[rows, columns]`.
        size: Height and width of the result, in pixels.
        order: How to interpolate; cubic splines can overshoot the lowest and highest values of the map.

    Returns:
        float32 `[height, width]`.

    Raises:
        UsageError: If the size is not two whole numbers of at least 1, or the order is unknown.
    """
    _check_size(size)
    columns = np.asarray(grid, np.float64) @ weights(grid.shape[1], size[1], order).T
    enlarged: Array = (weights(grid.shape[0], size[0], order) @ columns).astype(np.float32)
    return enlarged


def normalize(values: Array, span: tuple[float, float] | None = None) -> Array:
    """Scale a map linearly to 0 to 1, in float64; a constant map becomes 0.

    Args:
        values: The map.
        span: Values that become 0 and 1; others are clipped (default: the lowest and the highest value of the map).
    """
    exact = np.asarray(values, np.float64)
    low, high = (exact.min(), exact.max()) if span is None else span
    result: Array = ((exact - low) / (high - low)).clip(0.0, 1.0) if high > low else np.zeros_like(exact)
    return result


def value_range(grid: Array, size: tuple[int, int]) -> tuple[float, float]:
    """Return the lowest and the highest value of a map that is enlarged linearly to a height and width."""
    ranges = [(float(band.min()), float(band.max())) for band in _bands(grid, size)]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def overlay(
    image: Image.Image,
    grid: Array,
    how: Look | None = None,
    *,
    span: tuple[float, float] | None = None,
    box: Box | None = None,
) -> Image.Image:
    """Draw a map over an image.

    Law: with style `highlight`, pixels at the lowest value of the map equal those of the image.

    Args:
        image: The image.
        grid: The map, `[rows, columns]`; it is enlarged linearly to the box.
        how: Style, opacity and colors (default: `look()`).
        span: Values that get the first and the last color, to compare maps (default: the lowest and the highest
            value of this map).
        box: The part of the image that the map describes; the rest remains unchanged (default: the whole image).

    Returns:
        An RGB image of the size of `image`, without its metadata.
    """
    how = how or look()
    result = as_rgb(image)
    left, top, right, bottom = box or (0, 0, *image.size)
    size = (bottom - top, right - left)
    span = span or value_range(grid, size)
    for band in _bands(grid, size):
        place = (left, top, right, top + len(band))
        result.paste(_blend(result.crop(place), normalize(band, span), how), place)
        top += len(band)
    result.info.clear()  # metadata of the photo, such as its orientation and GPS position, does not fit the drawing
    return result


def layer(grid: Array, size: tuple[int, int], how: Look | None = None) -> Image.Image:
    """Draw a map alone, as an image that is transparent where the map is low, to lay it over an image later.

    Law: laid over an image, it differs from `overlay` by rounding only.

    Args:
        grid: The map, `[rows, columns]`; it is enlarged linearly.
        size: Height and width of the result, in pixels.
        how: Style, opacity and colors (default: `look()`).

    Returns:
        An image of mode P with 256 colors and, in `info["transparency"]`, the opacity of each, as PNG files store it.
    """
    how = how or look()
    values = normalize(upsample(grid, size))
    drawing = Image.fromarray((values * 256).clip(0, 255).astype(np.uint8))
    drawing.putpalette(how.table.tobytes())
    opacity = np.arange(256) if how.style == "highlight" else np.full(256, 255)
    drawing.info["transparency"] = np.rint(opacity * how.alpha).astype(np.uint8).tobytes()
    return drawing


def _blend(image: Image.Image, values: Array, how: Look) -> Image.Image:
    colors = Image.fromarray(colorize(values, how.table))
    if how.style == "notebook":
        return Image.blend(image, colors, how.alpha)
    opacity = np.rint(values * (255 * how.alpha)).astype(np.uint8)
    return Image.composite(colors, image, Image.fromarray(opacity))


def _bands(grid: Array, size: tuple[int, int]) -> Iterator[Array]:
    """Yield the enlarged map in bands of whole rows, from top to bottom."""
    _check_size(size)
    rows = weights(grid.shape[0], size[0], 1)
    columns = np.asarray(grid, np.float64) @ weights(grid.shape[1], size[1], 1).T
    step = max(1, _PIXELS_PER_BAND // size[1])
    for start in range(0, size[0], step):
        yield (rows[start : start + step] @ columns).astype(np.float32)


def _check_size(size: object) -> None:
    hint = "Pass height and width as two whole numbers, e.g. (224, 224)"
    if not isinstance(size, Sequence) or len(size) != 2 or not all(isinstance(side, Integral) for side in size):
        raise UsageError(f"size must be (height, width), got {size!r}", hint=hint)
    if min(size) < 1:
        raise UsageError(f"height and width must be at least 1, got {size[0]} x {size[1]}", hint=hint)
