"""Convert images of every mode that Pillow decodes to 8-bit RGB or gray.

As in Keras's `load_img`, transparency is dropped, color profiles are ignored, and the upper 8 of 16 bits per channel
in RGB are kept. Images that Keras would corrupt without a warning are treated differently: of 16-bit gray the upper 8
bits are kept, as in TensorFlow and OpenCV (Keras clips it at 255 for RGB, and passes it unscaled for gray), and pixels
in floating point or with more than 16 bits, whose range of values is unknown, are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from camserve.contract import Preprocessing
from camserve.errors import ImageError
from camserve.pixels import SIXTEEN_BIT_MODES, to_eight_bits

__all__ = ["to_colors_of"]

_HINT = "Convert it to 8-bit RGB or gray"


def to_colors_of(preprocessing: Preprocessing, image: Image.Image) -> Image.Image:
    """Convert an image to gray (mode L) or RGB, from which the channels of the network's input are made.

    Raises:
        ImageError: If the mode of the image cannot be converted to 8 bits exactly.
    """
    mode = "L" if preprocessing.color == "gray" else "RGB"
    if image.mode == mode:
        return image
    if image.mode in SIXTEEN_BIT_MODES:
        return _from_sixteen_bits(image).convert(mode)
    if image.mode == "F":
        raise ImageError("the image has floating-point pixels, whose range of values is unknown", hint=_HINT)
    try:
        return _without_transparency(image).convert(mode)
    except (ValueError, OSError) as error:
        raise ImageError(f"the image of mode {image.mode} cannot be converted to {mode}: {error}", hint=_HINT) from None


def _without_transparency(image: Image.Image) -> Image.Image:
    """Remove the transparency, so that Pillow neither warns about it nor replaces it by a color."""
    if "transparency" not in image.info:
        return image
    opaque = image.copy()
    del opaque.info["transparency"]
    return opaque


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    values: np.ndarray[Any, Any] = np.asarray(image)
    if image.mode == "I":
        _check_sixteen_bits(values)
    return Image.fromarray(to_eight_bits(values))


def _check_sixteen_bits(values: np.ndarray[Any, Any]) -> None:
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 0xFFFF:
        raise ImageError(
            f"the image has 32-bit pixels with values from {lowest} to {highest}; only 16 bits are supported",
            hint=_HINT,
        )
