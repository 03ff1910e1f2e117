"""The maps of Keras and of the export as images for a page."""

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
_SMALLEST_SHOWN = 112
_LARGEST_FILE = 30_000
_COLORS = 256


@dataclass(frozen=True)
class Drawings:
    """An example as images for a page, each a PNG in a `data:` address.

    Attributes:
        image: The image.
        keras: Keras's map over it, or None.
        export: The export's map over it in the colours of Keras's, or None.
    """

    image: str
    keras: str | None
    export: str | None


def draw(example: Example) -> Drawings:
    """Draws both maps over the image in the same colours: the range is that of Keras's map."""
    image = _as_image(example.image)
    if example.keras_map is None:
        return Drawings(_data_uri(image), None, None)
    span = (float(example.keras_map.min()), float(example.keras_map.max()))
    maps = (
        None if grid is None else _data_uri(overlay(image, grid, span=span))
        for grid in (example.keras_map, example.map)
    )
    return Drawings(_data_uri(image), *maps)


def _as_image(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """The image at a size to look at; a small one with its pixels enlarged by a whole factor."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    factor = -(-_SMALLEST_SHOWN // max(image.size))
    if factor > 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return _shrunk(image, _SIDES[0])


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    if factor >= 1:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _data_uri(image: Image.Image) -> str:
    """The image as a PNG of at most 30 kB, made smaller until it is."""
    for side in _SIDES:
        png = _png(_shrunk(image, side))
        if len(png) <= _LARGEST_FILE:
            break
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    colored = image if image.mode == "L" else image.quantize(_COLORS, Image.Quantize.MEDIANCUT)
    colored.save(stream, "PNG", optimize=True)
    return stream.getvalue()
