"""Scale gray pixels of 12 bits to 16 bits, in which Pillow stores them without scaling."""

from __future__ import annotations

import numpy as np
from PIL import Image, TiffImagePlugin

from camserve.pixels import SIXTEEN_BIT_MODES

__all__ = ["of_full_depth"]

_BITS_PER_SAMPLE = 258  # tag of TIFF
_STORED = 16


def of_full_depth(image: Image.Image) -> Image.Image:
    """Scale the pixels of a TIFF file with 9 to 15 bits per sample, as OpenCV does; return other images unchanged.

    Otherwise the brightest pixel of 12 bits would have 1/16 of the value of white.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.mode not in SIXTEEN_BIT_MODES[:-1]:
        return image
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (_STORED,))[0]
    if not 8 < bits < _STORED:
        return image
    return Image.fromarray(np.asarray(image) << np.uint16(_STORED - bits))
