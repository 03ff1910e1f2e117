"""The formats that are read, and how a file is known to be of one: all decode within the process."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

# Importing a plugin makes Pillow know its format. Those of other formats, such as EPS, which starts Ghostscript, are
# neither loaded nor asked.
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

__all__ = ["EXTENSIONS", "FORMATS", "identify"]

_PLUGINS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    GifImagePlugin.GifImageFile,
    BmpImagePlugin.BmpImageFile,
    TiffImagePlugin.TiffImageFile,
    WebPImagePlugin.WebPImageFile,
    PpmImagePlugin.PpmImageFile,
)

FORMATS = tuple(plugin.format for plugin in _PLUGINS)
"""Pillow's names of the formats that are read."""

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""File name endings, in lower case, under which a folder is searched for images."""

_PREFIX = 16
"""Bytes from which Pillow's formats know their files."""

_OTHER_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)
"""What a decoder of Pillow raises when the file is not of its format."""


def identify(data: bytes) -> Image.Image | None:
    """Reads the header of an image as `Image.open` does, without Pillow's own limit; None if no format fits.

    That limit is one setting for the whole process, and half of it already makes a warning: it would overrule a caller
    who asks for more, and lifting it would lift it for the rest of their program too.
    """
    prefix = data[:_PREFIX]
    for format_name in FORMATS:
        factory, accept = Image.OPEN[format_name]
        accepted = accept is None or accept(prefix)
        if not accepted or isinstance(accepted, str):  # a text says why the format cannot be read here
            continue
        with suppress(*_OTHER_FORMAT):
            return factory(BytesIO(data), "")
    return None
