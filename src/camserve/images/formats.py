"""The supported image formats, and how a file's format is identified. All are decoded within the process."""

from __future__ import annotations

import logging
import struct
from io import BytesIO

# Importing a plugin registers its format with Pillow. Plugins of other formats, such as EPS, which starts Ghostscript,
# are neither loaded nor used.
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

from camserve.images.optional_formats import open_optional
from camserve.images.signatures import SIGNATURE_LENGTH, image_kind

__all__ = ["FORMATS", "identify"]

# Without a handler, Python writes what Pillow logs to standard error, without the name of the file.
logging.getLogger("PIL").addHandler(logging.NullHandler())

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
"""Pillow's names of the supported formats."""

_PREFIX = 16
"""Bytes at the beginning of a file from which Pillow identifies its format."""

_OTHER_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)
"""What Pillow's decoders raise for a file of another format, or an unknown kind of theirs."""


def identify(data: bytes, name: str) -> Image.Image | str:
    """Read the header of an image like `Image.open`, without Pillow's limit of pixels.

    Pillow's limit is global to the process and raises a warning at half its value. It would override a higher
    `max_pixels`, and changing it would change it for the rest of the program.

    Returns:
        The image, or what the file is instead, for a message.

    Raises:
        ImageError: If the package that decodes its format is not installed.
    """
    prefix, instead = data[:_PREFIX], "not an image of a supported format"
    for format_name in FORMATS:
        factory, accept = Image.OPEN[format_name]
        accepted = accept is None or accept(prefix)
        if not accepted or isinstance(accepted, str):  # a string is the reason why the format is unavailable
            continue
        try:
            return factory(BytesIO(data), "")
        except _OTHER_FORMAT as error:
            instead = f"not an image of a supported format (it begins like a {format_name} file: {error})"
    kind = image_kind(data[:SIGNATURE_LENGTH])
    if kind is None or kind in FORMATS:
        return instead
    image = open_optional(data, kind, name)
    return f"{instead} (it is {kind})" if image is None else image
