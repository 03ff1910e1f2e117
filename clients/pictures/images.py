"""Images in: from a path, bytes, a Pillow image or an array to one decoded picture, or a clear refusal.

The only module that lets Pillow decode. Nothing here trusts its input: the format must be one of `FORMATS`, the size is
checked before any pixel is decoded, and whatever a decoder stumbles over becomes an `ImageError`.
"""

from __future__ import annotations

import os
import stat
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from camserve.errors import ImageError
from camserve.text import printable

__all__ = ["EXTENSIONS", "FORMATS", "MAX_PIXELS", "ImageInput", "load_image"]

ImageInput = str | Path | bytes | Image.Image | np.ndarray[Any, Any]
"""A path, the bytes of a file, a Pillow image, or uint8 pixels: `[height, width, 3]` in RGB, or `[height, width]`."""

MAX_PIXELS = 64_000_000
"""Width times height above which a picture is refused before it is decoded."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""Pillow's names of the formats that are read; all decode within the process and start no other program."""

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""File name endings, in lower case, under which a folder is searched for images."""

_PREFIX = 16
"""Bytes from which Pillow's formats know their files."""

_OTHER_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)
"""What a decoder of Pillow raises when the file is not of its format."""


def load_image(source: ImageInput, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes a picture as Keras's `load_img` does: EXIF orientation is ignored, of several frames the first is taken.

    Args:
        source: The picture.
        max_pixels: Width times height that is still read.

    Returns:
        The decoded picture in the mode of its file.

    Raises:
        ImageError: If it is no image, is cut short or damaged, is larger than `max_pixels`, or is not a plain file.
    """
    if isinstance(source, np.ndarray):
        return _check_size(_from_array(source), "the array", max_pixels)
    if isinstance(source, Image.Image):
        return _finish(source, "the picture", max_pixels)
    if isinstance(source, bytes):
        return _decode(BytesIO(source), f"the image of {len(source):,} bytes", max_pixels)
    if isinstance(source, str | Path):
        with _open_plain_file(source) as stream:
            return _decode(stream, printable(source), max_pixels)
    raise ImageError(
        f"an image cannot be read from {type(source).__name__}",
        hint="Give a path, bytes, a Pillow image or a uint8 array",
    )


def _from_array(array: np.ndarray[Any, Any]) -> Image.Image:
    hint = "Give uint8 pixels of shape [height, width, 3] in RGB, or [height, width]"
    if array.dtype != np.uint8:
        raise ImageError(f"the array holds {array.dtype}, not uint8", hint=hint)
    match array.shape:
        case (_, _) | (_, _, 3) if array.size:
            return Image.fromarray(array.copy())  # Pillow would share the caller's memory
        case (height, width, 1) if array.size:
            return Image.fromarray(array.reshape(height, width).copy())
    raise ImageError(f"an array of shape {list(array.shape)} is no picture", hint=hint)


def _open_plain_file(path: str | Path) -> IO[bytes]:
    name = printable(path)
    try:
        # Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist", hint="Check the path") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{name} cannot be opened: {why}", hint="Check the path and its permissions") from error
    try:
        _check_plain(os.fstat(descriptor), name)
    except ImageError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_plain(status: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name} is a folder, not an image", hint="Give the image files in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name} is a pipe, a device or a socket, not an image file", hint="Give a plain file")


def _decode(stream: IO[bytes], name: str, max_pixels: int) -> Image.Image:
    if not stream.read(1):
        raise ImageError(f"{name} is empty", hint="Get the file again from its source")
    try:
        image = _identify(stream)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: {error}", hint=_SIZE_HINT) from error
    except Exception as error:  # decoders of damaged files raise whatever their parsing trips over
        raise _damaged(name, error) from error
    if image is None:
        raise ImageError(f"{name} is no image of a known format", hint=f"Give one of {', '.join(FORMATS)}")
    return _finish(image, name, max_pixels)


def _identify(stream: IO[bytes]) -> Image.Image | None:
    """Reads the header of a picture as `Image.open` does, without Pillow's own limit; None if no format fits.

    That limit is one setting for the whole process, and half of it already makes a warning: it would overrule a caller
    who asks for more, and lifting it would lift it for the rest of their program too. `_check_size` stands for it.
    """
    Image.init()
    stream.seek(0)
    prefix = stream.read(_PREFIX)
    for format_name in FORMATS:
        factory, accept = Image.OPEN[format_name]
        accepted = accept is None or accept(prefix)
        if not accepted or isinstance(accepted, str):  # a text says why the format cannot be read here
            continue
        stream.seek(0)
        with suppress(*_OTHER_FORMAT):
            return factory(stream, "")
    return None


def _finish(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    _check_size(image, name, max_pixels)
    try:
        image.load()
    except Exception as error:  # see _decode
        raise _damaged(name, error) from error
    return image


_SIZE_HINT = "Make it smaller; if you trust its source, Classifier and load_image in Python take a larger max_pixels"


def _check_size(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels: {width} x {height}", hint="Get the file again from its source")
    if width * height > max_pixels:
        raise ImageError(f"{name} has {width} x {height} pixels, more than {max_pixels:,}", hint=_SIZE_HINT)
    return image


def _damaged(name: str, error: Exception) -> ImageError:
    why = str(error) or type(error).__name__
    return ImageError(f"{name} is damaged or cut short: {why}", hint="Get the file again from its source")
