"""Images and maps for the page, in `data:` URIs of limited size."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from camserve.clients.scoring.items import Item
from camserve.cores import host_cores
from camserve.errors import ImageError
from camserve.heatmap import as_rgb, layer, look
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import open_image

__all__ = ["Thumbnail", "draw_map", "read_thumbnails"]

_SIDE = 256
_EXACT_SIDE = 64
"""Images up to this side are stored without loss."""
_MAP_SIDE = 128
_QUALITY = 82

_OPAQUE = look(alpha=1.0)
"""How maps are drawn: the page makes them transparent."""


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of an image, or why there is none.

    Attributes:
        uri: The copy in a `data:` URI; None if the image cannot be read.
        size: Width and height of the image, in pixels; (0, 0) without one.
        problem: Why the image cannot be read; None if it can.
    """

    uri: str | None
    size: tuple[int, int]
    problem: str | None = None

    @property
    def is_exact(self) -> bool:
        """Whether every pixel of the image is in the copy."""
        return self.uri is not None and max(self.size) <= _EXACT_SIDE


def read_thumbnails(
    items: Sequence[Item],
    decode_options: DecodeOptions,
    each: Callable[[Iterable[Thumbnail]], Iterable[Thumbnail]],
) -> list[Thumbnail]:
    """Read images, several at a time.

    Args:
        items: The images.
        decode_options: How files are decoded.
        each: Called with the iterable of the thumbnails, to report progress.
    """
    threads = ThreadPoolExecutor(host_cores())
    try:
        return list(each(threads.map(partial(_thumbnail, decode_options=decode_options), items)))
    finally:
        threads.shutdown(cancel_futures=True)


def draw_map(grid: np.ndarray[Any, Any], size: tuple[int, int]) -> str:
    """Draw a map for an image of this width and height, to be laid over it, as a PNG file in a `data:` URI."""
    factor = _MAP_SIDE / max(size)
    height, width = (max(1, round(side * factor)) for side in (size[1], size[0]))
    return _uri(layer(grid, (height, width), _OPAQUE), "PNG", optimize=True)


def _thumbnail(item: Item, decode_options: DecodeOptions) -> Thumbnail:
    try:
        image = open_image(item.source.read(decode_options.max_bytes), decode_options, name=item.path).load()
    except ImageError as error:
        return Thumbnail(None, (0, 0), error.message)
    size = image.size
    small = _reduced(image)
    small.info.clear()  # metadata of the photo, such as its GPS position
    if max(size) <= _EXACT_SIDE:
        return Thumbnail(_uri(small, "PNG", optimize=True), size)
    return Thumbnail(_uri(small, "JPEG", quality=_QUALITY, optimize=True), size)


def _reduced(image: Image.Image) -> Image.Image:
    factor = min(1.0, _SIDE / max(image.size))
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    color = image if image.mode == "L" else as_rgb(image)
    return color.copy() if size == image.size else color.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _uri(image: Image.Image, kind: str, **settings: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
