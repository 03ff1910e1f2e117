"""Decode JPEG files with the fast, inexact DCT of libjpeg-turbo, as TensorFlow does by default; requires simplejpeg."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from camserve.errors import UsageError

__all__ = ["check_fast_jpeg", "decode_fast", "is_jpeg"]

_COLORS = {"L": "GRAY", "RGB": "RGB"}


def check_fast_jpeg() -> None:
    """Check that simplejpeg is installed.

    Raises:
        UsageError: If it is not.
    """
    if find_spec("simplejpeg") is None:
        raise UsageError(
            "fast decoding of JPEG requires simplejpeg", hint="Install it: pip install 'camserve[fast-jpeg]'"
        )


def is_jpeg(image: Image.Image) -> bool:
    """Return whether an image that Pillow opened is a JPEG that `decode_fast` decodes: color or gray, not CMYK."""
    return image.format in ("JPEG", "MPO") and image.mode in _COLORS


def decode_fast(data: bytes, header: Image.Image) -> Image.Image:
    """Decode a JPEG.

    Law: the pixels equal those of `tf.io.decode_image(data, channels=3)`.

    Args:
        data: The bytes of the file.
        header: The same file, opened by Pillow.

    Raises:
        ValueError: If it is truncated or corrupt, or simplejpeg does not support its subsampling.
    """
    import simplejpeg  # noqa: PLC0415  (optional)

    try:
        pixels: np.ndarray[Any, Any] = simplejpeg.decode_jpeg(data, _COLORS[header.mode], fastdct=True)
    except ValueError as error:
        raise ValueError(f"{error} (decoded with --fast-jpeg)") from None
    return Image.frombytes(header.mode, header.size, pixels.tobytes())
