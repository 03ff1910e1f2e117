"""Modes to colours: every mode that Pillow decodes becomes 8-bit RGB or gray, exactly, or is refused.

As in Keras's `load_img`, transparency is dropped, colour profiles are ignored, and of 16 bits a channel in RGB the
upper 8 are kept. Where Keras would spoil an image in silence, this does otherwise: 16 bits in gray are scaled to 8
(Keras clips them at 255 in RGB and hands them on unscaled in gray), and pixels whose range of values nobody knows, in
floating point or beyond 16 bits, are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from camserve.contract import Preprocessing
from camserve.errors import ImageError
from camserve.pixels import SIXTEEN_BIT_MODES, to_eight_bits

__all__ = ["in_colors_of"]

_HINT = "Convert it to 8-bit RGB or gray"


def in_colors_of(preprocessing: Preprocessing, image: Image.Image) -> Image.Image:
    """The image in gray (mode L) or in RGB, as the network's channels are made from it.

    Raises:
        ImageError: If the image's mode has no exact 8-bit form.
    """
    mode = "L" if preprocessing.color == "gray" else "RGB"
    if image.mode == mode:
        return image
    if image.mode in SIXTEEN_BIT_MODES:
        return _of_sixteen_bits(image).convert(mode)
    if image.mode == "F":
        raise ImageError("an image of floating-point pixels has no agreed range of values", hint=_HINT)
    try:
        return _without_transparency(image).convert(mode)
    except (ValueError, OSError) as error:
        raise ImageError(f"an image of mode {image.mode} cannot be converted to {mode}: {error}", hint=_HINT) from error


def _without_transparency(image: Image.Image) -> Image.Image:
    """Without it, Pillow neither warns of what the conversion drops nor looks for a colour to stand for it."""
    if "transparency" not in image.info:
        return image
    opaque = image.copy()
    del opaque.info["transparency"]
    return opaque


def _of_sixteen_bits(image: Image.Image) -> Image.Image:
    values: np.ndarray[Any, Any] = np.asarray(image)
    if image.mode == "I":
        _check_sixteen_bits(values)
    return Image.fromarray(to_eight_bits(values))


def _check_sixteen_bits(values: np.ndarray[Any, Any]) -> None:
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > 0xFFFF:
        raise ImageError(
            f"an image of 32-bit pixels holds values from {least} to {most}, and only 16 bits are read", hint=_HINT
        )
