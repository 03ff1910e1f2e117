"""Draw the maps of Keras and of the export as images for an HTML page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from camserve.export.gate.examples import Example
from camserve.heatmap import overlay

__all__ = ["Drawings", "draw"]

_SIDES = (224, 176, 144, 112, 80, 64)
_MIN_SIDE = 112
_MAX_BYTES = 30_000
_COLORS = 256


@dataclass(frozen=True)
class Drawings:
    """An example as images for a page, each a PNG in a `data:` URI.

    Attributes:
        image: The image.
        keras: Keras's map over the image, or None.
        export: The export's map over the image, in the color scale of Keras's map, or None.
        span: The lowest and the highest value of the color scale, or None without maps.
    """

    image: str
    keras: str | None
    export: str | None
    span: tuple[float, float] | None


def draw(example: Example) -> Drawings:
    """Draw both maps over the image in one color scale, from the lowest to the highest value of Keras's map."""
    image = _to_display_size(example.image)
    if example.keras_map is None:
        return Drawings(_data_uri(image), None, None, None)
    span = (float(example.keras_map.min()), float(example.keras_map.max()))
    keras, export = (
        None if grid is None else _data_uri(overlay(image, grid, span=span))
        for grid in (example.keras_map, example.map)
    )
    return Drawings(_data_uri(image), keras, export, span)


def _to_display_size(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """Enlarge small images by a whole factor, which keeps pixels sharp, and reduce large ones."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    factor = -(-_MIN_SIDE // max(image.size))
    if factor > 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return _reduced(image, _SIDES[0])


def _reduced(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    if factor >= 1:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _data_uri(image: Image.Image) -> str:
    """Encode the image as a PNG of at most 30 kB, at a smaller size if necessary."""
    for side in _SIDES:
        png = _png(_reduced(image, side))
        if len(png) <= _MAX_BYTES:
            break
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    with_palette = image if image.mode == "L" else image.quantize(_COLORS, Image.Quantize.MEDIANCUT)
    with_palette.save(stream, "PNG", optimize=True)
    return stream.getvalue()
